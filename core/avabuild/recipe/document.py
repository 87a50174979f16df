"""Documents: the text of a TOML file, what it says, and what is wrong with it by line."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from avabuild.common.errors import Problem, RecipeError
from avabuild.common.regular import read
from avabuild.plugins.wording import KeyPath, dotted
from avabuild.recipe.lines import deep_key, locate

_TOO_DEEP = "is nested too deeply"
_DEEPEST = 100  # tables and arrays in one another; a parser takes time and memory by the square of it
_POSITION = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")


def refused(path: Path, message: str, line: int | None = None, hint: str | None = None) -> RecipeError:
    """Return the error that `message` is wrong with the file at `path`."""
    place = f"{path}:{line}" if line else str(path)
    return RecipeError((Problem(place, "", message),), hint=hint)


def text_of(path: Path) -> str:
    """Return the text of the file at `path`.

    Raises:
        FileNotFoundError: there is none; IsADirectoryError likewise: what is near is the caller's to say.
        RecipeError: it can't be read, is no text, or nothing that has an end.
    """
    try:
        data = read(path)
    except (FileNotFoundError, IsADirectoryError):
        raise
    except OSError as error:
        raise refused(path, f"can't be read: {(error.strerror or str(error)).lower()}") from None
    try:
        return data.decode("utf-8-sig")  # some editors write a byte order mark
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise refused(path, "is not UTF-8 text, which TOML must be", line) from None


def parse(path: Path, text: str) -> tuple[dict[str, Any], Source]:
    """Return what the TOML `text` of the file `path` says, and where each key of it is.

    Raises:
        RecipeError: it is no valid TOML.
    """
    if found := deep_key(text):
        raise refused(path, _TOO_DEEP, text.count("\n", 0, found) + 1)
    try:
        data = tomllib.loads(text)
        if _depth(data) > _DEEPEST:
            raise refused(path, _TOO_DEEP)
        return data, Source.of(path, text)
    except ValueError as error:  # TOMLDecodeError, or an integer too long for Python
        message = str(error)
        at = _POSITION.search(message)
        line = int(at[1]) if at and at[1] else text.count("\n") + 1
        column = f" (column {at[2]})" if at and at[2] else ""
        what = _POSITION.sub("", message)
        raise refused(path, f"not valid TOML: {what[:1].lower()}{what[1:]}{column}", line) from None
    except RecursionError:
        raise refused(path, _TOO_DEEP) from None


def _depth(data: Any) -> int:
    """Return how many tables and arrays are in one another at most, counted up to one more than may be."""
    depth, level = 0, [data]
    while level and depth <= _DEEPEST:
        depth += 1
        inner = [below for one in level for below in (one.values() if isinstance(one, dict) else one)]
        level = [one for one in inner if isinstance(one, dict | list)]
    return depth


# -- where a recipe came from: its path, and the place of every key, so that a problem names its line --------


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
