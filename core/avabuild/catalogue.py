"""Catalogue: all targets of all recipes of a run, planned together and built as one graph."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TypeVar

from avabuild.base import Base
from avabuild.buildah import Tools
from avabuild.errors import AvabuildError, Problem, RecipeError
from avabuild.forecast import Row
from avabuild.graph import Ended, Graph, Node
from avabuild.plan import Plan
from avabuild.prepare import Project
from avabuild.recipe import DebianBase
from avabuild.remember import image_list
from avabuild.report import Report
from avabuild.running import Running
from avabuild.session import Done, Session
from avabuild.store.scratch import sweep
from avabuild.together import together
from avabuild.workplace import Workplace

Item = TypeVar("Item")
Made = TypeVar("Made")


@dataclass(frozen=True, slots=True)
class Entry:
    """One image of the catalogue.

    Attributes:
        session: its recipe.
        project: the recipe on the image's base.
        index: which of the project's targets it is.
        plan: as far as it is known before the base is there.
        base: None for a Debian that is yet to be bootstrapped.
    """

    session: Session
    project: Project
    index: int
    plan: Plan
    base: Base | None = None

    @property
    def name(self) -> str:
        """The image's name and tag, without the registry: `ava-keras:py311-cpu`."""
        return f"{self.plan.name}:{self.plan.tag}"


@dataclass
class Listener:
    """What a run tells while images are built; called from one thread at a time.

    Attributes:
        done: an image is finished; `seconds` are those of its phases.
        ended: a node failed or was skipped.
    """

    done: Callable[[Entry, Done, Mapping[str, float]], None]
    ended: Callable[[Ended], None]


@dataclass
class Outcome:
    """What a run came to: the images that were made, and how each node ended."""

    done: dict[str, Done] = field(default_factory=dict)
    ended: tuple[Ended, ...] = ()

    @property
    def errors(self) -> tuple[BaseException, ...]:
        """Why nodes failed, the first failure first."""
        return tuple(end.error for end in self.ended if end.error)


class Catalogue:
    """Recipes of one run.

    Raises, when it is made, all problems of all recipes.
    """

    def __init__(self, paths: Sequence[Path], workplace: Workplace, report: Report) -> None:
        self.workplace = workplace
        self.report = report
        unique = {path.resolve(): path for path in reversed(paths)}
        ordered = dict.fromkeys(path for path in paths if unique[path.resolve()] == path)
        self.sessions = _each(ordered, lambda path: Session(path, workplace))

    # -- planning ------------------------------------------------------------------------------------------

    def entries(self, only: Sequence[str] = ()) -> tuple[Entry, ...]:
        """Return every image whose tag, or name and tag, fits one of the patterns `only`; all without any.

        Raises:
            AvabuildError: all problems of all plans: no release fits, two recipes make one image; a
                pattern that fits none.
        """
        projects = [(session, project) for session in self.sessions for project in session.projects]
        groups = _each(projects, lambda pair: tuple(self._entries(*pair)))
        every = tuple(entry for group in groups for entry in group)
        together(_clashes(every))
        chosen = tuple(entry for entry in every if _fits(entry, only))
        for pattern in only:
            if not any(_fits(entry, (pattern,)) for entry in every):
                names = ", ".join(entry.name for entry in every)
                raise RecipeError((Problem("--only", "", f'no image fits "{pattern}"; there are {names}'),))
        return chosen

    def _entries(self, session: Session, project: Project) -> Iterator[Entry]:
        base = session.known_base(project)
        if base is None and not isinstance(project.recipe.one_base, DebianBase):
            log = self.workplace.log("plan")
            base = session.obtain(project, Tools(self.workplace.host, self.report, log), self.report)
        plans = session.plans(project, session.facts(project, base))
        for index, plan in enumerate(plans):
            yield Entry(session, project, index, plan, base)

    def forecasts(self, entries: Sequence[Entry]) -> tuple[tuple[Entry, tuple[Row, ...]], ...]:
        """Return what a build of each image would make and find; indexes are asked for several at once."""

        def forecast(entry: Entry) -> tuple[Row, ...]:
            return entry.session.forecast(entry.project, entry.plan, entry.base)

        with ThreadPoolExecutor(4, "forecast") as pool:
            asked = [pool.submit(forecast, entry) for entry in entries]
            rows = _each(asked, Future.result)
        return tuple(zip(entries, rows, strict=True))

    # -- building ------------------------------------------------------------------------------------------

    def build(self, entries: Sequence[Entry], listener: Listener, *, jobs: int, keep_going: bool) -> Outcome:
        """Build the images, `jobs` at a time; an image waits for those of the recipes that its own stands on.

        A failure stops what needs it; without `keep_going` nothing else is begun either.
        """
        self._sweep()
        run = _Run(self, entries, listener)
        graph = Graph(
            run.nodes, run.work, jobs=jobs, keep_going=keep_going, stop=run.running.stop, ended=run.ended
        )
        run.outcome.ended = graph.run()
        return run.outcome

    def image_list(self) -> Path:
        """Return the local storage's own list of images, for stamps."""
        log = self.workplace.log("stamp")
        return image_list(Tools(self.workplace.host, self.report, log))

    def _sweep(self) -> None:
        """Remove what killed builds left: their scratch, working containers and half-imported images."""
        dead = sweep(self.workplace.store)
        if not dead:
            return
        tools = Tools(self.workplace.host, self.report, self.workplace.log("sweep"))
        marks = tuple(f"avabuild-{build}-" for build in dead)
        for name in tools.container_names():
            if name.startswith(marks):
                tools.remove(name)
        for name in tools.image_ids():
            if name.removeprefix("localhost/").startswith(marks):
                tools.remove_image(name)


