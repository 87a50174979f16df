"""Project: a recipe as a file with the plugins that it needs, before anything is chosen."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from avabuild.layer.facts import Facts, assumed_image
from avabuild.plugins.bases_offered import OfferedBase
from avabuild.plugins.local import LocalPlugin, read_local
from avabuild.plugins.provider import is_path
from avabuild.plugins.registry import TAKEN, Registry
from avabuild.recipe import ImageBase, Known, Point, Recipe, load, variants


@dataclass(frozen=True, slots=True)
class Project:
    """A recipe on one base, with the plugins that it needs.

    Attributes:
        recipe: merged with the recipes it stands on.
        registry: where its frameworks come from.
        points: of the recipe's matrix, those that stand on this base; all of them when empty.
        below: the files of the recipes it stands on, nearest first.
    """

    recipe: Recipe
    registry: Registry
    points: tuple[Point, ...] = ()
    below: tuple[Path, ...] = ()

    @property
    def directory(self) -> Path:
        """What the recipe's paths are relative to."""
        return self.recipe.directory

    @property
    def lock_path(self) -> Path:
        """The lock beside the recipe: `keras.toml` has `keras.lock`."""
        return self.recipe.path.with_suffix(".lock")

    @property
    def base_title(self) -> str:
        """The base in a word, for a step: no digest, and no mirror, which may hold a password."""
        spec = self.recipe.one_base
        return str(getattr(spec, "debian", "") or getattr(spec, "image", "") or getattr(spec, "archive", ""))

    @property
    def assumed_base(self) -> Facts | None:
        """What the image base will be, by its name; else by the Pythons that the recipe names.

        None for other bases, and where neither tells what Python there is. Of an image whose name does not
        tell, the oldest C library that wheels are made for is assumed.
        """
        spec, recipe = self.recipe.one_base, self.recipe
        if not isinstance(spec, ImageBase):
            return None
        if found := assumed_image(spec.image):
            return found
        if "alpine" in spec.image:  # for whose C library there are hardly any wheels
            return None
        named = [point.python for point in self.points] or list(recipe.matrix.python)
        pythons = tuple((python, f"/usr/bin/python{python}") for python in dict.fromkeys(named) if python)
        if not pythons and (recipe.frameworks or recipe.packages.pip):
            return None
        return Facts(pythons=pythons, apt=bool(recipe.packages.apt))

    @property
    def assumption(self) -> str:
        """How avabuild plans while the image base is not available, in words."""
        spec = self.recipe.one_base
        if isinstance(spec, ImageBase) and assumed_image(spec.image):
            return "planning from its name alone"
        return "planning from the Pythons that the recipe names, and the oldest C library"


def open_projects(path: Path, registry: Registry) -> tuple[Project, ...]:
    """Read the recipe at `path` and load the plugins that it names; one project for each of its bases.

    Raises:
        RecipeError: with every problem, by line.
        PluginError: a plugin that the recipe needs is broken.
    """
    known = known_of(registry)
    found = variants(load(path, known), lambda inner: load(inner, known))
    return tuple(
        Project(one.recipe, registry.with_local(_local(one.recipe)), one.points, one.below) for one in found
    )


def known_of(registry: Registry) -> Known:
    """Return all that `registry` has, for checking recipes."""

    def base(name: str) -> tuple[OfferedBase, str, str]:
        provider = registry.provider(name, "base")
        return registry.base(name), provider.distribution, provider.version

    def with_local(shown: str, path: Path) -> Known:
        return known_of(registry.with_local([read_local(shown, path)]))

    return Known(
        registry.names,
        registry.options,
        tuple(name for name in registry.named("base") if name not in TAKEN),
        base,
        tuple(sorted({one.distribution for one in registry.providers if not one.is_local})),
        with_local,
        registry.trust.patience,
    )


def _local(recipe: Recipe) -> tuple[LocalPlugin, ...]:
    return tuple(
        read_local(entry, Path(os.path.normpath(recipe.directory / entry)))
        for entry in recipe.plugins
        if is_path(entry)
    )
