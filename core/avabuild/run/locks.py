"""The lock beside a recipe: what its targets resolved to, read once and written as each is done."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

from avabuild.plan.plan import Plan
from avabuild.recipe import ArchiveBase, Point
from avabuild.resolve import read_lock, write_lock
from avabuild.resolve.lock import AptLock, Lock, TargetLock


class RecipeLock:
    """The lock of one recipe, which its targets share, each in a thread of its own.

    Attributes:
        path: where it is.
        lock: what it says now, None where there is none yet.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lock = read_lock(path)
        self._writing = threading.Lock()

    def entry(self, tag: str) -> TargetLock | None:
        """Return what the target of this tag resolved to."""
        return self.lock.target(tag) if self.lock else None

    def base(self, points: Sequence[Point]) -> str:
        """Return the digest of the base on which one of these points of the matrix stands; empty for none."""
        ends = tuple(point.tag_end for point in points)
        targets = self.lock.targets if self.lock else ()
        return next((entry.base for entry in targets if entry.target.endswith(ends)), "")

    def built(self, plan: Plan, entry: TargetLock, *, upgrade: bool) -> bool:
        """Write what a build of `plan` came to, where the lock has no answer; return whether that changed it.

        What the lock says stays as it is, even where the build took a newer base or newer packages of the
        distribution than it names: only `upgrade`, a changed recipe, or `avabuild lock` changes it.
        """
        known = self.entry(plan.target.tag)
        return (upgrade or known is None or _is_outdated(known, plan, entry)) and self.write(plan, entry)

    def write(self, plan: Plan, entry: TargetLock) -> bool:
        """Put what the target of `plan` resolved to into the file; return whether that changed it."""
        with self._writing:
            lock = (self.lock or Lock(recipe=plan.name)).with_target(entry).with_plugins(plan.plugins)
            lock = lock.model_copy(update={"recipe": plan.name})
            changed = lock != self.lock
            if changed:
                write_lock(self.path, lock)
            self.lock = lock
        return changed


def _is_outdated(known: TargetLock, plan: Plan, entry: TargetLock) -> bool:
    """Return whether the recipe asks for something else than when the lock was written.

    A lock without a base, or without the packages that bring Python, was made without a build, and says
    nothing of packages of the distribution.
    """
    if (known.request, known.without) != (entry.request, entry.without):
        return True
    if not known.base or (plan.apt and not known.apt):
        return False
    if isinstance(plan.base, ArchiveBase) and known.base != entry.base:  # the recipe's own, as it is now
        return True
    if [_asked(one) for one in known.apt] != [_asked(one) for one in entry.apt]:
        return True
    alike = known.base == entry.base  # whether all below is what the lock has: else it moved on at the mirror
    for old, new in zip(known.apt, entry.apt, strict=True):
        if alike and old.base != new.base:  # run steps below, or how layers are made
            return True
        alike = alike and old.debs == new.debs
    return False


def _asked(apt: AptLock) -> tuple[tuple[str, ...], tuple[str, ...]]:
    return apt.packages, apt.repositories
