"""compose: recipe, frameworks and target make a Plan. Pure: no file, network, clock or plugin host."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from avabuild.common.errors import PluginError, RecipeError
from avabuild.plan.plan import Check, Chosen, Plan, Step
from avabuild.plan.policies import POLICY, Amended
from avabuild.plugins.framework import ANY_DEVICE, PREFIX, Framework, Request
from avabuild.plugins.kinds import (
    Apt,
    Compile,
    Defaults,
    Env,
    File,
    Files,
    Layer,
    Libraries,
    Mount,
    Python,
    Repository,
    Run,
)
from avabuild.plugins.target import Target
from avabuild.recipe import Recipe
from avabuild.store.oci import HealthCheck, Settings


@dataclass(frozen=True, slots=True)
class Pick:
    """A framework of the image with what was chosen for it, in the order of `requires`.

    Attributes:
        framework: the declaration.
        request: what its callables are asked with.
        layers: what it contributes.
        program: its check.
        distribution: the plugin's distribution, with `version`.
        required_by: the frameworks that brought it, empty when the recipe names it.
        requires: the frameworks that it needs.
    """

    framework: Framework
    request: Request
    layers: tuple[Layer, ...]
    program: str
    distribution: str
    version: str
    required_by: tuple[str, ...] = ()
    requires: tuple[str, ...] = ()

    @property
    def is_common(self) -> bool:
        """Whether its packages are the same for every device, and stand on no other framework's."""
        return self.request.release.devices == (ANY_DEVICE,) and not self.requires


_Kind = TypeVar("_Kind", Apt, Python)

# By these NVIDIA's container toolkit gives a container GPUs and driver; what a plugin or recipe says wins.
_DRIVER = {"NVIDIA_VISIBLE_DEVICES": "all", "NVIDIA_DRIVER_CAPABILITIES": "compute,utility"}


def compose(
    recipe: Recipe,
    target: Target,
    picks: Sequence[Pick],
    *,
    install_python: bool,
    amended: Sequence[Amended] = (),
) -> Plan:
    """Return the plan of `recipe` for `target`.

    `install_python` says that the base has no interpreter of the target's version yet, but its distribution
    has. Frameworks' packages are merged into one apt and one Python step, the recipe's own into another of
    each above them; every step knows who asked for it. What policies add is `amended`, in the order of names.
    """
    versions = {pick.framework.name: pick.request.release.version for pick in picks}
    layers = [(pick.framework.name, layer) for pick in picks for layer in pick.layers]
    layers += [(one.origin, layer) for one in amended for layer in one.layers(target.python)]
    own_apt = [("avabuild", name) for name in _interpreter(target)] if install_python else []
    own_pip = [("avabuild", name) for name in _installer(target)]
    apt = own_apt + [
        (name, item) for name, layer in layers if isinstance(layer, Apt) for item in layer.packages
    ]
    apt += [
        (pick.framework.name, item) for pick in picks for item in pick.request.release.packages(target.device)
    ]
    python = [(name, layer) for name, layer in layers if isinstance(layer, Python)]
    pip = own_pip + [(name, r) for name, layer in python for r in layer.requirements]
    alone = [(name, pin) for name, layer in python for pin in layer.alone]
    preferred = [pin for _, layer in python for pin in layer.preferred]
    runs = [(name, layer) for name, layer in layers if isinstance(layer, Run)]
    runs += [("recipe", _run(step)) for step in recipe.run]
    names = [step.name for step in recipe.run]
    limits = _limits(picks, recipe, target, layers)
    return Plan(
        name=recipe.name,
        tag=recipe.tag_for(target, versions),
        base=recipe.one_base,
        base_offer=recipe.one_base.offer,
        target=target,
        system=_run_steps(runs, "system", names),
        apt=_merged(
            "apt: frameworks", apt, lambda items: Apt(packages=items, repositories=_repositories(layers))
        ),
        python=_merged("python: frameworks", pip, lambda items: _python(items, alone, preferred)),
        python_extra=_merged(
            "python: packages",
            _recipes(recipe.packages.pip),
            lambda _: Python(requirements=tuple(dict.fromkeys(recipe.packages.pip))),  # in its order, as pip
        ),
        apt_extra=_merged("apt: packages", _recipes(recipe.packages.apt), lambda items: _apt(items, recipe)),
        compiled=_compiled(layers),
        files=_files(layers, recipe),
        last=_run_steps(runs, "last", names),
        settings=_settings(layers, recipe, target, amended),
        frameworks=tuple(
            Chosen(
                name=pick.framework.name,
                series=pick.request.release.version,
                distribution=pick.distribution,
                version=pick.version,
                required_by=pick.required_by,
            )
            for pick in picks
        ),
        policies=tuple(one.ruled(target.python) for one in amended),
        index=next((one.index for one in amended if one.index), None),
        checks=tuple(Check(framework=pick.framework.name, program=pick.program) for pick in picks),
        python_origins=_origins([*pip, *alone]),
        common=tuple(sorted(pick.framework.name for pick in picks if pick.is_common)),
        constraints=tuple(limits),
        constraint_origins=tuple(limits.values()),
        libraries=tuple((name, layer) for name, layer in layers if isinstance(layer, Libraries)),
        linkage=recipe.build.linkage,
        keep_secrets=tuple(sorted(recipe.build.keep_secrets)),
        build_network=tuple(sorted(recipe.packages.build_network)),
        bytecode=recipe.build.bytecode and target.python != "3.5",  # older than PEP 552
        compression=recipe.build.compression,
    )


