"""Plans of a framework under test: one release at a time, with what the plugin answers watched."""

from __future__ import annotations

import dataclasses
import inspect
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from avabuild.authoring.conformance.finding import Finding
from avabuild.authoring.conformance.guard import Watch, asked_twice
from avabuild.authoring.conformance.stated import Claim, claims, settings
from avabuild.common.errors import AvabuildError, RecipeError, TargetError
from avabuild.common.value import Value, digest_of
from avabuild.plan.plan import Plan
from avabuild.plan.planning import make_plan
from avabuild.plan.project import Project
from avabuild.plugins.framework import Framework, Release
from avabuild.plugins.patience import go_on_after
from avabuild.plugins.provider import Provider
from avabuild.plugins.registry import Registry
from avabuild.plugins.target import Target
from avabuild.recipe import Recipe

IMPURE = "answer from the request alone: what a build must read belongs into a layer (Files, Download, Run)"


class Watched(Registry):
    """A registry in which one framework has one release, and its answers are asked for twice, under guard."""

    def __init__(self, registry: Registry, name: str, *, guard: bool = True) -> None:
        super().__init__(registry.providers, registry.trust)
        self._registry = registry
        self._name = name
        self._guard = guard
        self.release: Release | None = None
        self.watch = Watch()
        self.differing: dict[str, None] = {}

    def framework(self, name: str) -> Framework:
        """Return the framework; the one under test with its calls watched."""
        found = self._registry.framework(name)
        if name != self._name:
            return found
        if self._guard:
            found = dataclasses.replace(
                found,
                layers=self._watched("layers", found.layers),
                check=self._watched("check", found.check),
                requires=self._watched("requires", found.requires),
            )
        return dataclasses.replace(found, releases=(self.release,)) if self.release else found

    def policies(self, named: Iterable[str]) -> tuple[()]:
        """Return none: policies have rules of their own, and may refuse what the kit makes up."""
        del named
        return ()

    def _watched(self, question: str, function: Callable[..., Any]) -> _Question:
        return _Question(self, question, function)

    @property
    def impurities(self) -> Iterator[Finding]:
        """Yield what was refused, and what was answered in two ways."""
        for what, place in self.watch.touched:
            yield Finding("pure", f"{self._name} {what} while it is asked", IMPURE, place)
        for question in self.differing:
            fix = "keep no state between calls, and take nothing from a set, an id or a counter"
            yield Finding("pure", f"{question} answers the same request in two ways", fix, self._name)


class _Question:
    """A callable of a plugin that is asked twice; an error in it is found at the plugin's own line."""

    def __init__(self, watched: Watched, name: str, function: Callable[..., Any]) -> None:
        self._watched = watched
        self._name = name
        self._function = function
        self.__module__ = getattr(function, "__module__", "unknown module")
        self.__code__ = getattr(function, "__code__", None)

    @property
    def __signature__(self) -> inspect.Signature:
        """The plugin's own: `requires` may take one argument or two."""
        return inspect.signature(self._function)

    def __call__(self, *given: Any) -> Any:
        first, second = asked_twice(self._watched.watch, lambda: self._once(*given))
        if first != second:
            self._watched.differing[self._name] = None
        return first

    def _once(self, *given: Any) -> Any:
        """Return the answer, a generator run to its end."""
        answer = self._function(*given)
        return answer if answer is None or isinstance(answer, str | Value) else tuple(answer)


def recipe_for(name: str, options: dict[str, Any], device: str = "cpu") -> Recipe:
    """Return a recipe that asks for one framework."""
    made: Recipe = Recipe.model_validate(
        {"name": "conformance", "matrix": {"device": [device]}, "frameworks": {name: options or "*"}}
    )
    return made


def plan_of(registry: Watched, provider: Provider, claim: Claim, options: dict[str, Any]) -> Plan:
    """Return the plan of a claim, on the first of its devices that goes with the required frameworks.

    Raises:
        TargetError: the required frameworks can't be had there, or the options leave the release out.
        PluginError: the plugin raised, or answered junk.
    """
    registry.release = claim.release
    refused: TargetError | None = None
    for device in claim.devices:
        try:
            return planned(registry, provider, claim.target(device), claim, options)
        except TargetError as error:
            refused = refused or error
    assert refused  # noqa: S101 - a claim has a device
    raise refused


def planned(
    registry: Registry, provider: Provider, target: Target, claim: Claim, options: dict[str, Any]
) -> Plan:
    """Return the plan of a recipe that asks for the framework on `target`; raises as a build does."""
    recipe = recipe_for(provider.name, options, str(target.device))
    return make_plan(Project(recipe, registry), target, claim.facts)


def digests(registry: Registry, provider: Provider) -> dict[str, str]:
    """Return a digest of the plan of every claim, or why there is none; of other settings once a release."""
    framework = registry.framework(provider.name)
    watched = Watched(registry, provider.name, guard=False)
    found: dict[str, str] = {}
    every = list(claims(framework))
    one_each = list({claim.release.version: claim for claim in every}.values())
    for options in settings(framework.options):
        for claim in one_each if options else every:
            key = f"{claim} with {json.dumps(options, sort_keys=True)}" if options else str(claim)
            try:
                plan = plan_of(watched, provider, claim, options)
                found[key] = digest_of(plan.model_dump(mode="json"))
            except AvabuildError as error:
                go_on_after(error)
                found[key] = str(error)
    return found


def reasons(error: AvabuildError) -> Sequence[str]:
    """Return what `error` says, a line per problem."""
    if isinstance(error, RecipeError):
        return [problem.message for problem in error.problems]
    return [error.message]
