"""One image in one run of avabuild: what a build of it would make, and the build."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from avabuild.common.errors import AvabuildError
from avabuild.engine.build import build
from avabuild.engine.context import Context
from avabuild.engine.exec.apt_run import forget_lists
from avabuild.engine.job import Built, Job
from avabuild.engine.names import looked_up, names_for, refuse_unknown
from avabuild.engine.publication import NoPublication, Publication
from avabuild.engine.python.fetching import package_files
from avabuild.engine.python.resolution import Below, Inquiry, require_lock, still_locked
from avabuild.engine.python.wheels import is_here
from avabuild.layer.base import Base
from avabuild.layer.facts import Facts
from avabuild.layer.overlaps import told
from avabuild.plan.agreement import disagreement
from avabuild.plan.plan import Plan
from avabuild.plan.planning import make_plan
from avabuild.plan.project import Project, open_projects
from avabuild.plan.stepping import Without, blamed, moved, step_back
from avabuild.plugins.registry import Registry
from avabuild.recipe import DebianBase
from avabuild.resolve import read_lock
from avabuild.resolve.lock import AptLock, Package, TargetLock
from avabuild.resolve.uv import Unsolvable
from avabuild.run.forecast import Forecast, Need, Row, needs
from avabuild.run.publish import Done
from avabuild.run.recipe_run import RecipeRun
from avabuild.run.running import Running
from avabuild.store import Scratch, Store
from avabuild.tools.events import Report


def _silent(words: str) -> None:
    """Take a warning and drop it."""


@dataclass(frozen=True, slots=True)
class ImageRun:
    """One image of a run.

    Attributes:
        recipe: whose it is.
        project: the recipe on the image's base.
        index: which of the project's targets it is.
        plan: as far as it is known before the base is there.
        base: None for a Debian that is yet to be bootstrapped.
    """

    recipe: RecipeRun
    project: Project
    index: int
    plan: Plan
    base: Base | None = None

    @property
    def name(self) -> str:
        """The image's name and tag, without the registry: `ava-keras:py311-cpu`."""
        return f"{self.plan.name}:{self.plan.tag}"

    @property
    def store(self) -> Store:
        """The store of the run."""
        return self.recipe.store

    @property
    def facts(self) -> Facts:
        """What can be built on its base; where that is not here, what it will be."""
        return self.recipe.bases.facts(self.project, self.base)

    def on(self, base: Base) -> ImageRun:
        """Return the image on `base`, with the plan that this one gives."""
        if base == self.base:
            return self
        return replace(self, base=base, plan=self.recipe.plans(self.project, base.facts)[self.index])

    # -- what is known before ------------------------------------------------------------------------------

    @property
    def locked(self) -> TargetLock | None:
        """What the lock says of it, whether or not that still answers the plan."""
        return self.recipe.lock.entry(self.plan.target.tag)

    @property
    def last_build(self) -> TargetLock | None:
        """What the last build here resolved to, while the lock is as it left it; with --locked nothing."""
        if self.recipe.workplace.wishes.locked:
            return None
        recorded: Any = self.store.recall("built-as", self._parts_name)
        try:
            lock, built = (TargetLock.model_validate(one) for one in recorded)
        except (ValueError, TypeError):  # nothing, or another version's
            return None
        return built if lock == self.locked else None

    @property
    def starting_lock(self) -> TargetLock | None:
        """What a build starts from: the lock's entry, the last build's packages of the distribution first.

        A lock may name none, and mirrors drop the packages that it names.
        """
        entry, built = self.locked, self.last_build
        if entry is None or built is None:
            return entry
        apt = (*built.apt, *(one for one in entry.apt if one not in built.apt))
        return entry.model_copy(update={"base": entry.base or built.base, "apt": apt})

    @property
    def before(self) -> TargetLock | None:
        """What it resolved to before, else what the image on which it stands did."""
        return self.locked or next((found for _, found in self._locks_below()), None)

    @property
    def below(self) -> Below | None:
        """What the recipe on which this one stands is locked to, if its lock still answers it."""
        for path, entry in self._locks_below():
            with suppress(AvabuildError):
                facts = self.recipe.bases.facts(self.project, self.recipe.bases.known(self.project))
                for lower in open_projects(path, self.recipe.workplace.registry):
                    own = make_plan(lower, self.plan.target, facts, entry.without)
                    if own.request_digest == entry.request:
                        return Below(own, entry.python)
        return None

    def _locks_below(self) -> Iterator[tuple[Path, TargetLock]]:
        """Yield what the recipes on which it stands are locked to for its target, nearest first."""
        for path in self.project.below:
            lock = read_lock(path.with_suffix(".lock"))
            if lock and (entry := lock.target(self.plan.target.tag)):
                yield path, entry

    def inquiry(self, upgrade: frozenset[str] = frozenset()) -> Inquiry:
        """Return what a resolver is asked for it, where versions of `upgrade` are not kept."""
        indexes, directory = self.recipe.indexes(self.plan), self.project.directory
        return Inquiry(self.plan, indexes, directory, self.before, self.below, upgrade)

    # -- forecast ------------------------------------------------------------------------------------------

    def forecast(self, *, ask: bool = True, warn: Callable[[str], None] = _silent) -> tuple[Row, ...]:
        """Return what a build would make and find; unless `ask`, no index is asked for packages.

        What a build would warn of, as far as that is known before, goes to `warn`.
        """
        plan, store, workplace = self.plan, self.store, self.recipe.workplace
        entry, locked = self.starting_lock, still_locked(self.recipe.lock.lock, plan)
        asked = self.inquiry()
        apt = entry.apt if entry else ()
        if ask:
            self._look_up(apt, warn)
        packages: tuple[Package, ...] | None = locked.python if locked else None
        below = asked.below
        if packages is None and below and below.answers(plan):
            packages = below.packages
        if packages is None and plan.target.python and ask:
            with Scratch(store) as scratch:
                resolution = asked.resolution(scratch.path, package_files(store))
                packages = resolution.without_building()
        if packages and (words := disagreement(plan.target.device, packages)):
            warn(words)
        interpreter = self.facts.interpreter(plan.target.python) if plan.target.python else None
        forecast = Forecast(
            store,
            workplace.host,
            plan,
            self.base,
            store.recall("parts", self._parts_name) or {},
            apt,
            self.project.directory,
            workplace.wishes.output.path,
            store.recall("unpacked", self._parts_name) or {},
        )
        rest = below.rest(plan) if packages is None and below else None
        if below and rest:
            forecast.kept, forecast.added = below.packages, (*rest[0], *rest[1])
        rows = forecast.rows(packages, interpreter or "")
        for words in told(forecast.overlaps):
            warn(words)
        return rows

    def _look_up(self, locks: Sequence[AptLock], warn: Callable[[str], None]) -> None:
        """Raise ResolveError for apt packages that the distribution does not have; an old index warns."""
        plan, host = self.plan, self.recipe.workplace.host
        for apt in looked_up(plan, locks):
            names = names_for(self.store, host, self.base, plan.target, apt, self._mirror)
            if names and names.old:
                for line in names.unknown(apt.packages):
                    warn(f"by an index that is older than a day, {line}")
            else:
                refuse_unknown(names, apt.packages, plan.target.distribution)

    @property
    def _mirror(self) -> str:
        """The mirror that packages come from where it is not the base's own."""
        spec, host = self.project.recipe.one_base, self.recipe.workplace.host
        return (spec.mirror or host.mirror or "") if isinstance(spec, DebianBase) else ""

    @property
    def _parts_name(self) -> str:
        return f"{self.recipe.path.absolute()}:{self.plan.target.tag}"

    def needs(self) -> tuple[Need, ...]:
        """Return what of the image needs a container."""
        plan, wishes = self.plan, self.recipe.workplace.wishes
        interpreter = plan.target.python is None or is_here(plan.target.python)
        return needs(plan, self.forecast(), wishes.output, checks=wishes.checks, interpreter=interpreter)

    # -- older series --------------------------------------------------------------------------------------

    def stepped_back(self, error: Unsolvable, report: Report) -> ImageRun:
        """Return the image with the plan nearest to its own, which did not resolve, that does; tells which.

        Raises Unsolvable, the `error`, when there is none within the recipe; it then says what would be.
        """
        project, plan, registry = self.project, self.plan, self.project.registry
        with Scratch(self.store) as scratch:

            def ask(other: Plan) -> object:
                inquiry, files = replace(self, plan=other).inquiry(), package_files(self.store)
                return inquiry.resolution(scratch.directory("resolve"), files).without_building()

            def make(without: Without, *, any_version: bool = False) -> Plan:
                return make_plan(project, plan.target, self.facts, without, any_version=any_version)

            found = step_back(plan, error, make, ask)
            if found is None:
                beyond = step_back(plan, error, partial(make, any_version=True), ask)
                error.hint = _unresolved(plan, beyond, error, registry)
                raise error
        report.warn(_stepped(plan, found, registry))
        return replace(self, plan=found)

    # -- build ---------------------------------------------------------------------------------------------

    def build(self, base: Base, report: Report, running: Running) -> Done:
        """Build it on `base` and write the lock; `running` can stop it.

        Where the newest series of its frameworks don't resolve with the rest, older ones are taken.
        """
        image = self.on(base)
        try:
            return image._build(base, report, running)
        except Unsolvable as error:
            return image.stepped_back(error, report)._build(base, report, running)

    def _build(self, base: Base, report: Report, running: Running) -> Done:
        began = time.monotonic()
        plan, workplace = self.plan, self.recipe.workplace
        tools = workplace.tools(report, f"{plan.name}-{plan.tag}")
        with Scratch(self.store) as own:
            tools.temporary = own.directory("tmp")
            index = self.recipe.indexes(plan).index
            host = workplace.host.with_index(index) if plan.index and index else workplace.host
            context = Context(self.store, own, tools, report, host, tools.log, keep=workplace.wishes.keep)
            with running.build(tools, context.failed, context.downloads):
                job = self._job(base)
                with self._publication(base, context) as publication:
                    built = build(context, job, publication)
                    self._remember(built)
                    pushed = publication.finish(built.composed)
        return Done(plan, built, time.monotonic() - began, pushed, tuple(dict.fromkeys(report.lasting)))

    def _publication(self, base: Base, context: Context) -> AbstractContextManager[Publication]:
        if publisher := self.recipe.workplace.publisher:
            return publisher.push(self.plan, base, self.store, context.report, context.downloads)
        return nullcontext(NoPublication())

    def _job(self, base: Base) -> Job:
        wishes, lock = self.recipe.workplace.wishes, self.recipe.lock
        if wishes.locked:
            require_lock(lock.lock, self.plan, (lock.path, self.recipe.path))
        entry = self.starting_lock
        if entry and wishes.upgrade:
            entry = entry.model_copy(update={"request": "", "apt": self.kept_apt(entry, base)})
        return Job(
            inquiry=self.inquiry(wishes.upgrade),
            base=base,
            lock=entry,
            content=self.project.recipe.content(),
            output=wishes.output,
            check=wishes.checks,
            anew=wishes.check is True,
            locked=wishes.locked,
        )

    def kept_apt(self, entry: TargetLock, base: Base) -> tuple[AptLock, ...]:
        """Return the apt layers of a lock's entry; none with --upgrade, which fetches lists once a run."""
        workplace = self.recipe.workplace
        if not workplace.wishes.upgrade & {"*", "apt"}:
            return entry.apt
        if base.digest not in workplace.renewed:
            workplace.renewed.add(base.digest)
            forget_lists(self.store, base.digest)
        return ()

    def _remember(self, built: Built) -> None:
        """Write the lock, and the parts of every key, to explain the next rebuild."""
        upgrade = bool(self.recipe.workplace.wishes.upgrade)
        self.recipe.lock.built(self.plan, built.lock, upgrade=upgrade)
        if lock := self.locked:
            both = [one.model_dump(mode="json") for one in (lock, built.lock)]
            self.store.record("built-as", self._parts_name, both)
        self.store.record("parts", self._parts_name, built.parts)
        self.store.record("unpacked", self._parts_name, built.unpacked)


def _stepped(plan: Plan, found: Plan, registry: Registry) -> str:
    """Say which series were taken in place of the newest, and what their tables note of those."""
    rows = moved(plan, found)
    words = [f"{name} {now}, because {before} does not resolve here" for name, before, now in rows]
    return "; ".join(["taken: " + ", ".join(words), *_notes([row[:2] for row in rows], registry)])


def _unresolved(plan: Plan, beyond: Plan | None, error: Unsolvable, registry: Registry) -> str | None:
    """Say what the recipe could ask for, and what the tables note of what did not resolve; else None."""
    rows = " and ".join(f"{name} {series}" for name, _, series in moved(plan, beyond)) if beyond else ""
    would = f"{rows} would resolve: ask for that in [frameworks]" if rows else ""
    names = [one.split(" ", 1) for one in blamed(plan, error.message)]
    notes = _notes([(name, series) for name, series in names], registry)
    return "; ".join(filter(None, [would, *notes, error.hint])) or None


def _notes(rows: Sequence[tuple[str, str]], registry: Registry) -> list[str]:
    """Return the notes of series, given by framework and series."""
    tables = ((release, row) for row in rows for release in registry.framework(row[0]).releases)
    return [release.note for release, (_, series) in tables if release.version == series and release.note]
