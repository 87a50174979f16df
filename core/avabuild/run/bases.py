"""The bases of a run: which one a recipe names, whether it is here, and how it is brought."""

from __future__ import annotations

from pathlib import Path

from avabuild.common.errors import LockError
from avabuild.engine.bases import bring_base, forget, obtain, obtained, offer_base, reference
from avabuild.layer.base import Base
from avabuild.layer.facts import Facts, assumed
from avabuild.plan.project import Project
from avabuild.plugins.target import Target
from avabuild.recipe import DebianBase
from avabuild.run.locks import RecipeLock
from avabuild.run.run import Workplace
from avabuild.store import Scratch
from avabuild.tools.buildah import Tools
from avabuild.tools.events import Report


class BaseSource:
    """Where the bases of one recipe come from, the lock's own first.

    Args:
        workplace: of the run.
        lock: of the recipe.
    """

    def __init__(self, workplace: Workplace, lock: RecipeLock) -> None:
        self._workplace = workplace
        self._lock = lock
        self._store = workplace.store
        self._renamed: set[str] = set()  # bases that differ from the lock and were already reported

    @property
    def _anew(self) -> bool:
        return bool(self._workplace.wishes.upgrade & {"*", "base"})

    def name(self, project: Project) -> str:
        """Return what names the project's base before it is obtained; equal names are one base."""
        base, host = project.recipe.one_base, self._workplace.host
        return reference(base, project.directory, host.arch, self._store, host.mirror)

    def pinned(self, project: Project) -> str:
        """Return the digest that the lock has for the base; empty where a new one is wanted."""
        return "" if self._anew else self._lock.base(project.points)

    def known(self, project: Project) -> Base | None:
        """Return the base when the store has it, the lock's own if there is one."""
        return obtained(project.recipe.one_base, self._store, self.name(project), self.pinned(project))

    def look_elsewhere(self, project: Project) -> Base | None:
        """Return the base when it could be brought from elsewhere."""
        name, pinned = self.name(project), self.pinned(project)
        return self.known(project) if bring_base(self._store, name, pinned) else None

    def facts(self, project: Project, base: Base | None) -> Facts:
        """Return what can be built on the base; for one that is not here, what it will be."""
        if base is not None:
            return base.facts
        spec = project.recipe.one_base
        known = assumed(spec.debian) if isinstance(spec, DebianBase) else project.assumed_base
        assert known  # noqa: S101 - every other base is obtained before
        return known

    def obtain(self, project: Project, tools: Tools, report: Report) -> Base:
        """Bring the project's base into the store; once in a run when a new one is wanted."""
        workplace, name = self._workplace, self.name(project)
        if self._anew and name not in workplace.renewed:
            workplace.renewed.add(name)
            forget(self._store, name)
        known = self.known(project)
        base = known or self._fetch(project, name, tools, report)
        offer_base(self._store, name, base, anew=known is None)
        pinned = self.pinned(project)
        if pinned and pinned != base.digest:
            if workplace.wishes.locked:
                raise LockError(
                    f"the base pinned in the lock ({pinned[:19]}) is no longer available; the "
                    f"current one is {base.digest[:19]}",
                    place=str(self._lock.path),
                    hint="take today's with --upgrade base",
                )
            if name not in self._renamed:
                self._renamed.add(name)
                report.warn("the base is newer than the one in the lock; --upgrade base updates the lock")
        return base

    def _fetch(self, project: Project, name: str, tools: Tools, report: Report) -> Base:
        target, pinned = Target.for_base(self._workplace.host.arch), self.pinned(project)
        with report.step(f"base {project.base_title}", "base"), Scratch(self._store) as scratch:
            tools.temporary = scratch.directory("tmp")
            spec, directory = project.recipe.one_base, project.directory
            return obtain(spec, directory, target, self._store, scratch, tools, name, pinned, self._pull)

    def _pull(self, name: str, directory: Path) -> None:
        """Write the image of a registry as a layout in a new directory."""
        # httpx takes a tenth of a second to import, and skopeo pulls nearly all bases.
        from avabuild.registries.connections import Registries  # noqa: PLC0415
        from avabuild.registries.pull import pull_layout  # noqa: PLC0415

        workplace = self._workplace
        arch = Target.for_base(workplace.host.arch).oci_arch
        with Registries(workplace.host, insecure=workplace.wishes.insecure) as registries:
            pull_layout(registries, name, arch, directory)
