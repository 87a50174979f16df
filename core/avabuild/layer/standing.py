"""Standing: how the directories of a base are where a Python environment is put among them. Pure.

A layer's entry for a directory replaces what lower layers say of it, and one that stands where they have a
link replaces the link; without an entry the storage invents a directory. So layers name every directory from
the root down, as it is below them, and what a link leads to is written where it leads. On nearly all bases
these directories are root's with mode 0755: their layers are the same.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator

from avabuild.common.value import Value

ORDINARY = (0o755, 0, 0)


class Directory(Value):
    """A directory that is not root's with mode 0755."""

    name: str
    mode: int
    uid: int
    gid: int


class Standing(Value):
    """What is to be known of a base.

    Attributes:
        moved: directories that a link is or is above: their names, and where they are.
        directories: those that are not ordinary, by where they are.
        sudo: whether the image has sudo, which has a PATH of its own.
    """

    moved: tuple[tuple[str, str], ...] = ()
    directories: tuple[Directory, ...] = ()
    sudo: bool = False

    @property
    def parts(self) -> tuple[tuple[str, str], ...]:
        """What the key of every layer holds of it: nothing where all is ordinary."""
        found = [(f"/{name}", f"is at /{place}") for name, place in self.moved]
        found += [(f"/{one.name}", f"{one.mode:o} {one.uid}:{one.gid}") for one in self.directories]
        return tuple(found)

    def place(self, name: str) -> str:
        """Return where the layer has what is called `name` in the image."""
        for directory, place in sorted(self.moved, key=lambda pair: -len(pair[0])):
            if name == directory or name.startswith(f"{directory}/"):
                return f"{place}{name[len(directory) :]}"
        return name

    def directory(self, place: str) -> tuple[int, int, int]:
        """Return mode, user and group of the directory that is at `place`."""
        return next(((one.mode, one.uid, one.gid) for one in self.directories if one.name == place), ORDINARY)


def parents_of(name: str) -> Iterator[str]:
    """Yield the directories above `name`, from the root's own down."""
    parts = name.split("/")
    yield from ("/".join(parts[:depth]) for depth in range(1, len(parts)))


def on_the_way(names: Iterable[str]) -> tuple[str, ...]:
    """Return the absolute directories `names` and all above them, as layers name them, each once."""
    found: dict[str, None] = {}
    for name in names:
        plain = posixpath.normpath(name).strip("/")
        found |= dict.fromkeys((*parents_of(plain), plain))
    return tuple(found)
