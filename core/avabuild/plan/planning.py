"""From a recipe file to what will be built: targets, chosen frameworks, plans. Reads files, asks no index."""

from __future__ import annotations

import hashlib
import itertools
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from avabuild.common.errors import RecipeError, TargetError
from avabuild.host.host import Host
from avabuild.layer.facts import Facts, assumed_image, releases_with
from avabuild.plan.compose import Pick, compose
from avabuild.plan.pin_keys import pin_keys
from avabuild.plan.plan import Plan
from avabuild.plan.policies import Amended, draft_of, early_draft, refusals, warnings
from avabuild.plugins.ask import amendments_of, early_refusals_of
from avabuild.plugins.bases_offered import OfferedBase
from avabuild.plugins.framework import Options, Request, Wanted
from avabuild.plugins.kinds import Python
from avabuild.plugins.local import LocalPlugin, read_local
from avabuild.plugins.provider import is_path
from avabuild.plugins.registry import (
    TAKEN,
    Registry,
    check_of,
    choose,
    installed,
    layers_of,
    ordered,
    requires_of,
)
from avabuild.plugins.target import Target
from avabuild.recipe import ImageBase, Known, Point, Recipe, load, parse_options, pip_kind, variants
from avabuild.resolve.lock import Distribution, request_digest
from avabuild.resolve.platforms import is_served


@dataclass(frozen=True, slots=True)
class Project:
    """A recipe on one base, with the plugins that it needs.

    Attributes:
        recipe: merged with the recipes it stands on.
        registry: where its frameworks come from.
        points: of the recipe's matrix, those that stand on this base; all of them when empty.
        below: the files of the recipes it stands on, nearest first.
    """

    recipe: Recipe
    registry: Registry
    points: tuple[Point, ...] = ()
    below: tuple[Path, ...] = ()

    @property
    def directory(self) -> Path:
        """What the recipe's paths are relative to."""
        return self.recipe.directory

    @property
    def lock_path(self) -> Path:
        """The lock beside the recipe: `keras.toml` has `keras.lock`."""
        return self.recipe.path.with_suffix(".lock")

    def distributions(self, plans: Sequence[Plan]) -> tuple[Distribution, ...]:
        """Return the plugin distributions behind the frameworks, the base and the policies of `plans`."""
        return tuple(dict.fromkeys(one for plan in plans for one in plugins_of(plan)))


def open_projects(path: Path, registry: Registry) -> tuple[Project, ...]:
    """Read the recipe at `path` and load the plugins that it names; one project for each of its bases.

    Raises:
        RecipeError: with every problem, by line.
        PluginError: a plugin that the recipe needs is broken.
    """
    known = known_of(registry)
    found = variants(load(path, known), lambda inner: load(inner, known))
    return tuple(
        Project(one.recipe, registry.with_local(_local(one.recipe)), one.points, one.below) for one in found
    )


def known_of(registry: Registry) -> Known:
    """Return what recipes are held against: all that `registry` has."""

    def base(name: str) -> tuple[OfferedBase, str, str]:
        provider = registry.provider(name, "base")
        return registry.base(name), provider.distribution, provider.version

    def with_local(shown: str, path: Path) -> Known:
        return known_of(registry.with_local([read_local(shown, path)]))

    return Known(
        registry.names,
        registry.options,
        tuple(name for name in registry.named("base") if name not in TAKEN),
        base,
        tuple(sorted({one.distribution for one in registry.providers if not one.is_local})),
        with_local,
        registry.trust.patience,
    )


def _local(recipe: Recipe) -> tuple[LocalPlugin, ...]:
    return tuple(
        read_local(entry, Path(os.path.normpath(recipe.directory / entry)))
        for entry in recipe.plugins
        if is_path(entry)
    )


def open_project(path: Path) -> Project:
    """Return the project of a recipe all of whose targets have one base, with the installed plugins."""
    (project,) = open_projects(path, Registry(installed()))
    return project


def targets(recipe: Recipe, facts: Facts, host: Host, points: Sequence[Point] = ()) -> tuple[Target, ...]:
    """Return the targets of the recipe's matrix on a base with `facts`, in the recipe's order.

    `points` are those that stand on this base: all of the matrix when empty.

    Raises:
        TargetError: the base can't give a Python that is asked for, or has none and one is needed.
    """
    needs_python = bool(recipe.frameworks or recipe.packages.pip)
    here = Target.for_base(host.arch).oci_arch
    if facts.arch not in {"", here}:
        raise TargetError(
            f"the base is for {facts.arch} machines, and this one is {here}",
            place=recipe.place("base"),
            hint="name one for this kind of machine, or build on one of that kind",
        )
    matrix = itertools.product(recipe.matrix.python or (None,), recipe.matrix.devices)
    own = next((python for python in facts.offered if is_served(python)), None)
    points = [Point(python or own, device) for python, device in points or matrix]
    pythons = tuple(dict.fromkeys(point.python for point in points))
    for python in pythons:
        if python is not None and not is_served(python):
            raise TargetError(
                f"no resolver knows Python {python}: packages are resolved for 2.7, 3.5, and 3.6 or later",
                place=recipe.place("matrix", "python"),
                hint="choose one of those, or leave [matrix] out",
            )
        if python is not None and facts.interpreter(python) is None:
            offered = f"it offers {', '.join(facts.offered)}" if facts.offered else "it has none"
            closed = dict(facts.closed)
            raise TargetError(
                f"the base ({facts.distribution}) can't give Python {python}; "
                + (f"only root may use it: {closed[python]}" if python in closed else offered),
                place=recipe.place("matrix", "python"),
                hint=_where(python),
            )
        if python == "2.7" and not facts.apt and (facts.interpreter(python) or "").startswith("/usr/bin/"):
            raise TargetError(
                f"the base ({facts.distribution}) keeps Python 2.7's packages where no layer can add to them",
                place=recipe.place("base"),
                hint=_where(python),
            )
        if python is None and needs_python:
            only = "".join(f"; {name} is there for root alone: {why}" for name, why in facts.closed)
            raise TargetError(
                f"the base ({facts.distribution}) has no Python, "
                f"which the frameworks and packages need{only}",
                place=recipe.place("base"),
                hint='use a Debian base ({ debian = "bookworm" }) or an image that has Python',
            )
    return tuple(
        Target(
            distribution=facts.distribution, arch=host.arch, python=python, device=device, glibc=facts.glibc
        )
        for python, device in points
    )


