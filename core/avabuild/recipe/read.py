"""Reading a recipe: a path in, a Recipe or all of its problems out."""

from __future__ import annotations

import difflib
import re
import tomllib
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from avabuild.errors import PluginError, Problem, RecipeError
from avabuild.recipe.explain import explain, recipe_keys
from avabuild.recipe.model import Recipe
from avabuild.recipe.plugins import Known, check_frameworks
from avabuild.recipe.source import Source

_POSITION = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")


def load(path: Path, known: Known | None = None) -> Recipe:
    """Return the recipe in the TOML file `path`, its frameworks held against `known` plugins when given.

    Raises:
        RecipeError: the file can't be read or isn't a valid recipe; carries every problem, by line.
        PluginError: a plugin that the recipe needs is broken, and the recipe itself is fine.
    """
    data, source = parse(path, _text(path))
    problems: tuple[Problem, ...] = ()
    recipe = None
    try:
        recipe = Recipe.model_validate(data, context=source)
    except ValidationError as error:
        problems = explain(error, data, source, recipe_keys)
    wanted = data.get("frameworks")
    if known and isinstance(wanted, dict):
        try:
            problems += check_frameworks(wanted, source, known)
        except PluginError:
            if not problems:
                raise
    if problems or recipe is None:
        raise RecipeError(tuple(sorted(problems, key=_line)))
    return recipe


def _line(problem: Problem) -> int:
    return int(problem.place.rpartition(":")[2])


def _refused(path: Path, message: str, line: int | None = None, hint: str | None = None) -> RecipeError:
    place = f"{path}:{line}" if line else str(path)
    return RecipeError((Problem(place, "", message),), hint=hint)


def _text(path: Path) -> str:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise _refused(path, "there is no such file", hint=_near(path) or _beside(path.parent)) from None
    except IsADirectoryError:
        raise _refused(path, "is a directory; name a recipe in it", hint=_beside(path)) from None
    except OSError as error:
        raise _refused(path, f"can't be read: {(error.strerror or str(error)).lower()}") from None
    try:
        return data.decode("utf-8-sig")  # some editors write a byte order mark
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise _refused(path, "is not UTF-8 text, which TOML must be", line) from None


def _names(directory: Path) -> list[str]:
    try:
        return sorted(entry.name for entry in directory.iterdir() if entry.suffix == ".toml")
    except OSError:
        return []


def _near(path: Path) -> str | None:
    near = difflib.get_close_matches(path.name, _names(path.parent), n=1)
    return f"did you mean {path.parent / near[0]}?" if near else None


def _beside(directory: Path) -> str | None:
    names = _names(directory)
    return f"recipes in {directory}: {', '.join(names)}" if names else None


def parse(path: Path, text: str) -> tuple[dict[str, Any], Source]:
    """Return what the TOML `text` of the file `path` says, and where each key of it is.

    Raises:
        RecipeError: it is no valid TOML.
    """
    try:
        return tomllib.loads(text), Source.of(path, text)
    except ValueError as error:  # TOMLDecodeError, or an integer too long for Python
        message = str(error)
        at = _POSITION.search(message)
        line = int(at[1]) if at and at[1] else text.count("\n") + 1
        column = f" (column {at[2]})" if at and at[2] else ""
        what = _POSITION.sub("", message)
        raise _refused(path, f"not valid TOML: {what[:1].lower()}{what[1:]}{column}", line) from None
    except RecursionError:
        raise _refused(path, "is nested too deeply") from None
