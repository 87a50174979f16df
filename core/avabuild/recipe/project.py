"""`avabuild.toml`: what a project says for all of its recipes, and where it is found."""

from __future__ import annotations

import os
from pathlib import Path

from pydantic import Field, ValidationError

from avabuild.common.errors import RecipeError
from avabuild.common.value import Value
from avabuild.plugins.provider import is_path
from avabuild.recipe.document import parse, refused, text_of
from avabuild.recipe.explain import explain
from avabuild.recipe.fields import Plugins

NAME = "avabuild.toml"
_ROOTS = (".git", ".hg", ".jj")
_SOMEBODY_ELSES = "belongs neither to you, to root nor to the recipe's owner, so it is not run"
_HINT = "remove it, or build in a directory that others can't write to"


class Project(Value):
    """What is in an `avabuild.toml`."""

    plugins: Plugins = Field(
        default=(), description="Local plugins by path, and distributions whose policies are in force"
    )


def candidates(directory: Path) -> tuple[Path, ...]:
    """Return where the `avabuild.toml` of a recipe in `directory` may be, the first one counts.

    That is beside the recipe, or above it as far as the root of its repository: no further, and nowhere
    above where there is no repository, since what is in a shared directory is somebody else's.
    """
    here = Path(os.path.normpath(directory.absolute()))  # with `..` its parents would be others
    above = [here, *here.parents]
    root = next((i for i, place in enumerate(above) if any((place / name).exists() for name in _ROOTS)), 0)
    return tuple(place / NAME for place in above[: root + 1])


def project_plugins(recipe: Path) -> tuple[tuple[str, str], ...]:
    """Return the plugins of the project that the file `recipe` is in, spelt from there, with `FILE:LINE`.

    Raises:
        RecipeError: its `avabuild.toml` can't be read or isn't valid, with every problem by line; or it, or a
            local plugin that it names, is neither the user's, root's nor of the recipe's owner.
    """
    directory = recipe.parent
    path = next((place for place in candidates(directory) if place.is_file()), None)
    if path is None:
        return ()
    shown = Path(os.path.relpath(path)) if path.is_relative_to(Path.cwd()) else path
    believed = {os.geteuid(), 0, recipe.stat().st_uid}
    if not _is_of(path, believed):
        raise refused(shown, _SOMEBODY_ELSES, hint=_HINT)
    data, source = parse(shown, text_of(shown))
    try:
        project = Project.model_validate(data, context=source)
    except ValidationError as error:
        raise RecipeError(
            explain(error, data, source, lambda where: () if where else ("plugins",))
        ) from error
    others = [
        index
        for index, entry in enumerate(project.plugins)
        if is_path(entry) and not _is_of(path.parent / entry, believed)
    ]
    if others:
        problems = tuple(source.problem(("plugins", index), _SOMEBODY_ELSES) for index in others)
        raise RecipeError(problems, hint=_HINT)
    return tuple(
        (_seen_from(directory, path.parent, entry), source.place(("plugins", index)))
        for index, entry in enumerate(project.plugins)
    )


def _is_of(path: Path, owners: set[int]) -> bool:
    """Whether a file, and the link that it may be, belongs to one of `owners`: what it names is run."""
    return {path.lstat().st_uid, path.stat().st_uid} <= owners


def _seen_from(directory: Path, home: Path, entry: str) -> str:
    """Return an entry of a file in `home` as one in `directory` would spell it."""
    if not is_path(entry):
        return entry
    path = os.path.relpath(home / entry, directory.absolute())
    return path if path.startswith("../") else f"./{path}"


def respelt(entry: str, way: str) -> str:
    """Return an entry of `plugins` of another file, whose directory is at `way`, from here."""
    if not entry.startswith(("./", "../")) or way == ".":
        return entry
    path = os.path.normpath(f"{way}/{entry}")
    return path if path.startswith("../") else f"./{path}"
