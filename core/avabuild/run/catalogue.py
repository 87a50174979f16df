"""Catalogue: all targets of all recipes of a run, planned together."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from avabuild.common.errors import AvabuildError, ImageError, Problem, RecipeError, together
from avabuild.layer.base import Base
from avabuild.layer.facts import assumed_image
from avabuild.plan.planning import refuse_early
from avabuild.plan.project import Project
from avabuild.recipe import DebianBase, ImageBase
from avabuild.recipe.tags import DEFAULT
from avabuild.resolve.uv import Unsolvable
from avabuild.run.forecast import Row
from avabuild.run.image import ImageRun
from avabuild.run.recipe_run import RecipeRun
from avabuild.run.run import Workplace
from avabuild.run.stamp import fits
from avabuild.tools.events import Report

Item = TypeVar("Item")
Made = TypeVar("Made")


@dataclass(frozen=True, slots=True)
class Lost:
    """A recipe that can't be planned now: its base is not available, which is not the recipe's fault.

    Attributes:
        name: the recipe's, with the tag where it has one target.
    """

    recipe: RecipeRun
    name: str
    error: AvabuildError


class Catalogue:
    """Recipes of one run.

    Raises, when it is made, all problems of all recipes.

    With `assume`, the name of an image base that is not available says enough for a plan. Without `fetch`
    no base is pulled, and one that is not here is not available.

    Attributes:
        lost: what `entries` left out because its base is not available.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        workplace: Workplace,
        report: Report,
        *,
        assume: bool = False,
        fetch: bool = True,
    ) -> None:
        self.workplace = workplace
        self.report = report
        if (ignored := workplace.indexes.ignored) and not workplace.wishes.locked:
            report.warn(
                f"what this host sets for uv and pip to choose versions by is ignored: {', '.join(ignored)}; "
                "say it in the recipe, which holds everywhere: packages.constraints"
            )
        unique = {path.resolve(): path for path in reversed(paths)}
        ordered = dict.fromkeys(path for path in paths if unique[path.resolve()] == path)
        self.recipes = _each(ordered, lambda path: RecipeRun(path, workplace))
        workplace.store.say = report.note
        self.lost: list[Lost] = []
        self._every: tuple[ImageRun, ...] = ()
        self._assume = assume
        self._fetch = fetch
        self._refused: dict[str, AvabuildError] = {}  # by the base's name: nobody is asked twice
        self._assumed: set[str] = set()  # names of bases that are not available

    def entries(self, only: Sequence[str] = (), beside: Sequence[str] = ()) -> tuple[ImageRun, ...]:
        """Return every image whose tag, or name and tag, fits one of the patterns `only`; all without any.

        `beside` are the names of images of other recipes, which a pattern may be about.

        Raises:
            AvabuildError: all problems of all plans: no release fits, two recipes make one image; a
                pattern that fits none.
        """
        projects = [(recipe, project) for recipe in self.recipes for project in recipe.projects]
        others = [_name(project) for _, project in projects if not _may_fit(project, only)]
        projects = [pair for pair in projects if _may_fit(pair[1], only)]
        groups = _each(projects, lambda pair: tuple(self._entries(*pair)))
        every = tuple(entry for group in groups for entry in group)
        together(_clashes(every))
        self._every = every
        chosen = tuple(entry for entry in every if fits(entry.name, only))
        for pattern in only:
            if not any(fits(name, (pattern,)) for name in (*(entry.name for entry in every), *beside)):
                names = ", ".join([*(entry.name for entry in every), *others])
                raise RecipeError((Problem("--only", "", f'no image fits "{pattern}"; there are {names}'),))
        return chosen

    def names(self, recipe: RecipeRun) -> tuple[str, ...] | None:
        """Return the names of all images of a recipe, those that `entries` left out too; None if unknown."""
        if any(lost.recipe is recipe for lost in self.lost):
            return None
        made = {id(entry.project) for entry in self._every}
        skipped = [project for project in recipe.projects if id(project) not in made]
        return (
            *(entry.name for entry in self._every if entry.recipe is recipe),
            *(name for project in skipped for name in _names(project)),
        )

    def _entries(self, recipe: RecipeRun, project: Project) -> Iterator[ImageRun]:
        try:
            base = self._base(recipe, project)
        except RecipeError:
            raise
        except AvabuildError as error:
            self.lost.append(Lost(recipe, _name(project), error))
            return
        plans = recipe.plans(project, recipe.bases.facts(project, base))
        for text in dict.fromkeys(text for plan in plans for text in plan.warnings):
            self.report.warn(text)
        for index, plan in enumerate(plans):
            yield ImageRun(recipe, project, index, plan, base)

    def _base(self, recipe: RecipeRun, project: Project) -> Base | None:
        """Return the base for a plan; a Debian can wait, of anything else the Pythons must be known."""
        base, name = recipe.bases.known(project), recipe.bases.name(project)
        if base is not None or isinstance(project.recipe.one_base, DebianBase):
            return base
        if name in self._assumed:
            return None
        refuse_early(project)
        if name in self._refused:
            raise self._refused[name]
        if not self._fetch and isinstance(project.recipe.one_base, ImageBase):
            self._by_name(project)
            return None
        tools = self.workplace.tools(self.report, "plan")
        try:
            return recipe.bases.obtain(project, tools, self.report)
        except AvabuildError as error:
            if self._assume and project.assumed_base:
                self.report.warn(f"{project.base_title} is not available here: {project.assumption}")
                self._assumed.add(name)
                return None
            self._refused[name] = error
            raise

    def _by_name(self, project: Project) -> None:
        """Raise unless the base's name alone says what it holds."""
        base = project.recipe.one_base
        if not (self._assume and isinstance(base, ImageBase) and assumed_image(base.image)):
            raise ImageError(
                f"its base {project.base_title} is not in the cache, and its name does not say "
                "what it contains"
            )

    def forecasts(
        self, entries: Sequence[ImageRun], *, ask: bool = True
    ) -> tuple[tuple[ImageRun, tuple[Row, ...]], ...]:
        """Return what a build of each image would make and find.

        Indexes are asked for several at once; unless `ask`, what no lock says stays unknown.
        """

        def rows(entry: ImageRun) -> tuple[Row, ...]:
            return entry.forecast(ask=ask, warn=lambda text: self.report.warn(f"{entry.name}: {text}"))

        def forecast(entry: ImageRun) -> tuple[ImageRun, tuple[Row, ...]]:
            try:
                return entry, rows(entry)
            except Unsolvable as error:
                other = entry.stepped_back(error, self.report)
                return other, rows(other)

        with ThreadPoolExecutor(4, "forecast") as pool:
            asked = [pool.submit(forecast, entry) for entry in entries]
            return _each(asked, Future.result)


