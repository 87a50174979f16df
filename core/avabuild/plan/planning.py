"""The plan of a target: releases of frameworks are chosen, policies are asked. Reads files, asks no index."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from avabuild.common.errors import RecipeError
from avabuild.layer.facts import Facts
from avabuild.plan.compose import Pick, compose
from avabuild.plan.pin_keys import pin_keys
from avabuild.plan.plan import Plan
from avabuild.plan.policies import Amended, draft_of, early_draft, refusals, warnings
from avabuild.plan.project import Project
from avabuild.plugins.ask import amendments_of, early_refusals_of
from avabuild.plugins.framework import Options, Request, Wanted
from avabuild.plugins.registry import check_of, choose, layers_of, ordered, requires_of
from avabuild.plugins.target import Target
from avabuild.recipe import parse_options, pip_kind


def make_plan(
    project: Project, target: Target, facts: Facts, without: Sequence[str] = (), *, any_version: bool = False
) -> Plan:
    """Return the plan of one target, `without` some series (`keras 3.15`) of its frameworks.

    With `any_version` the recipe's versions of frameworks don't hold: for what could be asked instead.

    Raises:
        TargetError: no release of a framework fits; says what would.
        PluginError: a plugin raised or answered junk.
        RecipeError: a policy refuses the image, or asks for what the recipe has otherwise.
    """
    missing = target.python is not None and target.python not in dict(facts.pythons)
    patience = project.registry.trust.patience
    picks = picks_of(project, target, without, any_version=any_version)
    plan = compose(project.recipe, target, picks, install_python=missing)
    releases = {pick.framework.name: pick.request.release for pick in picks}
    amended: list[Amended] = []
    for policy, provider in project.registry.policies(project.recipe.plugins):
        found = amendments_of(policy, draft_of(plan, releases), patience=patience)
        amended.append(Amended(policy.name, provider.distribution, provider.version, found))
        plan = compose(project.recipe, target, picks, install_python=missing, amended=amended)
    if problems := refusals(project.recipe, amended):
        raise RecipeError(problems)
    own = [text for text in project.recipe.packages.pip if pip_kind(text) == "file"]
    local = tuple((text, _sha256(project.directory / text)) for text in own)
    known = {"local": local, "without": tuple(without), "warnings": warnings(project.recipe, amended)}
    return pin_keys(plan.model_copy(update=known), project.directory)


def refuse_early(project: Project) -> None:
    """Raise for what the policies in force refuse by the base's name alone, before the base is fetched.

    Raises:
        PluginError: a policy is broken.
        RecipeError: one of them refuses it.
    """
    recipe, patience = project.recipe, project.registry.trust.patience
    amended = [
        Amended(policy.name, provider.distribution, provider.version, found)
        for policy, provider in project.registry.policies(recipe.plugins)
        if (found := early_refusals_of(policy, early_draft(recipe), patience=patience))
    ]
    if problems := refusals(recipe, amended):
        raise RecipeError(problems)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def picks_of(
    project: Project, target: Target, without: Sequence[str] = (), *, any_version: bool = False
) -> tuple[Pick, ...]:
    """Choose a release for every framework that the recipe names or that one of them requires.

    Series `without` are not chosen; with `any_version` the recipe's versions don't hold.

    Raises:
        TargetError: no release of a framework fits; says what would.
        PluginError: a plugin raised or answered junk.
    """
    registry, recipe, patience = project.registry, project.recipe, project.registry.trust.patience
    options: dict[str, Options] = {}
    wanted_by: dict[str, list[str]] = {}
    needs: dict[str, tuple[str, ...]] = {}
    queue = [item.name for item in recipe.frameworks]
    wanted = Wanted(target, tuple(sorted(queue)))
    named = frozenset(queue)
    while queue:
        name = queue.pop(0)
        if name in options:
            continue
        framework = registry.framework(name)
        options[name] = parse_options(recipe, name, framework.options)
        if any_version:
            options[name] = options[name].model_copy(update={"version": "*"})
        needs[name] = requires_of(framework, options[name], wanted, patience=patience)
        for needed in needs[name]:
            wanted_by.setdefault(needed, []).append(name)
            queue.append(needed)
    releases = choose([(registry.framework(name), options[name]) for name in options], target, without)
    picks = []
    for framework in ordered([registry.framework(name) for name in options], needs):
        name = framework.name
        others = {other: release for other, release in releases.items() if other != name}
        request = Request(target=target, options=options[name], release=releases[name], others=others)
        provider = registry.provider(name)
        picks.append(
            Pick(
                framework=framework,
                request=request,
                layers=layers_of(framework, request, patience=patience),
                program=check_of(framework, request, patience=patience),
                distribution=provider.distribution,
                version=provider.version,
                required_by=() if name in named else tuple(wanted_by[name]),
                requires=needs[name],
            )
        )
    return tuple(picks)
