"""One run of avabuild: a recipe, this host and the user's wishes in; built images and a written lock out."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from avabuild import remember
from avabuild.base import Base, Facts, assumed, forget, obtain, obtained, reference
from avabuild.build.apt import forget_lists
from avabuild.build.build import build
from avabuild.build.context import Context
from avabuild.build.job import Built, Job
from avabuild.build.output import LOCAL, Output
from avabuild.buildah import Tools
from avabuild.errors import LockError
from avabuild.forecast import Forecast, Row
from avabuild.host import Host
from avabuild.lock import Lock, Package
from avabuild.plan import Plan
from avabuild.prepare import Project, make_plan, open_project, request_of, targets
from avabuild.recipe import DebianBase
from avabuild.report import Event, Report
from avabuild.resolution import Resolution, require_lock, resolver_for, still_locked
from avabuild.resolve import Fetcher, Progress, Resolver, from_host, pip_conf_paths, read_lock, write_lock
from avabuild.store import Scratch, Store
from avabuild.store.scratch import sweep
from avabuild.target import Target


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the user asked for on the command line.

    Attributes:
        output: where images go.
        check: whether checks run; None means "where the image is in the local storage".
        locked: fail rather than resolve anything.
        upgrade: names of packages to resolve anew, `*` for everything.
        keep: leave the container of a failed step.
    """

    output: Output = LOCAL
    check: bool | None = None
    locked: bool = False
    upgrade: frozenset[str] = frozenset()
    keep: bool = False

    @property
    def checks(self) -> bool:
        """Whether checks run."""
        return self.output.kind == "storage" if self.check is None else self.check


@dataclass(frozen=True, slots=True)
class Done:
    """One image that a run made, with the seconds it took."""

    plan: Plan
    built: Built
    seconds: float