def _each(items: Iterable[Item], make: Callable[[Item], Made]) -> tuple[Made, ...]:
    """Return what `make` made of each item, or raise the problems of all of them together."""
    made: list[Made] = []
    errors: list[AvabuildError] = []
    for item in items:
        try:
            made.append(make(item))
        except AvabuildError as error:
            errors.append(error)
    together(errors)
    return tuple(made)


def _name(project: Project) -> str:
    """Return how a project is called before it is planned."""
    name, points = project.recipe.name, project.points
    python = points[0].python
    if len(points) > 1 or python is None or project.recipe.tag != DEFAULT:
        return name
    return f"{name}:py{python.replace('.', '')}-{points[0].device.tag}"


def _may_fit(project: Project, only: Sequence[str]) -> bool:
    """Whether an image of the project may fit a pattern: else its base need not even be looked for."""
    if not only or project.recipe.tag != DEFAULT or any(point.python is None for point in project.points):
        return True
    return any(fits(name, only) for name in _names(project))


def _names(project: Project) -> list[str]:
    """Return the names of the images of a project all of whose Pythons are said."""
    tags = [f"py{str(point.python).replace('.', '')}-{point.device.tag}" for point in project.points]
    return [f"{project.recipe.name}:{tag}" for tag in tags]


def _clashes(entries: Sequence[ImageRun]) -> list[AvabuildError]:
    """Return a problem for every image that two recipes, or two targets of one, would both make."""
    seen: dict[str, ImageRun] = {}
    problems = []
    for entry in entries:
        first = seen.setdefault(entry.plan.reference, entry)
        if first is not entry:
            message = f"{entry.name} is made by {first.recipe.path} too; choose another name or tag"
            problems.append(Problem(entry.project.recipe.place("name"), "name", message))
    return [RecipeError(tuple(problems))] if problems else []
