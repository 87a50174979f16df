"""pydantic's errors as problems: the line in the file, the dotted key, and words for a person."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from avabuild.common.errors import Problem
from avabuild.plugins.wording import KeyPath, did_you_mean, listed
from avabuild.recipe.bases import KEYS as BASE_KEYS
from avabuild.recipe.choices import CONDITIONS
from avabuild.recipe.document import Source
from avabuild.recipe.model import Recipe
from avabuild.recipe.packages import Packages
from avabuild.recipe.tables import Build, FileEntry, ImageConfig, Matrix, MountEntry, RunStep

KnownKeys = Callable[[KeyPath], Iterable[str]]
"""The keys that the table at a path may have."""

_TABLES: dict[tuple[str, ...], tuple[str, ...]] = {
    (): tuple(Recipe.model_fields),
    ("base",): (*BASE_KEYS, "mirror"),
    ("matrix",): tuple(Matrix.model_fields),
    ("packages",): tuple(Packages.model_fields),
    ("files",): tuple(FileEntry.model_fields),
    ("run",): tuple(RunStep.model_fields),
    ("run", "mounts"): tuple(MountEntry.model_fields),
    ("image",): tuple(ImageConfig.model_fields),
    ("build",): tuple(Build.model_fields),
}


def recipe_keys(path: KeyPath) -> tuple[str, ...]:
    """Return the keys that the recipe's table at `path` may have."""
    keys = _TABLES.get(tuple(part for part in path if isinstance(part, str)), ())
    return (*keys, *CONDITIONS) if path[:1] == ("base",) and len(path) > 1 else keys


def explain(
    error: ValidationError, data: object, source: Source, known: KnownKeys, prefix: KeyPath = ()
) -> tuple[Problem, ...]:
    """Return one problem per error in `data`, which the document has at `prefix`."""
    problems = []
    for detail in error.errors(include_url=False):
        path = _path_in(data, detail["loc"], missing=detail["type"] == "missing")
        problems.append(source.problem(prefix + path, _message(detail, path, known)))
    return tuple(problems)


def _path_in(data: Any, loc: KeyPath, *, missing: bool) -> KeyPath:
    """Drop from `loc` what pydantic adds for itself (names of union members), keeping what the file has."""
    path: KeyPath = ()
    for part in loc:
        inside = isinstance(data, dict) and part in data
        inside = inside or (isinstance(data, list) and isinstance(part, int) and part < len(data))
        if inside:
            data = data[part]
        if inside or (missing and part == loc[-1]):
            path += (part,)
    return path


def _message(detail: ErrorDetails, path: KeyPath, known: KnownKeys) -> str:
    value = detail["input"]
    match detail["type"]:
        case "value_error":
            message = str(detail.get("ctx", {}).get("error", detail["msg"]))
        case "extra_forbidden":
            message = _unknown_key(path, tuple(known(path[:-1])))
        case "missing":
            message = "is required"
        case "string_type":
            message = f"must be text in quotes, not {_kind(value)}"
        case "tuple_type" | "list_type":
            message = "must be a list" + (
                f': ["{value}"]' if isinstance(value, str) else f", not {_kind(value)}"
            )
        case "dict_type" | "model_type" | "model_attributes_type":
            message = f"must be a table, not {_kind(value)}"
        case "bool_type":
            message = f"must be true or false, without quotes, not {_kind(value)}"
        case "literal_error":
            expected = str(detail.get("ctx", {}).get("expected", "")).replace("'", '"')
            message = f"must be {expected}, not {_kind(value)}"
            message += did_you_mean(str(value), re.findall(r'"(.*?)"', expected))
        case _:
            message = detail["msg"].removeprefix("Input ")
    return message[:1].lower() + message[1:]


def _unknown_key(path: KeyPath, known: tuple[str, ...]) -> str:
    word = str(path[-1])
    if near := did_you_mean(word, known):
        return f"unknown key{near}"
    homes = [
        ".".join(table) for table, keys in _TABLES.items() if word in keys and table not in {(), ("base",)}
    ]
    if len(path) == 1 and homes:
        return f"unknown key here; it belongs to [{homes[0]}]"
    return f"unknown key; known: {listed(known)}"


def _kind(value: object) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case int() | float():
            return f"the number {value}"
        case str():
            return f'the text "{value}"'
        case list() | tuple():
            return "a list"
        case dict():
            return "a table"
    return "a date or time"
