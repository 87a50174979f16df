"""Which of the resolved packages each framework needs, from uv's annotations: `anyio==4.16.0  # via httpx`.

PEP 751 files of uv name no dependencies; its requirements files do, with `-r FILE` for what a file asks for,
relative to where uv ran.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePath

from packaging.utils import canonicalize_name

Origins = Mapping[str, Sequence[str]]
"""Requirement -> who asks for it."""

UNKNOWN: Origins = {}
_MARK = "# via "


def asking(origins: Origins, text: str) -> tuple[str, ...]:
    """Return who asks for the requirement `text`: avabuild itself, where nobody is named."""
    return tuple(origins.get(text) or ("avabuild",))


def by_origin(
    requirements: Iterable[str], origins: Origins, lines: Mapping[str, str]
) -> dict[str, list[str]]:
    """Return the lines that stand for the `requirements` of each who asks."""
    asked: dict[str, list[str]] = {}
    for text in requirements:
        for origin in asking(origins, text):
            asked.setdefault(origin, []).append(lines[text])
    return asked


def parse_annotated(text: str) -> dict[str, tuple[str, ...]]:
    """Return, by package, who needs it: the words of each `via`, files by their names alone.

    `text` is a requirements file of one line per package.
    """
    found: dict[str, tuple[str, ...]] = {}
    for line in text.splitlines():
        requirement, mark, via = line.partition(_MARK)
        if mark and (name := requirement.split("@")[0].split("==")[0].strip()):
            words = (word.strip() for word in via.split(","))
            found[canonicalize_name(name)] = tuple(
                f"-r {PurePath(word[3:]).name}" if word.startswith("-r ") else word for word in words
            )
    return found


def origins_of(
    needed_by: Mapping[str, Iterable[str]], files: Mapping[str, str]
) -> dict[str, tuple[str, ...]]:
    """Return, by package, the sorted names of those who need it, directly or not.

    `needed_by` is as `parse_annotated` has it; `files` gives who asks by the name of each requirements file.
    """
    needs: dict[str, list[str]] = {}
    for name, vias in needed_by.items():
        for via in vias:
            needs.setdefault(via, []).append(name)
    found: dict[str, set[str]] = {name: set() for name in needed_by}
    for file, origin in files.items():
        queue = list(needs.get(f"-r {file}", ()))
        while queue:
            name = queue.pop()
            if origin not in found[name]:
                found[name].add(origin)
                queue += needs.get(name, ())
    return {name: tuple(sorted(origins)) for name, origins in found.items()}
