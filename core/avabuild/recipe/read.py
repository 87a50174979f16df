"""Reading a recipe: a path in, a Recipe or all of its problems out."""

from __future__ import annotations

import difflib
import os
import re
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from avabuild.common.errors import PluginError, Problem, RecipeError
from avabuild.recipe.bases import Offer
from avabuild.recipe.document import Source, parse, refused, text_of
from avabuild.recipe.explain import explain, recipe_keys
from avabuild.recipe.model import Recipe, with_offered
from avabuild.recipe.plugins import Known, check_frameworks, check_plugins, with_offers
from avabuild.recipe.project import NAME, project_plugins

_LOCAL = re.compile(r"\.\.?/.+\.py")


def load(path: Path, known: Known | None = None) -> Recipe:
    """Return the recipe in the TOML file `path`, held against `known` plugins when given.

    What the project's `avabuild.toml` says is part of it. With `known`, its local plugins are run, and a base
    that a plugin offers is what that makes of it.

    Raises:
        RecipeError: the file can't be read or isn't a valid recipe; carries every problem, by line.
        PluginError: a plugin that the recipe needs is broken, and the recipe itself is fine.
    """
    if path.name == NAME:
        raise refused(path, "is what the project says for all of its recipes, and no recipe itself")
    data, source = _with_project(*parse(path, _text(path)))
    offers: dict[int, Offer] = {}
    problems: tuple[Problem, ...] = ()
    recipe = None
    if known:
        known = _with_local(data, source, known)
        data, offers, problems = with_offers(data, source, known)
    try:
        recipe = Recipe.model_validate(data, context=source)
    except ValidationError as error:
        problems += explain(error, data, source, recipe_keys)
    if known:
        problems += _asked(data, source, known, broken_matters=not problems)
    if problems or recipe is None:
        raise RecipeError(tuple(sorted(problems, key=_line)))
    return recipe.replaced(recipe.source, base=with_offered(recipe.base, offers)) if offers else recipe


def _asked(
    data: dict[str, Any], source: Source, known: Known, *, broken_matters: bool
) -> tuple[Problem, ...]:
    """Return what is wrong with what the recipe asks of plugins."""
    entries, wanted = data.get("plugins"), data.get("frameworks")
    problems = check_plugins(entries, source, known) if isinstance(entries, list) else ()
    if not isinstance(wanted, dict):
        return problems
    try:
        return problems + check_frameworks(wanted, source, known)
    except PluginError:
        if broken_matters and not problems:
            raise
    return problems


def _with_project(data: dict[str, Any], source: Source) -> tuple[dict[str, Any], Source]:
    """Return the recipe with the plugins of its project before its own."""
    own = data.get("plugins", [])
    shared = project_plugins(source.path) if isinstance(own, list) else ()
    shared = tuple((entry, place) for entry, place in shared if entry not in own)
    if not shared:
        return data, source
    places = {
        ("plugins", keys[1] + len(shared), *keys[2:])
        if keys[:1] == ("plugins",) and len(keys) > 1 and isinstance(keys[1], int)
        else keys: place
        for keys, place in source.places.items()
    }
    places |= {("plugins", index): place for index, (_, place) in enumerate(shared)}
    return {**data, "plugins": [*(entry for entry, _ in shared), *own]}, Source(source.path, places)


def _with_local(data: dict[str, Any], source: Source, known: Known) -> Known:
    """Run the recipe's local plugins, those that are files at all, and return what is known with them."""
    entries = data["plugins"] if isinstance(data.get("plugins"), list) else []
    for index, entry in enumerate(entries):
        if not isinstance(entry, str) or not _LOCAL.fullmatch(entry) or entry in entries[:index]:
            continue
        path = Path(os.path.normpath(source.directory / entry))
        if not path.is_file():
            continue  # the recipe's own model names this one
        try:
            known = known.with_local(entry, path)
        except PluginError as error:
            error.place = error.place or source.place(("plugins", index))
            raise
    return known


def _line(problem: Problem) -> int:
    return int(problem.place.rpartition(":")[2])


def _text(path: Path) -> str:
    try:
        return text_of(path)
    except FileNotFoundError:
        raise refused(path, "there is no such file", hint=_near(path) or _beside(path.parent)) from None
    except IsADirectoryError:
        raise refused(path, "is a directory; name a recipe in it", hint=_beside(path)) from None


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