def _limits(
    picks: Sequence[Pick], recipe: Recipe, target: Target, layers: Sequence[tuple[str, Layer]]
) -> dict[str, tuple[str, ...]]:
    """Return what limits versions, with who asked: the recipe, then the chosen releases of frameworks."""
    asked = [(text, "recipe") for text in recipe.packages.constraints]
    for pick in picks:
        found = pick.request.release.limits(target.python, target.device)
        asked += [(f"{r.name}{r.specifier}", pick.framework.name) for r in found]
        own = (layer for name, layer in layers if name == pick.framework.name)
        asked += [(text, pick.framework.name) for text in _constraints(own)]
    ruled = [(name, layer) for name, layer in layers if name.startswith(POLICY)]
    asked += [(text, name) for name, layer in ruled for text in _constraints([layer])]
    limits: dict[str, tuple[str, ...]] = {}
    for text, origin in sorted(asked, key=lambda item: item[1] != "recipe"):
        limits[text] = (*limits.get(text, ()), origin)
    return limits


def _constraints(layers: Iterable[Layer]) -> list[str]:
    return [text for layer in layers if isinstance(layer, Python) for text in layer.constraints]


def _apt(packages: tuple[str, ...], recipe: Recipe) -> Apt:
    return Apt(packages=packages, repositories=tuple(one.value for one in recipe.packages.repositories))


def _repositories(layers: Sequence[tuple[str, Layer]]) -> tuple[Repository, ...]:
    """Return the repositories of the frameworks by name, each once."""
    found: dict[str, tuple[str, Repository]] = {}
    for name, layer in layers:
        for one in layer.repositories if isinstance(layer, Apt) else ():
            first, known = found.setdefault(one.name, (name, one))
            if known != one:
                raise PluginError(f"{first} and {name} each have another APT repository named {one.name}")
    return tuple(found[name][1] for name in sorted(found))


def _python(
    requirements: tuple[str, ...], alone: Sequence[tuple[str, str]], preferred: Sequence[str]
) -> Python:
    return Python(
        requirements=requirements,
        alone=tuple(sorted({pin for _, pin in alone})),
        preferred=tuple(sorted(set(preferred))),
    )