class _Run:
    """One run over the graph: bases that are yet to be brought in, then images."""

    def __init__(self, catalogue: Catalogue, entries: Sequence[Entry], listener: Listener) -> None:
        self.catalogue = catalogue
        self.listener = listener
        self.running = Running()
        self.outcome = Outcome()
        self._entries = {entry.plan.reference: entry for entry in entries}
        self._bases: dict[str, Base] = {}
        self._owners: dict[str, Entry] = {}
        self.nodes = tuple(self._nodes())

    def _nodes(self) -> Iterator[Node]:
        by_file = {
            (entry.session.path.resolve(), entry.plan.target.tag): reference
            for reference, entry in self._entries.items()
        }
        renew = bool(self.catalogue.workplace.wishes.upgrade & {"*", "base"})
        for reference, entry in self._entries.items():
            needs = {
                by_file[path.resolve(), entry.plan.target.tag]
                for path in entry.project.below
                if (path.resolve(), entry.plan.target.tag) in by_file
            }
            if entry.base is None or renew:
                name = f"base {entry.session.base_name(entry.project)}"
                if name not in self._owners:
                    self._owners[name] = entry
                    yield Node(name)
                needs.add(name)
            yield Node(reference, frozenset(needs))

    def work(self, node: Node) -> None:
        """Do one node."""
        if owner := self._owners.get(node.name):
            self._obtain(owner, node.name)
        else:
            self._build(self._entries[node.name])

    def _obtain(self, entry: Entry, name: str) -> None:
        workplace, report = self.catalogue.workplace, self.catalogue.report
        tools = Tools(workplace.host, report, workplace.log(name))
        with self.running.build(tools):
            self._bases[name] = entry.session.obtain(entry.project, tools, report)

    def _build(self, entry: Entry) -> None:
        session, project = entry.session, entry.project
        report = self.catalogue.report.of(entry.plan.reference)
        tools = Tools(self.catalogue.workplace.host, report, self.catalogue.workplace.log(entry.name))
        base = session.obtain(project, tools, report)
        plan = session.plans(project, base.facts)[entry.index] if entry.base != base else entry.plan
        done = session.build(project, plan, base, report, self.running)
        self.outcome.done[entry.plan.reference] = done
        with report.alone:
            self.listener.done(entry, done, report.seconds)

    def ended(self, end: Ended) -> None:
        """Tell of a node that came to nothing."""
        if end.state != "done":
            with self.catalogue.report.alone:
                self.listener.ended(end)


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


def _clashes(entries: Sequence[Entry]) -> list[AvabuildError]:
    """Return a problem for every image that two recipes, or two targets of one, would both make."""
    seen: dict[str, Entry] = {}
    problems = []
    for entry in entries:
        first = seen.setdefault(entry.plan.reference, entry)
        if first is not entry:
            message = f"{entry.name} is made by {first.session.path} too; choose another name or tag"
            problems.append(Problem(entry.project.recipe.place("name"), "name", message))
    return [RecipeError(tuple(problems))] if problems else []


def _fits(entry: Entry, patterns: Sequence[str]) -> bool:
    texts = (entry.plan.tag, entry.name)
    return not patterns or any(fnmatchcase(text, pattern) for text in texts for pattern in patterns)
