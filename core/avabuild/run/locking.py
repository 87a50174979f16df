"""Locking without building: what the targets of a catalogue resolve to now goes into their locks.

What uv resolves needs neither base nor container. A Python that only its own pip serves, and what comes only
as source, is resolved in a container of the base; Python 2.7 also in one of Debian's, where the base can't be
had: its packages are the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass

from avabuild.common.errors import AvabuildError, UnavailableError, together
from avabuild.engine.bases import stage_base
from avabuild.engine.context import Context
from avabuild.engine.exec.apt import add_apt
from avabuild.engine.exec.run_step import add_run
from avabuild.engine.exec.stack import Chain
from avabuild.engine.python.fetching import fetcher_for, package_files
from avabuild.engine.python.resolution import is_full, still_locked
from avabuild.engine.stages.compile import interpreter_of
from avabuild.engine.stages.workshop import ClassicWorkshop, Workshop, supply_of
from avabuild.layer.base import Base
from avabuild.plugins.kinds import Apt
from avabuild.recipe import DebianBase
from avabuild.resolve.lock import AptLock, Package, TargetLock
from avabuild.resolve.uv import Unsolvable
from avabuild.run.catalogue import Catalogue
from avabuild.run.graph import PULSE
from avabuild.run.image import ImageRun
from avabuild.run.running import Halt, Running
from avabuild.store import Scratch
from avabuild.tools.buildah import Tools

_CLASSIC_SUITE = "bullseye"  # the last Debian with Python 2.7
_CLASSIC_PACKAGES = ("ca-certificates", "python2.7")


@dataclass(frozen=True, slots=True)
class Locked:
    """What one target resolved to, and whether its lock says something new now."""

    entry: ImageRun
    lock: TargetLock
    changed: bool


def lock_all(catalogue: Catalogue, entries: Sequence[ImageRun], *, full: bool = False) -> tuple[Locked, ...]:
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


def _lock(catalogue: Catalogue, entry: ImageRun, running: Running, *, full: bool) -> Locked:
    """Lock one target, with older series of its frameworks where the newest don't resolve with the rest."""
    if full:
        entry = _with_base(catalogue, entry, running)
    try:
        return _lock_one(catalogue, entry, running, full=full)
    except Unsolvable as error:
        return _lock_one(catalogue, entry.stepped_back(error, catalogue.report), running, full=full)


def _lock_one(catalogue: Catalogue, entry: ImageRun, running: Running, *, full: bool) -> Locked:
    lock, plan, before = entry.recipe.lock, entry.plan, entry.locked
    known = still_locked(lock.lock, plan)
    anew = bool(catalogue.workplace.wishes.upgrade)
    if known and not anew and (not full or is_full(known, plan)):
        return Locked(entry, known, lock.write(plan, known))  # maybe of other plugins
    report = catalogue.report.of(plan.reference)
    tools = catalogue.workplace.tools(report, f"lock-{plan.name}-{plan.tag}")
    with (
        report.step("resolve Python packages", "resolve") as said,
        Scratch(entry.store) as scratch,
        running.build(tools) as halt,
    ):
        one = _One(catalogue, entry, scratch, tools, halt)
        with one.context.cleanup:
            packages = known.python if known and not anew else one.here()
            if packages is None:
                packages = one.in_a_container()
            if full:
                one.install()
        said.append(f"{len(packages)} packages, {sum(p.size for p in packages) / 1e6:.0f} MB")
    found = TargetLock(
        target=plan.target.tag,
        request=plan.request_digest,
        base=entry.base.digest if entry.base else before.base if before else "",
        python=packages,
        apt=one.apt or (before.apt if before else ()),
        without=plan.without,
    )
    return Locked(entry, found, lock.write(plan, found))


def _with_base(catalogue: Catalogue, entry: ImageRun, running: Running) -> ImageRun:
    """Return the entry with its base, which is brought in, and the plan that this one gives."""
    report = catalogue.report.of(entry.plan.reference)
    tools = catalogue.workplace.tools(report, f"lock-{entry.plan.name}")
    with running.build(tools):
        return entry.on(entry.recipe.bases.obtain(entry.project, tools, report))