def _origins(asked: Sequence[tuple[str, str]]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Return who asked for each text, both sorted."""
    found: dict[str, set[str]] = {}
    for name, text in asked:
        found.setdefault(text, set()).add(name)
    return tuple((text, tuple(sorted(found[text]))) for text in sorted(found))


def _interpreter(target: Target) -> tuple[str, ...]:
    """Return the distribution's packages that bring the target's Python, and what its TLS trusts."""
    return ("python3",) if target.python != "2.7" else ("ca-certificates", "python2.7")


def _installer(target: Target) -> tuple[str, ...]:
    """Return what every environment has for its users: pip, and with classic Pythons what pip needs."""
    if target.is_classic:
        return ("pip<21", "setuptools<45", "wheel<0.38")
    return ("pip",) if target.python else ()


def _recipes(items: Iterable[str]) -> list[tuple[str, str]]:
    return [("recipe", item) for item in items]


def _merged(
    name: str, asked: Sequence[tuple[str, str]], make: Callable[[tuple[str, ...]], _Kind]
) -> Step[_Kind] | None:
    """Return one step of all that was asked for: sorted, so that no order of plugins shows in it."""
    if not asked:
        return None
    return Step(
        name=name,
        layer=make(tuple(sorted({item for _, item in asked}))),
        origins=tuple(dict.fromkeys(origin for origin, _ in asked)),
    )


def _run(step: Any) -> Run:
    mounts = tuple(Mount(source=m.source, target=m.target, writable=m.writable) for m in step.mounts)
    return Run(
        shell=step.shell,
        stage=step.stage,
        env=step.env,
        secrets=step.secrets,
        mounts=mounts,
        network=step.network,
        privileges=step.privileges,
        timeout=step.timeout,
    )


def _run_steps(
    runs: Sequence[tuple[str, Run]], stage: str, names: Sequence[str | None]
) -> tuple[Step[Run], ...]:
    """Number the steps of one stage; a recipe's own name for a step is shown in place of its text."""
    titles = iter(names)
    steps: list[Step[Run]] = []
    for origin, run in runs:
        title = next(titles, None) if origin == "recipe" else None
        if run.stage != stage:
            continue
        words = title or " ".join(run.shell.split())
        shown = words if len(words) <= 50 else f"{words[:49]}…"
        how = ", ".join((stage, *sorted(set(run.privileges))))
        steps.append(Step(name=f"run {len(steps) + 1} ({how}): {shown}", layer=run, origins=(origin,)))
    return tuple(steps)


def _compiled(layers: Sequence[tuple[str, Layer]]) -> tuple[Step[Compile], ...]:
    """Return one step for each compile; what several frameworks ask for alike is compiled once."""
    asked: dict[Compile, tuple[str, ...]] = {}
    for origin, layer in layers:
        if isinstance(layer, Compile):
            asked[layer] = (*asked.get(layer, ()), origin)
    names = [layer.name for layer in asked]
    steps: list[Step[Compile]] = [
        Step(
            name=f"compile: {layer.name}"
            + (f" for {', '.join(origins)}" if names.count(layer.name) > 1 else ""),
            layer=layer,
            origins=tuple(dict.fromkeys(origins)),
        )
        for layer, origins in asked.items()
    ]
    return tuple(sorted(steps, key=lambda step: step.name))


def _files(layers: Sequence[tuple[str, Layer]], recipe: Recipe) -> tuple[Step[Files], ...]:
    asked: dict[str, tuple[File, ...]] = {}
    for name, layer in layers:
        if isinstance(layer, Files):
            asked[name] = (*asked.get(name, ()), *layer.files)
    if recipe.files:
        asked["recipe"] = tuple(
            File(source=f.source, target=f.target, mode=f.mode, owner=f.owner, exclude=f.exclude)
            for f in recipe.files
        )
    return tuple(
        Step(name=f"files: {name}", layer=Files(files=files), origins=(name,))
        for name, files in asked.items()
    )


def _settings(
    layers: Sequence[tuple[str, Layer]], recipe: Recipe, target: Target, amended: Sequence[Amended]
) -> Settings:
    variables: dict[str, str] = {"VIRTUAL_ENV": PREFIX} if target.has_venv else {}
    commands = f"{PREFIX}/bin" if target.has_venv else "/usr/local/bin"
    for _, layer in layers:
        for name, value in layer.variables if isinstance(layer, Env) else ():
            several = name.endswith("PATH") and name in variables  # a list of directories: each adds its own
            variables[name] = f"{variables[name]}:{value}" if several else value
    for name, value in _DRIVER.items() if target.device.cuda else ():
        variables.setdefault(name, value)
    variables.update(_pairs(recipe.image.env))
    image, said = recipe.image, _said(layers, recipe)
    return Settings(
        env=tuple(variables.items()),
        path=(commands,) if target.python else (),
        library_path=tuple(
            dict.fromkeys(
                path for _, layer in layers if isinstance(layer, Env) for path in layer.library_path
            )
        ),
        labels=tuple({**_pairs(image.labels), **_labels(amended)}.items()),
        annotations=tuple(_pairs(image.annotations).items()),
        entrypoint=image.entrypoint,
        cmd=said.cmd if image.cmd is None and image.entrypoint is None else image.cmd,
        workdir=said.workdir if image.workdir is None else image.workdir,
        user=image.user,
        ports=tuple(str(port) for port in image.ports) or said.ports,
        volumes=image.volumes,
        created=image.created,
        healthcheck=HealthCheck(**dict(image.healthcheck)) if image.healthcheck else None,
    )


def _said(layers: Sequence[tuple[str, Layer]], recipe: Recipe) -> Defaults:
    """Return what the frameworks say of the image's config; of ports all of them.

    Raises:
        RecipeError: two say different things of what the recipe leaves open.
    """
    asked = [(name, layer) for name, layer in layers if isinstance(layer, Defaults)]
    found: dict[str, Any] = {}
    problems = []
    for field in ("cmd", "workdir"):
        values = {
            getattr(one, field): name for name, one in reversed(asked) if getattr(one, field) is not None
        }
        open_here = getattr(recipe.image, field) is None and not (field == "cmd" and recipe.image.entrypoint)
        if len(values) > 1 and open_here:
            who = " and ".join(sorted(values.values()))
            problems.append(recipe.source.problem(("image", field), f"{who} each bring another; choose one"))
        found[field] = next(iter(values), None)
    if problems:
        raise RecipeError(tuple(problems))
    return Defaults(ports=tuple(dict.fromkeys(port for _, one in asked for port in one.ports)), **found)


def _labels(amended: Sequence[Amended]) -> dict[str, str]:
    return {name: value for one in amended for name, value in sorted(one.labels.items())}


def _pairs(items: Iterable[tuple[str, str]] | Mapping[str, str]) -> dict[str, str]:
    return dict(items)