class Session:
    """Everything that the targets of one recipe share while they are planned or built."""

    def __init__(self, recipe: Path, host: Host, report: Report, wishes: Wishes) -> None:
        self.project: Project = open_project(recipe)
        self.host = host
        self.report = report
        self.wishes = wishes
        self.store = Store(host.cache)
        self.lock = read_lock(self.project.lock_path)
        self.indexes = from_host(host.environment, pip_conf_paths(host.environment, Path(sys.prefix)))
        self.base_name = reference(
            self.project.recipe.base, self.project.directory, host.arch, self.store, host.mirror
        )
        if wishes.locked and self.lock is None:
            raise LockError(
                f"{self.project.lock_path} does not exist", hint="run once without --locked, commit it"
            )

    # -- planning ------------------------------------------------------------------------------------------

    def known_base(self) -> Base | None:
        """Return the base when the store has it, the lock's own if there is one."""
        return obtained(self.project.recipe.base, self.store, self.base_name, self._pinned)

    @property
    def _pinned(self) -> str:
        upgraded = self.wishes.upgrade & {"*", "base"}
        return self.lock.targets[0].base if self.lock and self.lock.targets and not upgraded else ""

    def facts(self, base: Base | None) -> Facts:
        """Return what can be built on the base; for a Debian yet to be bootstrapped, what it will be."""
        spec = self.project.recipe.base
        if base is not None:
            return base.facts
        assert isinstance(spec, DebianBase)  # noqa: S101 - every other base is obtained before
        return assumed(spec.debian)

    def plans(self, facts: Facts) -> tuple[Plan, ...]:
        """Return one plan per target of the recipe's matrix."""
        found = targets(self.project.recipe, facts, self.host)
        return tuple(make_plan(self.project, target, facts) for target in found)

    def base_for_plan(self) -> Base | None:
        """Return the base for a plan: an image or archive whose Pythons aren't known is brought in for it."""
        base = self.known_base()
        if base is None and not isinstance(self.project.recipe.base, DebianBase):
            with Scratch(self.store) as scratch:
                return self._base(
                    Tools(self.host, self.report, self.store.root / "logs" / "plan.log"), scratch
                )
        return base

    @property
    def _base_title(self) -> str:
        """The base in two words, for a step: no digest, and no mirror, which may hold a password."""
        spec = self.project.recipe.base
        return str(getattr(spec, "debian", "") or getattr(spec, "image", "") or getattr(spec, "archive", ""))

    def forecast(self, plan: Plan) -> tuple[Row, ...]:
        """Return what a build of `plan` would make and find."""
        base = self.known_base()
        entry = self.lock.target(plan.target.tag) if self.lock else None
        locked = still_locked(self.lock, plan)
        packages: tuple[Package, ...] | None = locked.python if locked else None
        if packages is None and plan.target.python:
            with Scratch(self.store) as scratch:
                resolver = resolver_for(plan, self.indexes, self.project.directory, scratch.path)
                packages = Resolution(plan, resolver, entry, frozenset()).without_building()
        parts = self.store.recall("parts", f"{self.project.recipe.path.absolute()}:{plan.target.tag}") or {}
        facts = self.facts(base)
        interpreter = facts.interpreter(plan.target.python) if plan.target.python else None
        apt = entry.apt if entry else ()
        forecast = Forecast(
            self.store, self.host, base, parts, apt, self.project.directory, self._known_stage_base
        )
        return forecast.rows(plan, packages, interpreter or "")

    # -- building ------------------------------------------------------------------------------------------

    def build(self) -> Iterator[Done]:
        """Build every target, one after the other; the lock is written after each."""
        log = self.store.root / "logs" / f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.log"
        tools = Tools(self.host, self.report, log)
        self._sweep(tools)
        with Scratch(self.store) as scratch:
            tools.temporary = scratch.directory("tmp")
            base = self._base(tools, scratch)
            for plan in self.plans(base.facts):
                began = time.monotonic()
                with Scratch(self.store) as own:
                    context = Context(
                        self.store, own, tools, self.report, self.host, log, keep=self.wishes.keep
                    )
                    built = build(context, self._job(plan, base, context))
                self._remember(plan, built)
                yield Done(plan, built, time.monotonic() - began)

    def _sweep(self, tools: Tools) -> None:
        """Remove what killed builds left: their scratch, working containers and half-imported images."""
        dead = sweep(self.store)
        if not dead:
            return
        marks = tuple(f"avabuild-{build}-" for build in dead)
        for name in tools.container_names():
            if name.startswith(marks):
                tools.remove(name)
        for name in tools.image_ids():
            if name.removeprefix("localhost/").startswith(marks):
                tools.remove_image(name)

    def _base(self, tools: Tools, scratch: Scratch) -> Base:
        spec, host = self.project.recipe.base, self.host
        if self.wishes.upgrade & {"*", "base"}:
            forget(self.store, self.base_name)
        if (base := self.known_base()) is not None:
            return base
        target = Target.for_base(host.arch)
        with self.report.step(f"base {self._base_title}", "base"):
            base = obtain(spec, self.project.directory, target, self.store, scratch, tools, self.base_name)
        pinned = self._pinned
        if pinned and pinned != base.digest:
            if self.wishes.locked:
                raise LockError(
                    f"the lock's base {pinned[:19]} can't be had any more; now it is {base.digest[:19]}",
                    hint="take today's with --upgrade base",
                )
            self.report.warn("the base changed since the lock was written; the lock now names the new one")
        return base

    def _stage_name(self, suite: str) -> str:
        spec = DebianBase(debian=suite)
        return reference(spec, self.project.directory, self.host.arch, self.store, self.host.mirror)

    def _known_stage_base(self, suite: str) -> Base | None:
        """Return the base of a stage on another Debian release than the image's, when the store has it."""
        return obtained(DebianBase(debian=suite), self.store, self._stage_name(suite))

    def _stage_base(self, suite: str, tools: Tools, scratch: Scratch) -> Base:
        if (base := self._known_stage_base(suite)) is not None:
            return base
        target, name = Target.for_base(self.host.arch), self._stage_name(suite)
        with self.report.step(f"base {suite}, to compile on", "base"):
            spec = DebianBase(debian=suite)
            return obtain(spec, self.project.directory, target, self.store, scratch, tools, name)

    def _job(self, plan: Plan, base: Base, context: Context) -> Job:
        if self.wishes.locked:
            require_lock(self.lock, plan, (self.project.lock_path, self.project.recipe.path))
        before = entry = self.lock.target(plan.target.tag) if self.lock else None
        if entry and self.wishes.upgrade:
            anew = bool(self.wishes.upgrade & {"*", "apt"})
            if anew:
                forget_lists(self.store, base.digest)
            entry = entry.model_copy(update={"request": "", "apt": () if anew else entry.apt})
        workdir = context.scratch.directory("resolve")
        resolver = resolver_for(plan, self.indexes, self.project.directory, workdir)
        resolution = Resolution(plan, resolver, before, self.wishes.upgrade)
        beside = context.scratch.directory("resolve-compile")
        locate = resolver_for(plan, self.indexes, self.project.directory, beside).locate
        fetcher = Fetcher(self.store.root / "wheels", self.indexes, resolver.locate, progress=self._progress)
        return Job(
            plan=plan,
            base=base,
            lock=entry,
            request=request_of(plan),
            content=self.project.recipe.content(),
            directory=self.project.directory,
            resolve=lambda workshop: resolution.with_workshop(workshop, self.report),
            fetcher=fetcher,
            indexes=self.indexes,
            originals=replace(fetcher, locate=locate),
            pins=lambda pins, platform: Resolver(
                platform, self.indexes, self.project.directory, beside
            ).pinned(pins),
            stage_base=lambda suite: self._stage_base(suite, context.tools, context.scratch),
            upgrade=self.wishes.upgrade,
            output=self.wishes.output,
            check=self.wishes.checks,
            locked=self.wishes.locked,
        )

    def _progress(self, progress: Progress) -> None:
        self.report.emit(Event("progress", progress.filename, done=progress.done, total=progress.total))

    def _remember(self, plan: Plan, built: Built) -> None:
        """Write the lock when it changed, and the parts of every key, to explain the next rebuild."""
        lock = self.lock or Lock(recipe=self.project.recipe.name)
        fresh = {d.framework: d for d in (*lock.plugins, *self.project.distributions([plan]))}
        lock = lock.with_target(built.lock).model_copy(
            update={"recipe": plan.name, "plugins": tuple(fresh[name] for name in sorted(fresh))}
        )
        if lock != self.lock:
            write_lock(self.project.lock_path, lock)
        self.lock = lock
        self.store.record("parts", f"{self.project.recipe.path.absolute()}:{plan.target.tag}", built.parts)

    def stamp(self, path: Path, done: list[Done], shown: list[str]) -> None:
        """Remember that all is built, for a quick answer the next time."""
        images = [(one.plan.reference, one.built.identity, one.built.composed.digest) for one in done]
        tools = Tools(self.host, self.report, self.store.root / "logs" / "stamp.log")
        plans = [one.plan for one in done]
        remember.write(path, self.project, plans, self.wishes.output, images, tools, shown)
