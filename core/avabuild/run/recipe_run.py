"""One recipe in one run of avabuild: its plans, its forecasts, its builds and its lock."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

from avabuild.common.errors import AvabuildError, LockError, TargetError
from avabuild.engine.bases import bring_base, forget, obtain, obtained, offer_base, reference
from avabuild.engine.build import build
from avabuild.engine.context import Context
from avabuild.engine.exec.apt_run import forget_lists
from avabuild.engine.job import Built, Job
from avabuild.engine.names import looked_up, names_for, refuse_unknown
from avabuild.engine.python.resolution import Below, Resolution, require_lock, resolver_for, still_locked
from avabuild.engine.python.wheels import is_here
from avabuild.layer.base import Base
from avabuild.layer.facts import Facts, assumed
from avabuild.layer.overlaps import told
from avabuild.plan.agreement import disagreement
from avabuild.plan.plan import Plan
from avabuild.plan.planning import make_plan
from avabuild.plan.project import Project, open_projects
from avabuild.plan.stepping import Without, blamed, moved, step_back
from avabuild.plan.targets import targets
from avabuild.plugins.registry import Registry
from avabuild.plugins.target import Target
from avabuild.recipe import DebianBase
from avabuild.resolve import Fetcher, Indexes, Progress, Resolver, file_name, read_lock, write_lock
from avabuild.resolve.lock import AptLock, Lock, Package, TargetLock
from avabuild.resolve.uv import Unsolvable
from avabuild.run.forecast import Forecast, Need, Row, needs
from avabuild.run.publish import Done, none
from avabuild.run.run import Workplace
from avabuild.run.running import Halt, Running
from avabuild.store import Scratch, Store
from avabuild.tools.buildah import Tools
from avabuild.tools.events import Event, Report


def _silent(words: str) -> None:
    """Take a warning and drop it."""


class Session:
    """One recipe: everything that its targets share while they are planned or built."""

    def __init__(self, path: Path, workplace: Workplace) -> None:
        self.path = path
        self.workplace = workplace
        self.projects: tuple[Project, ...] = open_projects(path, workplace.registry)
        self.lock_path = self.projects[0].lock_path
        self.lock = read_lock(self.lock_path)
        self._writing = threading.Lock()
        self._renamed: set[str] = set()  # names of bases that are others than the lock's, which was told
        if workplace.wishes.locked and self.lock is None:
            raise LockError(f"{self.lock_path} does not exist", hint="run once without --locked, commit it")

    @property
    def store(self) -> Store:
        """The store of the run."""
        return self.workplace.store

    # -- planning ------------------------------------------------------------------------------------------

    def base_name(self, project: Project) -> str:
        """Return what names the project's base before it is obtained; equal names are one base."""
        base, host = project.recipe.one_base, self.workplace.host
        return reference(base, project.directory, host.arch, self.store, host.mirror)

    def known_base(self, project: Project) -> Base | None:
        """Return the base when the store has it, the lock's own if there is one."""
        return obtained(project.recipe.one_base, self.store, self.base_name(project), self.pinned(project))

    def look_elsewhere(self, project: Project) -> Base | None:
        """Return the base when it could be brought from elsewhere."""
        name, pinned = self.base_name(project), self.pinned(project)
        return self.known_base(project) if bring_base(self.store, name, pinned) else None

    def pinned(self, project: Project) -> str:
        """Return the digest that the lock has for the base; empty where a new one is wanted."""
        if self.lock is None or self.workplace.wishes.upgrade & {"*", "base"}:
            return ""
        tags = tuple(point.tag_end for point in project.points)
        return next((entry.base for entry in self.lock.targets if entry.target.endswith(tags)), "")

    def facts(self, project: Project, base: Base | None) -> Facts:
        """Return what can be built on the base; for one that is not here, what it will be."""
        spec = project.recipe.one_base
        if base is not None:
            return base.facts
        known = assumed(spec.debian) if isinstance(spec, DebianBase) else project.assumed_base
        assert known  # noqa: S101 - every other base is obtained before
        return known

    def plans(self, project: Project, facts: Facts) -> tuple[Plan, ...]:
        """Return one plan per target of the recipe's matrix that stands on this base."""
        found = targets(project.recipe, facts, self.workplace.host, project.points)
        return tuple(self._plan(project, target, facts) for target in found)

    def _plan(self, project: Project, target: Target, facts: Facts) -> Plan:
        """Return the plan of one target: with the series of the lock where that stepped back for it."""
        entry = self.lock.target(target.tag) if self.lock else None
        if entry and entry.without and not self.workplace.wishes.upgrade:
            with suppress(TargetError):
                plan = make_plan(project, target, facts, entry.without)
                if plan.request_digest == entry.request:
                    return plan
        return make_plan(project, target, facts)

    def stepped_back(
        self, project: Project, plan: Plan, facts: Facts, error: Unsolvable, report: Report
    ) -> Plan:
        """Return the plan nearest to `plan`, which did not resolve, that does; tells what was chosen.

        Raises Unsolvable, the `error`, when there is none within the recipe; it then says what would be.
        """
        with Scratch(self.store) as scratch:

            def ask(other: Plan) -> object:
                place = scratch.directory("resolve")
                resolver = resolver_for(other, self.indexes(other), project.directory, place, self.files)
                before, below = self.before(project, other), self.below(project, other)
                return Resolution(other, resolver, before, frozenset(), below).without_building()

            def make(without: Without, *, any_version: bool = False) -> Plan:
                return make_plan(project, plan.target, facts, without, any_version=any_version)

            found = step_back(plan, error, make, ask)
            if found is None:
                beyond = step_back(plan, error, partial(make, any_version=True), ask)
                error.hint = _unresolved(plan, beyond, error, project.registry)
                raise error
        report.warn(_stepped(plan, found, project.registry))
        return found

    def forecast(
        self,
        project: Project,
        plan: Plan,
        base: Base | None,
        *,
        ask: bool = True,
        warn: Callable[[str], None] = _silent,
    ) -> tuple[Row, ...]:
        """Return what a build of `plan` would make and find; unless `ask`, no index is asked for packages.

        What a build would warn of, as far as that is known before, goes to `warn`.
        """
        entry = self.lock.target(plan.target.tag) if self.lock else None
        locked = still_locked(self.lock, plan)
        if ask:
            self._look_up(project, plan, base, entry.apt if entry else (), warn)
        packages: tuple[Package, ...] | None = locked.python if locked else None
        below = self.below(project, plan)
        if packages is None and below and below.answers(plan):
            packages = below.packages
        if packages is None and plan.target.python and ask:
            with Scratch(self.store) as scratch:
                resolver = resolver_for(plan, self.indexes(plan), project.directory, scratch.path, self.files)
                before = self.before(project, plan)
                packages = Resolution(plan, resolver, before, frozenset(), below).without_building()
        if packages and (words := disagreement(plan.target.device, packages)):
            warn(words)
        parts = self.store.recall("parts", self._parts_name(plan)) or {}
        facts = self.facts(project, base)
        interpreter = facts.interpreter(plan.target.python) if plan.target.python else None
        apt = entry.apt if entry else ()
        forecast = Forecast(
            self.store,
            self.workplace.host,
            base,
            parts,
            apt,
            project.directory,
            self._known_stage_base,
            self.workplace.wishes.output.path,
            self.store.recall("unpacked", self._parts_name(plan)) or {},
        )
        rest = below.rest(plan) if packages is None and below else None
        if below and rest:
            forecast.kept, forecast.added = below.packages, (*rest[0], *rest[1])
        rows = forecast.rows(plan, packages, interpreter or "")
        for words in told(forecast.overlaps):
            warn(words)
        return rows

    def _look_up(
        self,
        project: Project,
        plan: Plan,
        base: Base | None,
        locks: Sequence[AptLock],
        warn: Callable[[str], None],
    ) -> None:
        """Raise ResolveError for apt packages that the distribution does not have; an old index warns."""
        mirror = self._mirror(project)
        for apt in looked_up(plan, locks):
            names = names_for(self.store, self.workplace.host, base, plan.target, apt, mirror)
            if names and names.old:
                for line in names.unknown(apt.packages):
                    warn(f"by an index that is older than a day, {line}")
            else:
                refuse_unknown(names, apt.packages, plan.target.distribution)

    def _mirror(self, project: Project) -> str:
        """Return the mirror that packages come from where it is not the base's own."""
        spec = project.recipe.one_base
        own = spec.mirror if isinstance(spec, DebianBase) else None
        return own or (self.workplace.host.mirror if isinstance(spec, DebianBase) else None) or ""

    def needs(self, project: Project, plan: Plan, base: Base | None) -> tuple[Need, ...]:
        """Return what of the image needs a container."""
        rows, wishes = self.forecast(project, plan, base), self.workplace.wishes
        interpreter = plan.target.python is None or is_here(plan.target.python)
        return needs(plan, rows, wishes.output, checks=wishes.checks, interpreter=interpreter)

    def indexes(self, plan: Plan) -> Indexes:
        """Return where the packages of `plan` come from: the host's indexes, or a policy's in their place."""
        indexes = self.workplace.indexes
        return indexes.at(plan.index) if plan.index else indexes

    def _parts_name(self, plan: Plan) -> str:
        return f"{self.path.absolute()}:{plan.target.tag}"

    # -- building ------------------------------------------------------------------------------------------

    def obtain(self, project: Project, tools: Tools, report: Report) -> Base:
        """Bring the project's base into the store; once in a run when a new one is wanted."""
        workplace, spec, name = self.workplace, project.recipe.one_base, self.base_name(project)
        if workplace.wishes.upgrade & {"*", "base"} and name not in workplace.renewed:
            workplace.renewed.add(name)
            forget(self.store, name)
        base = known = self.known_base(project)
        if base is None:
            target = Target.for_base(workplace.host.arch)
            with report.step(f"base {project.base_title}", "base"), Scratch(self.store) as scratch:
                tools.temporary = scratch.directory("tmp")
                pinned = self.pinned(project)
                base = obtain(
                    spec, project.directory, target, self.store, scratch, tools, name, pinned, self._pull
                )
        offer_base(self.store, name, base, anew=known is None)
        pinned = self.pinned(project)
        if pinned and pinned != base.digest:
            if workplace.wishes.locked:
                raise LockError(
                    f"the lock's base {pinned[:19]} can't be had any more; now it is {base.digest[:19]}",
                    place=str(self.lock_path),
                    hint="take today's with --upgrade base",
                )
            if name not in self._renamed:
                self._renamed.add(name)
                report.warn("the base changed since the lock was written; the lock now names the new one")
        return base

    def _pull(self, name: str, directory: Path) -> None:
        """Write the image of a registry as a layout in a new directory."""
        # httpx takes a tenth of a second to import, and skopeo pulls nearly all bases.
        from avabuild.registries.connections import Registries  # noqa: PLC0415
        from avabuild.registries.pull import pull_layout  # noqa: PLC0415

        workplace = self.workplace
        arch = Target.for_base(workplace.host.arch).oci_arch
        with Registries(workplace.host, insecure=workplace.wishes.insecure) as registries:
            pull_layout(registries, name, arch, directory)

    def _stage_name(self, suite: str) -> str:
        host, directory = self.workplace.host, self.path.parent
        return reference(DebianBase(debian=suite), directory, host.arch, self.store, host.mirror)

    def _known_stage_base(self, suite: str) -> Base | None:
        """Return the base of a stage on another Debian release than the image's, when the store has it."""
        return obtained(DebianBase(debian=suite), self.store, self._stage_name(suite))

    def stage_base(self, suite: str, context: Context) -> Base:
        """Bring the base of a stage, a Debian release, into the store."""
        if (base := self._known_stage_base(suite)) is not None:
            return base
        spec, name = DebianBase(debian=suite), self._stage_name(suite)
        target = Target.for_base(self.workplace.host.arch)
        with context.report.step(f"base {suite}, to compile on", "base"):
            base = obtain(spec, self.path.parent, target, self.store, context.scratch, context.tools, name)
        offer_base(self.store, name, base, anew=True)
        return base

    def build(self, project: Project, plan: Plan, base: Base, report: Report, running: Running) -> Done:
        """Build one target and write the lock; `running` can stop it.

        Where the newest series of its frameworks don't resolve with the rest, older ones are taken.
        """
        try:
            return self._build(project, plan, base, report, running)
        except Unsolvable as error:
            other = self.stepped_back(project, plan, base.facts, error, report)
            return self._build(project, other, base, report, running)

    def _build(self, project: Project, plan: Plan, base: Base, report: Report, running: Running) -> Done:
        began = time.monotonic()
        tools = self.workplace.tools(report, f"{plan.name}-{plan.tag}")
        with Scratch(self.store) as own:
            tools.temporary = own.directory("tmp")
            keep = self.workplace.wishes.keep
            host, index = self.workplace.host, self.indexes(plan).index
            host = host.with_index(index) if plan.index and index else host
            context = Context(self.store, own, tools, report, host, tools.log, keep=keep)
            with running.build(tools, context.failed) as halt:
                job, publisher = self._job(project, plan, base, context, halt), self.workplace.publisher
                way = publisher.push(plan, base, self.store, report, halt.downloads) if publisher else none()
                with way as (ready, finish):
                    built = build(context, replace(job, ready=ready))
                    self._remember(project, plan, built)
                    pushed = finish(built.composed)
        return Done(plan, built, time.monotonic() - began, pushed, tuple(dict.fromkeys(report.lasting)))

    def _job(
        self,
        project: Project,
        plan: Plan,
        base: Base,
        context: Context,
        halt: Halt,
    ) -> Job:
        wishes, indexes = self.workplace.wishes, self.indexes(plan)
        if wishes.locked:
            require_lock(self.lock, plan, (self.lock_path, self.path))
        entry = self.lock.target(plan.target.tag) if self.lock else None
        before = self.before(project, plan)
        if entry and wishes.upgrade:
            entry = entry.model_copy(update={"request": "", "apt": self._kept(entry, base)})
        workdir = context.scratch.directory("resolve")
        resolver = resolver_for(plan, indexes, project.directory, workdir, self.files, halt.downloads)
        resolution = Resolution(plan, resolver, before, wishes.upgrade, self.below(project, plan))

        def progress(one: Progress) -> None:
            context.report.emit(Event("progress", one.filename, done=one.done, total=one.total))

        fetcher = Fetcher(
            self.files,
            indexes,
            resolver.locate,
            progress=progress,
            cancellation=halt.downloads,
            elsewhere=self._elsewhere,
            use=self._here,
        )
        beside = context.scratch.directory("resolve-compile")
        locate = resolver_for(plan, indexes, project.directory, beside, self.files).locate
        return Job(
            plan=plan,
            base=base,
            lock=entry,
            request=plan.request_digest,
            content=project.recipe.content(),
            directory=project.directory,
            resolve=lambda workshop: resolution.with_workshop(workshop, context.report),
            fetcher=fetcher,
            indexes=indexes,
            originals=replace(fetcher, locate=locate),
            pins=lambda pins, platform: Resolver(platform, indexes, project.directory, beside).pinned(pins),
            stage_base=lambda suite: self.stage_base(suite, context),
            upgrade=wishes.upgrade,
            output=wishes.output,
            check=wishes.checks,
            anew=wishes.check is True,
            locked=wishes.locked,
        )

    def before(self, project: Project, plan: Plan) -> TargetLock | None:
        """Return what the target resolved to before, else what the image that it stands on did."""
        entry = self.lock.target(plan.target.tag) if self.lock else None
        return entry or next((found for _, found in self._locks_below(project, plan)), None)

    def below(self, project: Project, plan: Plan) -> Below | None:
        """Return what the recipe that this one stands on is locked to, if its lock still answers it."""
        for path, entry in self._locks_below(project, plan):
            with suppress(AvabuildError):
                facts = self.facts(project, self.known_base(project))
                for lower in open_projects(path, self.workplace.registry):
                    own = make_plan(lower, plan.target, facts, entry.without)
                    if own.request_digest == entry.request:
                        return Below(own, entry.python)
        return None

    def _locks_below(self, project: Project, plan: Plan) -> Iterator[tuple[Path, TargetLock]]:
        """Yield what the recipes that it stands on are locked to for the target, nearest first."""
        for path in project.below:
            lock = read_lock(path.with_suffix(".lock"))
            if lock and (entry := lock.target(plan.target.tag)):
                yield path, entry

    def _kept(self, entry: TargetLock, base: Base) -> tuple[AptLock, ...]:
        """Return the lock's apt layers; none when they are wanted anew, from lists fetched once a run."""
        if not self.workplace.wishes.upgrade & {"*", "apt"}:
            return entry.apt
        if base.digest not in self.workplace.renewed:
            self.workplace.renewed.add(base.digest)
            forget_lists(self.store, base.digest)
        return ()

    @property
    def files(self) -> Path:
        """Where fetched files are."""
        return self.store.root / "wheels"

    def _here(self, package: Package, path: Path) -> bool:
        """Whether the file of the package is in this store, and whole."""
        name = str(path.relative_to(self.store.root))
        return self.store.holds(name, f"sha256:{package.sha256}", package.size or None)

    def _elsewhere(self, package: Package) -> Path | None:
        """Return the file of the package from the shared store, held against its hash."""
        name, digest = f"wheels/{file_name(package)}", f"sha256:{package.sha256}"
        return self.store.find(name, digest, package.size or None)

    def write(self, project: Project, plan: Plan, entry: TargetLock) -> bool:
        """Put what a target resolved to into the lock; return whether that changed it."""
        with self._writing:
            lock = self.lock or Lock(recipe=project.recipe.name)
            lock = lock.with_target(entry).with_plugins(plan.plugins)
            lock = lock.model_copy(update={"recipe": plan.name})
            changed = lock != self.lock
            if changed:
                write_lock(self.lock_path, lock)
            self.lock = lock
        return changed

    def _remember(self, project: Project, plan: Plan, built: Built) -> None:
        """Write the lock, and the parts of every key, to explain the next rebuild."""
        self.write(project, plan, built.lock)
        self.store.record("parts", self._parts_name(plan), built.parts)
        self.store.record("unpacked", self._parts_name(plan), built.unpacked)


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
