"""One recipe in one run of avabuild: its projects, its lock, its bases and its plans."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from avabuild.common.errors import LockError, TargetError
from avabuild.layer.facts import Facts
from avabuild.plan.plan import Plan
from avabuild.plan.planning import make_plan
from avabuild.plan.project import Project, open_projects
from avabuild.plan.targets import targets
from avabuild.plugins.target import Target
from avabuild.resolve import Indexes
from avabuild.run.bases import BaseSource
from avabuild.run.locks import RecipeLock
from avabuild.run.run import Workplace
from avabuild.store import Store


class RecipeRun:
    """One recipe: everything that its targets share while they are planned or built.

    Attributes:
        path: of the recipe.
        projects: one for each of its bases.
        lock: the lock beside it.
        bases: where its bases come from.
    """

    def __init__(self, path: Path, workplace: Workplace) -> None:
        self.path = path
        self.workplace = workplace
        self.projects: tuple[Project, ...] = open_projects(path, workplace.registry)
        self.lock = RecipeLock(self.projects[0].lock_path)
        self.bases = BaseSource(workplace, self.lock)
        if workplace.wishes.locked and self.lock.lock is None:
            raise LockError(f"{self.lock.path} does not exist", hint="run once without --locked, commit it")

    @property
    def store(self) -> Store:
        """The store of the run."""
        return self.workplace.store

    def indexes(self, plan: Plan) -> Indexes:
        """Return where the packages of `plan` come from: the host's indexes, or a policy's in their place."""
        indexes = self.workplace.indexes
        return indexes.at(plan.index) if plan.index else indexes

    def plans(self, project: Project, facts: Facts) -> tuple[Plan, ...]:
        """Return one plan per target of the recipe's matrix that stands on the project's base."""
        found = targets(project.recipe, facts, self.workplace.host, project.points)
        return tuple(self._plan(project, target, facts) for target in found)

    def _plan(self, project: Project, target: Target, facts: Facts) -> Plan:
        """Return the plan of one target: with the series of the lock where that stepped back for it."""
        entry = self.lock.entry(target.tag)
        if entry and entry.without and not self.workplace.wishes.upgrade:
            with suppress(TargetError):
                plan = make_plan(project, target, facts, entry.without)
                if plan.request_digest == entry.request:
                    return plan
        return make_plan(project, target, facts)
