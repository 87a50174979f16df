"""Where a recipe came from: its path, and the place of every key, so that a problem names its line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from avabuild.common.errors import Problem
from avabuild.plugins.wording import KeyPath, dotted
from avabuild.recipe.lines import locate


@dataclass(frozen=True, slots=True)
class Source:
    """A recipe's origin.

    Attributes:
        path: the file as the user named it.
        places: `FILE:LINE` of every key path; a composed recipe's keys are in several files.
    """

    path: Path
    places: Mapping[KeyPath, str] = field(default_factory=dict)

    @classmethod
    def of(cls, path: Path, text: str) -> Source:
        """Return the source of `text`, valid TOML that was read from `path`."""
        return cls(path, {keys: f"{path}:{line}" for keys, line in locate(text).items()})

    @property
    def directory(self) -> Path:
        """What relative paths of the recipe are relative to."""
        return self.path.parent

    def place(self, keys: KeyPath) -> str:
        """Return `FILE:LINE` of `keys`, or of what encloses them most closely; line 1 when nothing does."""
        for end in range(len(keys), 0, -1):
            if keys[:end] in self.places:
                return self.places[keys[:end]]
        return f"{self.path}:1"

    def problem(self, keys: KeyPath, message: str) -> Problem:
        """Return the problem `message` about what is, or should be, at `keys`."""
        return Problem(self.place(keys), dotted(keys), message)