def _where(python: str) -> str:
    """Say what base could give `python`."""
    suites = releases_with(python)
    images = f"an image that has Python {python}"
    if suites:
        debians = " or ".join(f'{{ debian = "{suite}" }}' for suite in suites)
        return f"use {debians}, or {images}"
    return f"no Debian release that can be bootstrapped has it: use {images}"


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


def plugins_of(plan: Plan) -> tuple[Distribution, ...]:
    """Return the plugin distributions behind the frameworks, the base and the policies of `plan`."""
    offer = plan.base_offer
    bases = [Distribution(base=offer.name, name=offer.distribution, version=offer.version)] if offer else []
    return (
        *(
            Distribution(framework=one.name, name=one.distribution, version=one.version)
            for one in sorted(plan.frameworks, key=lambda one: one.name)
        ),
        *bases,
        *(Distribution(policy=one.name, name=one.distribution, version=one.version) for one in plan.policies),
    )


def requirements(plan: Plan) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the requirements of the frameworks and those of the recipe's own packages."""
    pair = (plan.python, plan.python_extra)
    mine, extra = (s.layer.requirements if s and isinstance(s.layer, Python) else () for s in pair)
    return mine, extra


def alone(plan: Plan) -> tuple[str, ...]:
    """Return the pins of the frameworks that are installed without what they need."""
    return plan.python.layer.alone if plan.python and isinstance(plan.python.layer, Python) else ()


def preferred(plan: Plan) -> tuple[str, ...]:
    """Return the pins of the frameworks that hold where nothing else wants another version."""
    return plan.python.layer.preferred if plan.python and isinstance(plan.python.layer, Python) else ()


def request_of(plan: Plan) -> str:
    """Return the digest of all that the resolver would be asked: equal means that the lock still holds."""
    target = plan.target
    return request_digest(*request_lines(plan), target.python or "", target.arch, target.glibc)


def request_lines(plan: Plan) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return all that the resolver would be asked, in words: for the frameworks, and for the recipe."""
    mine, extra = requirements(plan)
    constrained = [f"constraint {text}" for text in plan.constraints]
    constrained += [f"alone {text}" for text in alone(plan)]
    constrained += [f"preferred {text}" for text in preferred(plan)]
    constrained += [f"{text} by {name}" for text, names in plan.python_origins for name in names]
    constrained += [f"network for {name}" for name in plan.build_network]
    local = (f"{path} sha256:{digest}" for path, digest in plan.local)
    return (*mine, *constrained), (*extra, *local)


def assumed_base(project: Project) -> Facts | None:
    """Return what the project's image base will be, by its name; else by the Pythons that the recipe names.

    None for other bases, and where neither tells what Python there is. Of an image whose name does not tell,
    the oldest C library that wheels are made for is assumed.
    """
    spec, recipe = project.recipe.one_base, project.recipe
    if not isinstance(spec, ImageBase):
        return None
    if found := assumed_image(spec.image):
        return found
    if "alpine" in spec.image:  # for whose C library there are hardly any wheels
        return None
    named = [point.python for point in project.points] or list(recipe.matrix.python)
    pythons = tuple((python, f"/usr/bin/python{python}") for python in dict.fromkeys(named) if python)
    if not pythons and (recipe.frameworks or recipe.packages.pip):
        return None
    return Facts(pythons=pythons, apt=bool(recipe.packages.apt))


def assumption(project: Project) -> str:
    """Say what the plan of a project goes by whose image base can't be had."""
    spec = project.recipe.one_base
    if isinstance(spec, ImageBase) and assumed_image(spec.image):
        return "its plan goes by its name"
    return "its plan goes by the Pythons that the recipe names, and by the oldest C library"


def base_title(project: Project) -> str:
    """The base in a word, for a step: no digest, and no mirror, which may hold a password."""
    spec = project.recipe.one_base
    return str(getattr(spec, "debian", "") or getattr(spec, "image", "") or getattr(spec, "archive", ""))


def tag_end(python: str | None, device: str) -> str:
    """Return how the lock's entry of a point ends; a base's own Python is not known yet."""
    return f"py{python.replace('.', '')}-{device}" if python else device
