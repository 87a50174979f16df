"""Merged: what layers make together, with whiteouts heeded. Pure, but for reading the layers' tars.

Source: OCI image-spec, layer.md: `.wh.x` hides `x` of the layers below, `.wh..wh..opq` all that a directory
has there; neither says anything of its own layer. What stands in a directory's place hides what is below it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Generic, TypeVar

from avabuild.layer.blob import OPAQUE
from avabuild.plugins.kinds import WHITEOUT

T = TypeVar("T")


def is_whiteout(name: str) -> bool:
    """Whether an entry of a layer only hides others."""
    return name.rpartition("/")[2].startswith(WHITEOUT)


def plain(name: str) -> str:
    """Return an entry's name from the image's root, without slashes around it; empty for the root itself."""
    return "/".join(part for part in name.split("/") if part not in {"", "."})


class _Branch(Generic[T]):
    """One name: its value, None for a directory of which no layer says anything, and what is below it."""

    __slots__ = ("below", "value")

    def __init__(self) -> None:
        self.value: T | None = None
        self.below: dict[str, _Branch[T]] = {}


class Merged(Generic[T]):
    """Values by name; `is_directory` says of a value whether other names may be below it."""

    def __init__(self, is_directory: Callable[[T], bool]) -> None:
        self._is_directory = is_directory
        self._root: _Branch[T] = _Branch()

    def add(self, layer: Iterable[tuple[str, T]]) -> None:
        """Put a layer's entries on those below; entries that are whiteouts have any value."""
        entries = [(plain(name), value) for name, value in layer]
        for name, _ in entries:
            if is_whiteout(name):
                self._hide(name)
        for name, value in entries:
            if name and not is_whiteout(name):
                self._put(name, value)

    def _hide(self, name: str) -> None:
        head, _, last = name.rpartition("/")
        parent = self._branch(head)
        if parent is None:
            return
        if last == OPAQUE:
            parent.below.clear()
        else:
            parent.below.pop(last.removeprefix(WHITEOUT), None)

    def _put(self, name: str, value: T) -> None:
        branch = self._root
        for part in name.split("/"):
            if branch.value is not None and not self._is_directory(branch.value):
                branch.value = None
            branch = branch.below.setdefault(part, _Branch())
        branch.value = value
        if not self._is_directory(value):
            branch.below.clear()

    def _branch(self, name: str) -> _Branch[T] | None:
        branch: _Branch[T] | None = self._root
        for part in name.split("/") if name else ():
            branch = branch.below.get(part) if branch else None
        return branch

    def get(self, name: str) -> T | None:
        """Return the value of a name; None where there is none, or a directory that no layer describes."""
        branch = self._branch(name)
        return branch.value if branch else None

    def has(self, name: str) -> bool:
        """Whether there is anything of this name."""
        return self._branch(name) is not None

    def names(self, directory: str) -> tuple[str, ...]:
        """Return what a directory holds, sorted."""
        branch = self._branch(directory)
        return tuple(sorted(branch.below)) if branch else ()

    def items(self) -> Iterator[tuple[str, T]]:
        """Yield every name that has a value, in the order in which names came; directories first."""
        waiting = [("", self._root)]
        while waiting:
            name, branch = waiting.pop()
            if branch.value is not None:
                yield name, branch.value
            lower = [(f"{name}/{part}".lstrip("/"), one) for part, one in branch.below.items()]
            waiting.extend(reversed(lower))
