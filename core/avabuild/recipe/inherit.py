"""Composition: two recipes, one standing on the other, become one recipe that is resolved as a whole."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from avabuild.common.value import Value
from avabuild.plugins.wording import KeyPath
from avabuild.recipe.bases import ArchiveBase
from avabuild.recipe.document import Source
from avabuild.recipe.model import Recipe
from avabuild.recipe.packages import Packages, RepositoryEntry, pip_kind
from avabuild.recipe.project import respelt
from avabuild.recipe.tables import ImageConfig, RunStep

Table = TypeVar("Table", bound=Value)
Item = TypeVar("Item")


def merge(outer: Recipe, inner: Recipe) -> Recipe:
    """Return `outer`, which stands on `inner`, as one recipe on the base of `inner`.

    Packages, files and run steps of the inner recipe come first; a framework named by both has the outer's
    options; of matrix, tag, build and image the outer's keys win, variables and labels one by one. Relative
    paths stay relative to the outer recipe, and places name the right file.
    """
    inner = _moved(inner, outer.directory)
    return outer.replaced(
        _source(outer, inner),
        base=inner.base,
        tag=outer.tag if "tag" in outer.model_fields_set else inner.tag,
        matrix=_keys_of_outer(outer.matrix, inner.matrix),
        build=_keys_of_outer(outer.build, inner.build),
        plugins=_unique(inner.plugins + outer.plugins),
        frameworks=tuple({item.name: item for item in inner.frameworks + outer.frameworks}.values()),
        packages=_packages(outer.packages, inner.packages),
        files=inner.files + outer.files,
        run=inner.run + outer.run,
        image=_image(outer.image, inner.image),
    )


def _keys_of_outer(outer: Table, inner: Table) -> Table:
    return inner.model_copy(update={name: getattr(outer, name) for name in outer.model_fields_set})


def _packages(outer: Packages, inner: Packages) -> Packages:
    both = {name: _unique(getattr(inner, name) + getattr(outer, name)) for name in Packages.model_fields}
    return inner.model_copy(update=both)


def _image(outer: ImageConfig, inner: ImageConfig) -> ImageConfig:
    merged = _keys_of_outer(outer, inner)
    joined: dict[str, object] = {
        name: tuple(sorted({**dict(getattr(inner, name)), **dict(getattr(outer, name))}.items()))
        for name in ("env", "labels", "annotations")
    }
    joined |= {name: _unique(getattr(inner, name) + getattr(outer, name)) for name in ("ports", "volumes")}
    if outer.entrypoint is not None:
        joined["cmd"] = outer.cmd  # arguments meant for another program, as Dockerfiles have it
    return merged.model_copy(update=joined)


def _unique(values: tuple[Item, ...]) -> tuple[Item, ...]:
    return tuple(dict.fromkeys(values))


def _moved(inner: Recipe, directory: Path) -> Recipe:
    """Return `inner` with its relative paths spelled from `directory`."""
    way = os.path.relpath(inner.directory, directory)
    if way == ".":
        return inner

    def moved(text: str) -> str:
        if text.startswith("/"):
            return text
        path = os.path.normpath(f"{way}/{text}")
        return (path if path.startswith("..") else f"./{path}") + ("/" if text.endswith("/") else "")

    base = inner.one_base
    if isinstance(base, ArchiveBase):
        base = base.model_copy(update={"archive": moved(base.archive)})
    pip = tuple(moved(text) if pip_kind(text) == "file" else text for text in inner.packages.pip)
    return inner.replaced(
        inner.source,
        base=base,
        plugins=tuple(respelt(entry, way) for entry in inner.plugins),
        packages=inner.packages.model_copy(
            update={"pip": pip, "repositories": _repositories(inner.packages, moved)}
        ),
        files=tuple(item.model_copy(update={"source": moved(item.source)}) for item in inner.files),
        run=tuple(_with_mounts(step, moved) for step in inner.run),
    )


def _repositories(packages: Packages, moved: Callable[[str], str]) -> tuple[RepositoryEntry, ...]:
    return tuple(
        one.model_copy(update={"key": moved(one.key)}) if one.key else one for one in packages.repositories
    )


def _with_mounts(step: RunStep, moved: Callable[[str], str]) -> RunStep:
    mounts = tuple(item.model_copy(update={"source": moved(item.source)}) for item in step.mounts)
    return step.model_copy(update={"mounts": mounts})


def _source(outer: Recipe, inner: Recipe) -> Source:
    """Return where each key of the merged recipe is: the file and line it came from."""
    renamed = {item.name for item in outer.frameworks}
    places = {
        keys: place
        for keys, place in inner.source.places.items()
        if not (keys[0] == "frameworks" and len(keys) > 1 and keys[1] in renamed)
    }
    for keys, place in outer.source.places.items():
        if keys[0] != "base":
            places[_shifted(keys, outer, inner)] = place
    return Source(outer.path, places)


def _shifted(keys: KeyPath, outer: Recipe, inner: Recipe) -> KeyPath:
    """Return the path in the merged recipe of what is at `keys` in `outer`."""
    match keys:
        case ("files", int(index), *rest):
            return ("files", len(inner.files) + index, *rest)
        case ("run", int(index), *rest):
            return ("run", len(inner.run) + index, *rest)
        case ("plugins", int(index), *rest):
            merged_plugins = _unique(inner.plugins + outer.plugins)
            return ("plugins", merged_plugins.index(outer.plugins[index]), *rest)
        case ("packages", str(name), int(index), *rest):
            values = getattr(outer.packages, name.replace("-", "_"))
            merged = _unique(getattr(inner.packages, name.replace("-", "_")) + values)
            return ("packages", name, merged.index(values[index]), *rest)
    return keys
