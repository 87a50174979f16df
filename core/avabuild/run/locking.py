"""Locking without building: what the targets of a catalogue resolve to now goes into their locks.

What uv resolves needs neither base nor container. A Python that only its own pip serves, and what comes only
as source, is resolved in a container of the base; Python 2.7 also in one of Debian's, where the base can't be
had: its packages are the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace

from avabuild.common.errors import AvabuildError, UnavailableError, together
from avabuild.engine.context import Context
from avabuild.engine.exec.apt import add_apt
from avabuild.engine.exec.run_step import add_run
from avabuild.engine.exec.stack import Chain
from avabuild.engine.python.resolution import Resolution, is_full, resolver_for, still_locked
from avabuild.engine.stages.compile import interpreter_of
from avabuild.engine.stages.workshop import ClassicWorkshop, Workshop, supply_of
from avabuild.layer.base import Base
from avabuild.plugins.kinds import Apt
from avabuild.recipe import DebianBase
from avabuild.resolve import Fetcher
from avabuild.resolve.lock import AptLock, Package, TargetLock
from avabuild.resolve.uv import Unsolvable
from avabuild.run.catalogue import Catalogue, Entry
from avabuild.run.graph import PULSE
from avabuild.run.running import Halt, Running
from avabuild.store import Scratch
from avabuild.tools.buildah import Tools

_CLASSIC_SUITE = "bullseye"  # the last Debian with Python 2.7
_CLASSIC_PACKAGES = ("ca-certificates", "python2.7")


@dataclass(frozen=True, slots=True)
class Locked:
    """What one target resolved to, and whether its lock says something new now."""

    entry: Entry
    lock: TargetLock
    changed: bool


def lock_all(catalogue: Catalogue, entries: Sequence[Entry], *, full: bool = False) -> tuple[Locked, ...]:
    """Lock the targets of `entries`, several at a time; those that can be locked are, whatever others do.

    `full` ones say base and apt packages as after a build: what comes before both is made.

    Raises:
        AvabuildError: all problems together, after the others were written.
        KeyboardInterrupt: it came meanwhile; what ran has ended, and nothing else was begun.
    """
    running = Running()
    with ThreadPoolExecutor(4, "lock") as pool:
        asked = [pool.submit(_lock, catalogue, entry, running, full=full) for entry in entries]
        try:
            while wait(asked, PULSE).not_done:
                pass
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            running.stop()
            raise
    errors = [future.exception() for future in asked]
    for error in errors:
        if error is not None and not isinstance(error, AvabuildError):
            raise error
    together([error for error in errors if isinstance(error, AvabuildError)])
    return tuple(future.result() for future in asked)


def _lock(catalogue: Catalogue, entry: Entry, running: Running, *, full: bool) -> Locked:
    """Lock one target, with older series of its frameworks where the newest don't resolve with the rest."""
    if full:
        entry = _with_base(catalogue, entry, running)
    try:
        return _lock_one(catalogue, entry, running, full=full)
    except Unsolvable as error:
        session, project = entry.session, entry.project
        facts = session.facts(project, entry.base)
        plan = session.stepped_back(project, entry.plan, facts, error, catalogue.report)
        return _lock_one(catalogue, replace(entry, plan=plan), running, full=full)


def _lock_one(catalogue: Catalogue, entry: Entry, running: Running, *, full: bool) -> Locked:
    session, plan = entry.session, entry.plan
    before = session.lock.target(plan.target.tag) if session.lock else None
    known = still_locked(session.lock, plan)
    anew = bool(catalogue.workplace.wishes.upgrade)
    if known and not anew and (not full or is_full(known, plan)):
        return Locked(entry, known, session.write(entry.project, plan, known))  # maybe of other plugins
    report = catalogue.report.of(plan.reference)
    tools = catalogue.workplace.tools(report, f"lock-{plan.name}-{plan.tag}")
    with (
        report.step("resolve Python packages", "resolve") as said,
        Scratch(session.store) as scratch,
        running.build(tools) as halt,
    ):
        one = _One(catalogue, entry, scratch, tools, halt)
        packages = known.python if known and not anew else one.here()
        if packages is None:
            packages = one.in_a_container()
        if full:
            one.install()
        said.append(f"{len(packages)} packages, {sum(p.size for p in packages) / 1e6:.0f} MB")
    lock = TargetLock(
        target=plan.target.tag,
        request=plan.request_digest,
        base=entry.base.digest if entry.base else before.base if before else "",
        python=packages,
        apt=one.apt or (before.apt if before else ()),
        without=plan.without,
    )
    return Locked(entry, lock, session.write(entry.project, plan, lock))


def _with_base(catalogue: Catalogue, entry: Entry, running: Running) -> Entry:
    """Return the entry with its base, which is brought in, and the plan that this one gives."""
    session, report = entry.session, catalogue.report.of(entry.plan.reference)
    tools = catalogue.workplace.tools(report, f"lock-{entry.plan.name}")
    with running.build(tools):
        base = session.obtain(entry.project, tools, report)
    plan = session.plans(entry.project, base.facts)[entry.index]
    return replace(entry, base=base, plan=plan)


