"""Resolving a plan: what uv is asked for it, here or in its workshop, and what a lock already answers."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from avabuild.common.errors import LockError, ResolveError
from avabuild.engine.stages.workshop import Workshop
from avabuild.plan.plan import Plan
from avabuild.recipe import ScratchBase
from avabuild.resolve import ClassicResolver, Indexes, NeedsBuild, Platform, Resolved, Resolver
from avabuild.resolve.lock import Lock, Package, TargetLock
from avabuild.resolve.resolver import together
from avabuild.resolve.uv import run_here
from avabuild.tools.cancellation import Cancellation
from avabuild.tools.events import Report

_RENEW = "run without --locked to renew the lock, or go back to the plugin that it was made with"


@dataclass(frozen=True, slots=True)
class Below:
    """What the recipe that another one stands on is locked to, for the same target.

    Attributes:
        plan: that recipe's own, which the lock answers.
        packages: the lock's.
    """

    plan: Plan
    packages: tuple[Package, ...]

    def answers(self, plan: Plan) -> bool:
        """Whether `plan` asks for no other Python packages than the recipe below."""
        return self.plan.request_digest == plan.request_digest

    def rest(self, plan: Plan) -> tuple[tuple[str, ...], tuple[str, ...]] | None:
        """Return the requirements of `plan` that the recipe below has not, as `requirements` does.

        None where what that recipe is locked to need not hold: the plan asks for less, or otherwise.
        """
        known, wanted = ({*a, *b} for a, b in (self.plan.request_lines, plan.request_lines))
        pinned = all(package.kind in {"wheel", "sdist"} and not package.url for package in self.packages)
        new = wanted - known
        origins = {f"{text} by {name}": text for text, names in plan.python_origins for name in names}
        asked = {origins.get(line, line) for line in new}
        limits = {f"constraint {text}": text for text in plan.constraints}
        mine, extra = plan.requirements
        other = asked - {*mine, *extra, *limits}
        held = all(self._holds(limits[line]) for line in asked if line in limits)
        if not pinned or known - wanted or other or not held:
            return None
        return tuple(text for text in mine if text in asked), tuple(text for text in extra if text in asked)

    def _holds(self, constraint: str) -> bool:
        limit = Requirement(constraint)
        name = canonicalize_name(limit.name)
        versions = [one.version for one in self.packages if one.name == name]
        return all(limit.specifier.contains(version, prereleases=True) for version in versions)


@dataclass(frozen=True, slots=True)
class Inquiry:
    """What a resolver is asked for one image.

    Attributes:
        plan: whose requirements.
        indexes: where packages come from.
        directory: the recipe's, to which its files are relative.
        before: the target's entry in the lock, whose versions are kept where they still fit.
        below: what the recipe is locked to that this one stands on, if it is.
        upgrade: names whose versions are not kept, `*` for all; `base` and `apt` do not name packages.
    """

    plan: Plan
    indexes: Indexes
    directory: Path
    before: TargetLock | None = None
    below: Below | None = None
    upgrade: frozenset[str] = frozenset()

    def resolution(self, workdir: Path, files: Path, stop: Cancellation | None = None) -> Resolution:
        """Return how it is answered, with `workdir` for a resolver's own files and `files` of packages.

        What it runs on this host ends when told to `stop`.
        """
        target = self.plan.target
        if target.is_classic:
            return Resolution(self, ClassicResolver(self.indexes, self.directory, workdir, files))
        platform = Platform(target.python or "3.11", target.arch, target.glibc)
        run = partial(run_here, stop=stop)
        return Resolution(self, Resolver(platform, self.indexes, self.directory, workdir, run))


@dataclass(frozen=True, slots=True)
class Resolution:
    """How one target's packages are found.

    Attributes:
        inquiry: what is asked.
        resolver: asks uv on this host, or for a classic Python its own pip in the workshop.
    """

    inquiry: Inquiry
    resolver: Resolver | ClassicResolver

    @property
    def plan(self) -> Plan:
        """Whose requirements."""
        return self.inquiry.plan

    def with_workshop(self, workshop: Workshop, report: Report) -> tuple[tuple[Package, ...], dict[str, str]]:
        """Return the packages, and where their files were seen; builds happen in `workshop`."""
        if self._lower and self._lower.answers(self.plan):
            return self._lower.packages, {}
        try:
            here = not self.plan.target.is_classic
            whom = self.resolver if here else workshop.resolver(self.resolver)
            found = (None if here else self._ask_the_rest(whom)) or self._ask(whom, build=not here)
        except NeedsBuild as needed:
            names = ", ".join(needed.names) or "a package"
            report.note(f"{names} comes only as source: resolving in a container")
            found = self._ask(workshop.resolver(self.resolver), build=True)
        urls = {one.package.sha256: one.url for one in found if one.url}
        return tuple(one.package for one in found), urls

    def without_building(self) -> tuple[Package, ...] | None:
        """Return the packages, None when nothing is known of one before it is built, or pip must be asked."""
        if self._lower and self._lower.answers(self.plan):
            return self._lower.packages
        if self.plan.target.is_classic:
            return None
        try:
            return tuple(one.package for one in self._ask(self.resolver, build=False))
        except NeedsBuild:
            return None

    @property
    def _lower(self) -> Below | None:
        return None if self.inquiry.upgrade - {"base", "apt"} else self.inquiry.below

    def _ask_the_rest(self, whom: Resolver | ClassicResolver) -> tuple[Resolved, ...] | None:
        """Return what the recipe below is locked to, with what this one adds; None where that doesn't fit.

        pip would look into every package again, for minutes, and come to the same versions.
        """
        below = self._lower
        rest = below.rest(self.plan) if below else None
        if below is None or rest is None:
            return None
        pins = tuple(f"{package.name}=={package.version}" for package in below.packages)
        limits = tuple(dict.fromkeys((*self.plan.constraints, *pins)))
        origins = dict(self.plan.python_origins)
        try:
            added = whom.resolve(*rest, origins=origins, constraints=limits, build=True)
            return together([Resolved(package, "") for package in below.packages], added)
        except ResolveError:
            return None

    def _ask(self, whom: Resolver | ClassicResolver, *, build: bool) -> tuple[Resolved, ...]:
        (mine, extra), before = self.plan.requirements, self.inquiry.before
        try:
            return whom.resolve(
                mine,
                extra,
                alone=self.plan.alone,
                origins=dict(self.plan.python_origins),
                preferences=before.python if before else (),
                preferred=self.plan.preferred,
                upgrade=self.inquiry.upgrade - {"base", "apt"},
                constraints=self.plan.constraints,
                build=build,
            )
        except NeedsBuild:
            raise
        except ResolveError as error:
            error.hint = error.hint or asked_by(self.plan, error.message)
            raise


def asked_by(plan: Plan, words: str) -> str | None:
    """Return whose the limits in a resolver's explanation are: it takes all of them for the user's own."""
    limits = zip(plan.constraints, plan.constraint_origins, strict=True)
    asked = [
        f"{text} is asked for by {', '.join(origins)}"
        for text, origins in limits
        if origins != ("recipe",) and re.search(rf"\b{re.escape(Requirement(text).name)}\b", words)
    ]
    chosen = ", ".join(f"{one.name} {one.series}" for one in plan.frameworks)
    return "; ".join([*asked, f"the releases chosen were {chosen}"]) if chosen else None


def still_locked(lock: Lock | None, plan: Plan) -> TargetLock | None:
    """Return the entry of the plan's target when it answers just what would be asked now."""
    entry = lock.target(plan.target.tag) if lock else None
    return entry if entry and entry.request == plan.request_digest else None


