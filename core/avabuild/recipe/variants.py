"""Variants: what a recipe comes to once every recipe below it is merged in and every base is chosen."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from avabuild.errors import Problem, RecipeError
from avabuild.recipe.bases import RecipeBase
from avabuild.recipe.choices import Bases, Point
from avabuild.recipe.inherit import merge
from avabuild.recipe.model import Recipe
from avabuild.recipe.source import Source
from avabuild.recipe.tags import template_problem

Load = Callable[[Path], Recipe]


@dataclass(frozen=True, slots=True)
class Variant:
    """A recipe with one base, which is no recipe, and the points of its matrix that stand on it.

    Attributes:
        recipe: merged with the recipes below it.
        points: in the order of the matrix.
        below: the files of the recipes that it stands on, nearest first.
    """

    recipe: Recipe
    points: tuple[Point, ...]
    below: tuple[Path, ...] = ()


@dataclass(frozen=True, slots=True)
class _Branch:
    """One way down to a base; `turns` are the arrays on the way, each with the index that was taken."""

    recipe: Recipe
    turns: tuple[tuple[Recipe, Bases, int], ...] = ()
    below: tuple[Path, ...] = ()

    @property
    def matrix(self) -> Iterator[Point]:
        """Every point of the matrix, whatever it stands on."""
        matrix = self.recipe.matrix
        return (Point(*pair) for pair in itertools.product(matrix.python or (None,), matrix.devices))

    def holds(self, point: Point) -> bool:
        """Whether this is the way down for `point`."""
        return all(bases.first(point) == index for _, bases, index in self.turns)

    def problems(self, point: Point) -> Iterator[Problem]:
        """Yield what is wrong with `point` at the first array that does not lead on here."""
        for recipe, bases, index in self.turns:
            asked = [i for i, choice in enumerate(bases.choices) if choice.when.python]
            if asked and point.python is None:
                message = "needs the Pythons of the matrix: write matrix.python"
                yield recipe.source.problem(("base", asked[0], "python"), message)
                return
            first = bases.first(point)
            if first is None:
                yield recipe.source.problem(("base",), f"none of its tables is for {point}; add one")
            if first != index:
                return


def variants(recipe: Recipe, load: Load) -> tuple[Variant, ...]:
    """Return the variants of `recipe`: one for each base that a point of its matrix stands on.

    Raises:
        RecipeError: recipes in a circle; a point that no base is for; a tag field that the whole doesn't
            know; whatever `load` raises. Carries all problems of the recipe.
    """
    branches = tuple(_branches(recipe, load, ()))
    problems = [p for branch in branches for point in branch.matrix for p in branch.problems(point)]
    found = []
    for branch in branches:
        whole = branch.recipe
        if words := template_problem(whole.tag, [item.name for item in whole.frameworks]):
            problems.append(whole.source.problem(("tag",), words))
        if points := tuple(filter(branch.holds, branch.matrix)):
            found.append(Variant(whole, points, branch.below))
    if problems:
        raise RecipeError(tuple(dict.fromkeys(problems)))
    return tuple(found)


def _branches(recipe: Recipe, load: Load, above: tuple[Recipe, ...]) -> Iterator[_Branch]:
    chain = (*above, recipe)
    if not isinstance(recipe.base, Bases):
        yield from _down(recipe, load, chain)
        return
    for index in range(len(recipe.base.choices)):
        turn = (recipe, recipe.base, index)
        for branch in _down(_with_base(recipe, recipe.base, index), load, chain):
            yield _Branch(branch.recipe, (turn, *branch.turns), branch.below)


def _with_base(recipe: Recipe, bases: Bases, index: int) -> Recipe:
    """Return the recipe with one of its bases alone, which is where the file has it."""
    places = {keys: place for keys, place in recipe.source.places.items() if keys[0] != "base"}
    here = ("base", index)
    places |= {("base", *keys[2:]): place for keys, place in recipe.source.places.items() if keys[:2] == here}
    return recipe.replaced(Source(recipe.path, places), base=bases.choices[index].base)


def _down(recipe: Recipe, load: Load, chain: tuple[Recipe, ...]) -> Iterator[_Branch]:
    base = recipe.one_base
    if not isinstance(base, RecipeBase):
        yield _Branch(recipe)
        return
    path = Path(os.path.normpath(recipe.directory / base.recipe))
    if path.resolve() in [link.path.resolve() for link in chain]:
        names = " -> ".join(str(link) for link in (*(link.path for link in chain), path))
        message = f"the recipes stand on each other in a circle: {names}"
        raise RecipeError((recipe.source.problem(("base", "recipe"), message),))
    for branch in _branches(load(path), load, chain):
        yield _Branch(merge(recipe, branch.recipe), branch.turns, (path, *branch.below))