class _One:
    """One target: its resolver, in a scratch space of its own."""

    def __init__(
        self, catalogue: Catalogue, entry: Entry, scratch: Scratch, tools: Tools, halt: Halt
    ) -> None:
        self.catalogue = catalogue
        self.entry = entry
        self.scratch = scratch
        self.tools = tools
        self.apt: tuple[AptLock, ...] = ()
        place, session = catalogue.workplace, entry.session
        workdir = scratch.directory("resolve")
        indexes = session.indexes(entry.plan)
        directory = entry.project.directory
        resolver = resolver_for(entry.plan, indexes, directory, workdir, session.files, halt.downloads)
        before = session.before(entry.project, entry.plan)
        below = session.below(entry.project, entry.plan)
        self.resolution = Resolution(entry.plan, resolver, before, place.wishes.upgrade, below)
        self.fetcher = Fetcher(session.files, indexes, resolver.locate, cancellation=halt.downloads)

    def here(self) -> tuple[Package, ...] | None:
        """Resolve on this host; None where that takes a container."""
        return self.resolution.without_building()

    def in_a_container(self) -> tuple[Package, ...]:
        """Resolve in a container of the base, or of a Debian that has the same Python."""
        plan, place, tools = self.entry.plan, self.catalogue.workplace, self.tools
        report = self.catalogue.report.of(plan.reference)
        tools.temporary = self.scratch.directory("tmp")
        context = Context(self.entry.session.store, self.scratch, tools, report, place.host, tools.log)
        with context.cleanup:
            base = self._base(context)
            chain = Chain(
                context,
                base or self._classic_base(context),
                plan.target,
                plan.compression,
                plan.keep_secrets,
            )
            ground: Future[Chain] = Future()
            ground.set_result(chain.fork())
            interpreter = base.facts.interpreter(plan.target.python or "") if base else "/usr/bin/python2.7"
            there = interpreter_of(base, plan.target.python) if base else None
            packages = (there.packages if there else ()) if base else _CLASSIC_PACKAGES
            wanted = plan.apt.layer if base and plan.apt else None
            if not base:
                wanted = Apt(packages=_CLASSIC_PACKAGES)
            if isinstance(wanted, Apt):
                known = self.entry.session.before(self.entry.project, plan)
                made, _ = add_apt(chain, "apt: frameworks", wanted, known.apt if known else (), locked=False)
                self.apt = (made,) if base and not plan.system else ()
            below: Future[Chain] = Future()
            below.set_result(chain)
            with self._workshop(below, ground, interpreter or "", packages) as workshop:
                return self.resolution.with_workshop(workshop, report)[0]

    def install(self) -> None:
        """Make what stands on the base and the apt layers, to know what these are."""
        entry, plan, place, tools = self.entry, self.entry.plan, self.catalogue.workplace, self.tools
        assert entry.base  # noqa: S101 - a full lock begins with it
        if not plan.apt_steps:
            return
        report = self.catalogue.report.of(plan.reference)
        tools.temporary = self.scratch.directory("tmp")
        context = Context(entry.session.store, self.scratch, tools, report, place.host, tools.log)
        before = entry.session.before(entry.project, plan)
        found: list[AptLock] = []
        with context.cleanup:
            chain = Chain(context, entry.base, plan.target, plan.compression)
            for run in plan.system:
                add_run(chain, run, entry.project.directory)
            for step in plan.apt_steps:
                locks = before.apt if before else ()
                found.append(add_apt(chain, step.name, step.layer, locks, locked=False)[0])
        self.apt = tuple(found)

    def _base(self, context: Context) -> Base | None:
        """Return the image's own base; None for one that can't be had."""
        entry = self.entry
        if entry.base is not None or not isinstance(entry.project.recipe.one_base, DebianBase):
            return entry.base
        return entry.session.obtain(entry.project, context.tools, context.report)

    def _classic_base(self, context: Context) -> Base:
        python = self.entry.plan.target.python
        if python != "2.7":
            raise UnavailableError(
                f"{self.entry.name}: packages for Python {python} are resolved in a container of the base, "
                "which can't be had here",
                hint="lock it where the base can be pulled",
            )
        return self.entry.session.stage_base(_CLASSIC_SUITE, context)

    def _workshop(
        self, below: Future[Chain], ground: Future[Chain], interpreter: str, packages: tuple[str, ...]
    ) -> Workshop:
        directory, plan = self.entry.project.directory, self.entry.plan
        target, indexes = plan.target, self.entry.session.indexes(plan)
        workdir = self.scratch.directory("resolve-build")
        supply = supply_of(plan, self.fetcher, indexes, directory, workdir)
        if target.is_classic:
            return ClassicWorkshop(below, ground, interpreter, packages, supply, indexes)
        return Workshop(below, ground, interpreter, packages, supply)
