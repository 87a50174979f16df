"""Variants: what a recipe comes to once every recipe below it is merged in and every base is chosen."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from avabuild.common.errors import Problem, RecipeError
from avabuild.recipe.bases import RecipeBase
from avabuild.recipe.choices import Bases, Point
from avabuild.recipe.document import Source
from avabuild.recipe.inherit import merge
from avabuild.recipe.model import Recipe
from avabuild.recipe.tags import template_problem

Load = Callable[[Path], Recipe]
_MOST_LEVELS = 50
_MOST_WAYS = 200


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
    """One way down to a base; `turns` are the arrays on the way, each with the indexes that lead on here."""

    recipe: Recipe
    turns: tuple[tuple[Recipe, Bases, tuple[int, ...]], ...] = ()
    below: tuple[Path, ...] = ()

    @property
    def matrix(self) -> Iterator[Point]:
        """Every point of the matrix, whatever it stands on."""
        matrix = self.recipe.matrix
        return (Point(*pair) for pair in itertools.product(matrix.python or (None,), matrix.devices))

    def holds(self, point: Point) -> bool:
        """Whether this is the way down for `point`."""
        return all(bases.first(point) in taken for _, bases, taken in self.turns)

    def problems(self, point: Point) -> Iterator[Problem]:
        """Yield what is wrong with `point` at the first array that does not lead on here."""
        for recipe, bases, taken in self.turns:
            asked = [i for i, choice in enumerate(bases.choices) if choice.when.python]
            if asked and point.python is None:
                message = "needs the Pythons of the matrix: write matrix.python"
                yield recipe.source.problem(("base", asked[0], "python"), message)
                return
            first = bases.first(point)
            if first is None:
                yield recipe.source.problem(("base",), f"none of its tables is for {point}; add one")
            if first not in taken:
                return


def variants(recipe: Recipe, load: Load) -> tuple[Variant, ...]:
    """Return the variants of `recipe`: one for each base that a point of its matrix stands on.

    Raises:
        RecipeError: recipes in a circle; a point that no base is for; a tag field that the whole doesn't
            know; whatever `load` raises. Carries all problems of the recipe.
    """
    branches = _Ways(load).down(recipe, ())
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


class _Ways:
    """The ways down from recipes; what several of them stand on is read and merged once."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._known: dict[Path, tuple[_Branch, ...]] = {}

    def down(self, recipe: Recipe, above: tuple[Recipe, ...]) -> tuple[_Branch, ...]:
        """Return every way down from `recipe`, on which those `above` stand."""
        chain = (*above, recipe)
        if not isinstance(recipe.base, Bases):
            return self._below(recipe, chain)
        found: list[_Branch] = []
        for taken in _alike(recipe.base):
            turn = (recipe, recipe.base, taken)
            below = self._below(_with_base(recipe, recipe.base, taken[0]), chain)
            found += [_Branch(one.recipe, (turn, *one.turns), one.below) for one in below]
            if len(found) > _MOST_WAYS:
                message = f"leads to a base in more than {_MOST_WAYS} ways"
                raise RecipeError((recipe.source.problem(("base",), message),))
        return tuple(found)

    def _below(self, recipe: Recipe, chain: tuple[Recipe, ...]) -> tuple[_Branch, ...]:
        base = recipe.one_base
        if not isinstance(base, RecipeBase):
            return (_Branch(recipe),)
        path = Path(os.path.normpath(recipe.directory / base.recipe))
        if len(chain) > _MOST_LEVELS:
            message = f"stands below {_MOST_LEVELS} others that stand on one another, which is too many"
            raise RecipeError((recipe.source.problem(("base", "recipe"), message),))
        if path not in self._known:
            if path.resolve() in [link.path.resolve() for link in chain]:
                names = " -> ".join(str(link) for link in (*(link.path for link in chain), path))
                message = f"the recipes stand on each other in a circle: {names}"
                raise RecipeError((recipe.source.problem(("base", "recipe"), message),))
            self._known[path] = self.down(self._load(path), chain)
        return tuple(
            _Branch(merge(recipe, branch.recipe), branch.turns, (path, *branch.below))
            for branch in self._known[path]
        )


def _alike(bases: Bases) -> tuple[tuple[int, ...], ...]:
    """Return the indexes of the choices, those that name one recipe together."""
    found: dict[object, tuple[int, ...]] = {}
    for index, choice in enumerate(bases.choices):
        base = choice.base
        name = base.recipe if isinstance(base, RecipeBase) and base.offer is None else index
        found[name] = (*found.get(name, ()), index)
    return tuple(found.values())


def _with_base(recipe: Recipe, bases: Bases, index: int) -> Recipe:
    """Return the recipe with one of its bases alone, which is where the file has it."""
    places = {keys: place for keys, place in recipe.source.places.items() if keys[0] != "base"}
    here = ("base", index)
    places |= {("base", *keys[2:]): place for keys, place in recipe.source.places.items() if keys[:2] == here}
    return recipe.replaced(Source(recipe.path, places), base=bases.choices[index].base)