def require_lock(lock: Lock | None, plan: Plan, names: Sequence[Path]) -> None:
    """Raise LockError unless the lock answers the plan, with the plugins that are installed.

    `names` are the lock's and the recipe's paths, for the message.
    """
    entry = still_locked(lock, plan)
    if lock is None or entry is None:
        raise LockError(
            f"{names[0]} does not fit {names[1].name}: {plan.target.tag}",
            hint="the recipe or a plugin changed since; run without --locked to renew the lock",
        )
    if missing := _unsaid(entry, plan):
        raise LockError(
            f"{plan.target.tag}: the lock does not say which {missing}",
            place=str(names[0]),
            hint=f"complete it: avabuild lock --full {names[1]}",
        )
    for message, hint in other_plugins(lock, plan):
        raise LockError(message, place=str(names[0]), hint=hint)


def is_full(entry: TargetLock, plan: Plan) -> bool:
    """Whether the entry says all that `--locked` needs: base and apt packages too."""
    return not _unsaid(entry, plan)


def _unsaid(entry: TargetLock, plan: Plan) -> str:
    """Return what of base and apt packages an entry does not say, empty for nothing."""
    known = {lock.packages for lock in entry.apt}
    words = [] if entry.base or isinstance(plan.base, ScratchBase) else ["base"]
    if any(step.layer.packages not in known for step in plan.apt_steps):
        words.append("apt packages")
    return " and ".join(words)


def other_plugins(lock: Lock, plan: Plan) -> Iterator[tuple[str, str]]:
    """Yield which plugins of the plan are others than the lock's, each with what to do about it."""
    locked = {one.provided: one.who for one in lock.plugins}
    used = {one.provided: one.who for one in plan.plugins}
    for what, have in used.items():
        known = locked.get(what)
        if known and known != have:
            yield f"{what}: the lock was made with {known}, this is {have}", _RENEW
        elif not known:
            yield f"{what}: the lock was made without it, and {have} provides it now", _RENEW
    for one in lock.plugins:
        if one.policy and one.provided not in used:
            yield (
                f"{one.provided}: the lock was made with it ({one.who}), and it is not in force now",
                f"install {one.name} and name it in AVABUILD_PLUGINS, or run without --locked",
            )
