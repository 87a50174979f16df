"""Builds: the images of a catalogue, built as one graph."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

from avabuild.common.errors import AvabuildError, together
from avabuild.engine.key import image_key
from avabuild.engine.python.resolution import require_lock
from avabuild.images.leftovers import sweep_builds
from avabuild.images.sbom.sbom import Format, has_bills
from avabuild.layer.base import Base
from avabuild.layer.keys import FLAT, flat
from avabuild.run.catalogue import Catalogue
from avabuild.run.forecast import refusal
from avabuild.run.graph import Ended, Graph, Node
from avabuild.run.image import ImageRun
from avabuild.run.publish import Done, There
from avabuild.run.running import Running
from avabuild.store.scratch import sweep
from avabuild.tools.buildah import Tools


@dataclass
class Listener:
    """What a run tells while images are built; called from one thread at a time.

    Attributes:
        done: an image is finished; `seconds` are those of its phases.
        ended: a node failed or was skipped.
    """

    done: Callable[[ImageRun, Done, Mapping[str, float]], None]
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


def build(
    catalogue: Catalogue, entries: Sequence[ImageRun], listener: Listener, *, jobs: int, keep_going: bool
) -> Outcome:
    """Build the images, `jobs` at a time; an image waits for those of the recipes that its own stands on.

    A failure stops what needs it; without `keep_going` nothing else is begun either.
    """
    if catalogue.workplace.wishes.locked:
        _require_locks(entries)
    confined = bool(catalogue.workplace.confined)
    if confined and not keep_going:
        _refuse(catalogue, entries)
    _sweep(catalogue)
    shared = catalogue.workplace.store.shared
    if problem := shared.problem() if shared else None:
        catalogue.report.warn(problem)
    run = _Run(catalogue, entries, listener, alone=confined and keep_going)
    graph = Graph(run.nodes, run.work, jobs=jobs, keep_going=keep_going, stop=run.stop, ended=run.ended)
    run.outcome.ended = graph.run()
    return run.outcome


def pushed_before(entries: Sequence[ImageRun], bills: Sequence[Format] = ()) -> dict[str, There]:
    """Return, by reference, the images that their registry has just as a build would push them, with `bills`.

    Raises UnavailableError, RegistryError: the registry can't be asked.
    """
    with ThreadPoolExecutor(8, "look") as pool:
        found = pool.map(lambda entry: (entry.plan.reference, _there(entry, bills)), entries)
        return {reference: there for reference, there in found if there}


def _there(entry: ImageRun, bills: Sequence[Format]) -> There | None:
    recipe, plan, project = entry.recipe, entry.plan, entry.project
    workplace = recipe.workplace
    publisher, wishes = workplace.publisher, workplace.wishes
    base = entry.base.digest if entry.base else recipe.bases.pinned(project)
    answers = (entry.locked, entry.last_build)
    asked = (plan.request_digest, base)
    lock = next((one for one in answers if one and (one.request, one.base) == asked), None)
    alone = wishes.output.kind == "nowhere" and not wishes.force and not wishes.upgrade
    if publisher is None or lock is None or not alone:
        return None
    environ = workplace.host.environment
    key = image_key(entry.store, plan, lock, project.recipe.content(), project.directory, environ)
    there = publisher.there(plan, key) if key else None
    if key and there is None and workplace.namespace.means.mode in FLAT:
        there = publisher.there(plan, flat(key))
    return there if there and has_bills(publisher.repository(there.name), there.digest, bills) else None


def image_list(catalogue: Catalogue) -> Path:
    """Return the local storage's own list of images, for stamps."""
    return catalogue.workplace.tools(catalogue.report, "stamp").storage.images


def _require_locks(entries: Sequence[ImageRun]) -> None:
    """Raise LockError for all locks that lack something, before anything is fetched for them."""
    errors: list[AvabuildError] = []
    for entry in entries:
        recipe = entry.recipe
        try:
            require_lock(recipe.lock.lock, entry.plan, (recipe.lock.path, recipe.path))
        except AvabuildError as error:
            errors.append(error)
    together(errors)


def _refuse(catalogue: Catalogue, entries: Sequence[ImageRun]) -> None:
    """Raise HostError for all images that need a container, where none can be started."""
    found = {}
    for entry in entries:
        base = entry.base or entry.recipe.bases.look_elsewhere(entry.project)
        found[entry.name] = replace(entry, base=base).needs()
    if any(found.values()):
        raise refusal(catalogue.workplace.confined, found)


def _sweep(catalogue: Catalogue) -> None:
    """Remove what killed builds left."""

    def tools() -> Tools:
        return catalogue.workplace.tools(catalogue.report, "sweep")

    if catalogue.workplace.confined:
        sweep(catalogue.workplace.store, lambda _: None)  # who can do more does it
    else:
        sweep_builds(catalogue.workplace.store, tools)


class _Run:
    """One run over the graph: bases that are yet to be brought in, then images.

    `alone` says that each image is asked by itself whether it can be made here.
    """

    def __init__(
        self, catalogue: Catalogue, entries: Sequence[ImageRun], listener: Listener, *, alone: bool
    ) -> None:
        self._alone = alone
        self.catalogue = catalogue
        self.listener = listener
        self.running = Running()
        self.outcome = Outcome()
        self._entries = {entry.plan.reference: entry for entry in entries}
        self._bases: dict[str, Base] = {}
        self._owners: dict[str, ImageRun] = {}
        self.nodes = tuple(self._nodes())

    def _nodes(self) -> Iterator[Node]:
        by_file = {
            (entry.recipe.path.resolve(), entry.plan.target.tag): reference
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
                name = f"base {entry.recipe.bases.name(entry.project)}"
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

    def stop(self) -> None:
        """End all that runs soon."""
        self.running.stop()
        if elsewhere := self.catalogue.workplace.elsewhere:
            elsewhere.stop()

    def _obtain(self, entry: ImageRun, name: str) -> None:
        workplace, report = self.catalogue.workplace, self.catalogue.report
        tools = workplace.tools(report, name)
        with self.running.build(tools):
            self._bases[name] = entry.recipe.bases.obtain(entry.project, tools, report)

    def _build(self, entry: ImageRun) -> None:
        report = self.catalogue.report.of(entry.plan.reference)
        tools = self.catalogue.workplace.tools(report, entry.name)
        if self._alone:
            _refuse(self.catalogue, [entry])
        base = entry.recipe.bases.obtain(entry.project, tools, report)
        done = entry.build(base, report, self.running)
        self.outcome.done[entry.plan.reference] = done
        with report.alone:
            self.listener.done(entry, done, report.seconds)

    def ended(self, end: Ended) -> None:
        """Tell of a node that came to nothing."""
        if end.state != "done":
            with self.catalogue.report.alone:
                self.listener.ended(end)
