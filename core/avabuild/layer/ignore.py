"""Ignore: paths that are left out of what is copied, by patterns as .dockerignore has them.

Source: Docker's documentation of `.dockerignore`; Go's filepath.Match; moby's patternmatcher. A pattern is
anchored at the directory, `**` stands for any number of directories, a match of a directory is one of all
that is in it, `!` takes back, and the last match counts. gitignore's rules are others.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from posixpath import normpath

FILES = (".containerignore", ".dockerignore")  # the first that is there counts, as for buildah and podman
_PIECE = re.compile(r"\*\*/|\*\*|\*|\?|\[\^?[^\]]+\]|\\.|[^*?\[\\]+|.", re.DOTALL)
_MEANING = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}


@dataclass(frozen=True, slots=True)
class Ignore:
    """Patterns in their order: whether each takes back, and what it matches."""

    patterns: tuple[tuple[bool, re.Pattern[str]], ...] = ()

    @classmethod
    def of(cls, lines: Iterable[str]) -> Ignore:
        """Read the lines of an ignore file."""
        return cls(tuple(one for line in lines if (one := _read(line))))

    def leaves_out(self, path: str) -> bool:
        """Whether a path, relative to the directory of the patterns and with slashes, is left out."""
        parts = path.split("/")
        ways = ["/".join(parts[:count]) for count in range(1, len(parts) + 1)]
        out = False
        for back, pattern in self.patterns:
            if out == back and any(pattern.fullmatch(way) for way in ways):
                out = not back
        return out

    @property
    def takes_back(self) -> bool:
        """Whether something in a directory that is left out may be taken all the same."""
        return any(back for back, _ in self.patterns)


def read_ignore(directory: Path) -> Ignore:
    """Return what the directory's own ignore file says; nothing without one."""
    for name in FILES:
        if (directory / name).is_file():
            return Ignore.of((directory / name).read_text("utf-8", "replace").splitlines())
    return Ignore()


def _read(line: str) -> tuple[bool, re.Pattern[str]] | None:
    text = "" if line.startswith("#") else line.strip()
    back = text.startswith("!")
    text = normpath("/" + text.removeprefix("!").strip()).strip("/") if text.strip("!") else ""
    if not text:
        return None
    meaning = "".join(_MEANING.get(piece) or _plain(piece) for piece in _PIECE.findall(text))
    try:
        return back, re.compile(meaning, re.DOTALL)
    except re.error:  # [z-a]
        return back, re.compile(re.escape(text))


def _plain(piece: str) -> str:
    if piece.startswith("[") and len(piece) > 1:
        return piece
    return re.escape(piece[1:] if piece.startswith("\\") and len(piece) > 1 else piece)