class _One:
    """One target: its resolver, in a scratch space of its own."""

    def __init__(
        self, catalogue: Catalogue, entry: ImageRun, scratch: Scratch, tools: Tools, halt: Halt
    ) -> None:
        self.entry = entry
        self.scratch = scratch
        self.apt: tuple[AptLock, ...] = ()
        workplace, store = catalogue.workplace, entry.store
        tools.temporary = scratch.directory("tmp")
        report = catalogue.report.of(entry.plan.reference)
        self.context = Context(
            store, scratch, tools, report, workplace.host, tools.log, downloads=halt.downloads
        )
        self.inquiry = entry.inquiry(workplace.wishes.upgrade)
        files = package_files(store)
        self.resolution = self.inquiry.resolution(scratch.directory("resolve"), files, halt.downloads)

    def here(self) -> tuple[Package, ...] | None:
        """Resolve on this host; None where that takes a container."""
        return self.resolution.without_building()

    def in_a_container(self) -> tuple[Package, ...]:
        """Resolve in a container of the base, or of a Debian that has the same Python."""
        plan, context = self.entry.plan, self.context
        base = self._base()
        chain = Chain(context, base or self._classic_base(), plan.target, plan.compression, plan.keep_secrets)
        ground: Future[Chain] = Future()
        ground.set_result(chain.fork())
        interpreter = base.facts.interpreter(plan.target.python or "") if base else "/usr/bin/python2.7"
        there = interpreter_of(base, plan.target.python) if base else None
        packages = (there.packages if there else ()) if base else _CLASSIC_PACKAGES
        wanted = plan.apt.layer if base and plan.apt else None
        if not base:
            wanted = Apt(packages=_CLASSIC_PACKAGES)
        if wanted:
            made, _ = add_apt(chain, "apt: frameworks", wanted, self._known_apt, locked=False)
            self.apt = (made,) if base and not plan.system else ()
        below: Future[Chain] = Future()
        below.set_result(chain)
        with self._workshop(below, ground, interpreter or "", packages) as workshop:
            return self.resolution.with_workshop(workshop, context.report)[0]

    def install(self) -> None:
        """Make what stands on the base and the apt layers, to know what these are."""
        entry, plan, context = self.entry, self.entry.plan, self.context
        assert entry.base  # noqa: S101 - a full lock begins with it
        if not plan.apt_steps:
            return
        chain = Chain(context, entry.base, plan.target, plan.compression, plan.keep_secrets)
        for run in plan.system:
            add_run(chain, run, entry.project.directory)
        self.apt = tuple(
            add_apt(chain, step.name, step.layer, self._known_apt, locked=False)[0] for step in plan.apt_steps
        )

    @property
    def _known_apt(self) -> tuple[AptLock, ...]:
        before, base = self.inquiry.before, self.entry.base
        return self.entry.kept_apt(before, base) if before and base else ()

    def _base(self) -> Base | None:
        """Return the image's own base; None where that is not available."""
        entry, context = self.entry, self.context
        if entry.base is not None or not isinstance(entry.project.recipe.one_base, DebianBase):
            return entry.base
        return entry.recipe.bases.obtain(entry.project, context.tools, context.report)

    def _classic_base(self) -> Base:
        python = self.entry.plan.target.python
        if python != "2.7":
            raise UnavailableError(
                f"{self.entry.name}: resolving for Python {python} needs a container of the base, "
                "and the base is not available here",
                hint="lock it where the base can be pulled",
            )
        return stage_base(self.context, _CLASSIC_SUITE)

    def _workshop(
        self, below: Future[Chain], ground: Future[Chain], interpreter: str, packages: tuple[str, ...]
    ) -> Workshop:
        plan, asked = self.entry.plan, self.inquiry
        fetcher = fetcher_for(self.context, asked.indexes, self.resolution.resolver.locate)
        workdir = self.scratch.directory("resolve-build")
        supply = supply_of(plan, fetcher, asked.indexes, asked.directory, workdir)
        if plan.target.is_classic:
            return ClassicWorkshop(below, ground, interpreter, packages, supply, asked.indexes)
        return Workshop(below, ground, interpreter, packages, supply)
