"""Each shipped recipe's plan, and the commands that make an image of it, as reviewed files."""

from __future__ import annotations

import itertools
import json
import shlex
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from avabuild.engine.exec.apt_run import ARCHIVES, PLACE
from avabuild.engine.stages.stage import UV
from avabuild.host.host import Host
from avabuild.host.means import FEEDER
from avabuild.layer.facts import Facts, assumed
from avabuild.plan.plan import Plan
from avabuild.plan.planning import make_plan
from avabuild.plan.project import open_projects
from avabuild.plan.targets import targets
from avabuild.plugins.kinds import Compile
from avabuild.plugins.registry import Registry, installed
from avabuild.plugins.target import Target
from avabuild.recipe import DebianBase
from avabuild.tools import argv as commands
from avabuild.tools.argv import Bind

ROOT = Path(__file__).parents[1]
RECIPES = sorted((ROOT / "recipes").rglob("*.toml"))
GIVEN = "/run/avabuild"
# What the bases of the classic rows turn out to hold: Debian 11 with its package python2.7, and Ubuntu 16.04.
CLASSIC = {
    "bullseye": Facts(distribution="bullseye", glibc="2.31", apt=True, pythons=(("2.7", "/usr/bin/python2.7"),)),
    "ubuntu16.04": Facts(
        distribution="xenial", glibc="2.23", apt=True,
        pythons=(("3.5", "/usr/bin/python3.5"), ("2.7", "/usr/bin/python2.7")),
    ),
}  # fmt: skip


def stem(recipe: Path) -> str:
    return "-".join(recipe.relative_to(ROOT / "recipes").with_suffix("").parts)


def plans(recipe: Path, host: Host) -> list[Plan]:
    project = open_projects(recipe, Registry(installed()))[0]
    base, matrix = project.recipe.base, project.recipe.matrix
    named = base.debian if isinstance(base, DebianBase) else base.image.replace(":", "")[-11:]
    if named not in CLASSIC:
        facts = assumed(named)
        return [make_plan(project, target, facts) for target in targets(project.recipe, facts, host)]
    facts = CLASSIC[named]
    asked = [
        Target(
            distribution=facts.distribution, arch=host.arch, python=python, device=device, glibc=facts.glibc
        )
        for python, device in itertools.product(matrix.python, matrix.devices)
    ]
    return [make_plan(project, target, facts) for target in asked]


def as_text(plan: Plan) -> str:
    """The plan as JSON, with the plugins' version left out: a release changes no plan."""
    data = plan.model_dump(mode="json")
    for framework in data["frameworks"]:
        framework["version"] = "VERSION"
    return json.dumps(data, indent=1, sort_keys=True, ensure_ascii=False)


def in_container(box: str, command: list[str], binds: list[Bind]) -> Iterator[list[str]]:
    """The first step in a container: what is asked of buildah, then what the runner gets."""
    yield ["buildah", *commands.mount(box)]
    yield ["buildah", *commands.inspect_container(box)]
    yield ["step", *map(str, binds), *command]


def imported(layout: str) -> Iterator[list[str]]:
    """An image that comes into the local storage: each of its layers, then itself."""
    yield [FEEDER, *commands.import_layer("LAYER", "PARENT")]
    yield ["buildah", *commands.pull(layout)]


def flow(plan: Plan) -> Iterator[list[str]]:
    """The commands of a cold build of the plan; what differs between two builds is in capitals."""
    given = Bind(source="SCRATCH/step", target=GIVEN)
    fetch = [
        Bind(source="CACHE/apt-lists/BASE", target=PLACE, writable=True),
        Bind(source="SCRATCH/fetched", target=ARCHIVES, writable=True),
    ]
    install = [
        Bind(source="SCRATCH/own", target=PLACE, writable=True),
        Bind(source="SCRATCH/debs", target=ARCHIVES),
    ]
    tools = [Bind(source="UV", target=UV)]
    shell = ["/bin/sh", "-c", "STEP"]
    if isinstance(plan.base, DebianBase):
        argv = commands.bootstrap(plan.base.debian, Path("base.tar"), None, plan.target.oci_arch, "root")
        yield ["mmdebstrap", *argv]
    else:
        yield ["skopeo", *commands.copy(f"docker://{plan.base.image}", "oci:LAYOUT:base")]
    for step in plan.steps:
        if step.layer.kind in {"apt", "run"}:
            box, apt = step.layer.kind.upper(), step.layer.kind == "apt"
            yield from imported("avabuild-BUILD-1")
            yield ["buildah", *commands.start("BASE", box)]
            yield from in_container(box, shell, [given, *(fetch if apt else [])])
            if apt:
                yield ["step", *map(str, [given, *install]), *shell]
            yield ["buildah", *commands.remove_container(box)]
        if isinstance(step.layer, Compile):
            files = [file.filename for file in step.layer.source_files]
            sources = [Bind(source=f"CACHE/{name}", target=f"/stage/sources/{name}") for name in files]
            yield from imported("avabuild-BUILD-1")
            yield ["buildah", *commands.start("BASE", "COMPILE")]
            yield from in_container("COMPILE", shell, [given, *fetch])
            yield ["step", *map(str, [given, *install]), *shell]
            yield ["step", *map(str, [given, *tools, *sources]), *shell]
            yield ["buildah", *commands.remove_container("COMPILE")]
    yield from imported("avabuild-BUILD-2")
    yield ["buildah", *commands.start("IMAGE", "CHECK")]
    for number, check in enumerate(plan.checks):
        begun = in_container("CHECK", ["python", f"{GIVEN}/check_{check.framework}.py"], [given])
        yield from list(begun)[2 if number else 0 :]
    yield ["buildah", *commands.remove_container("CHECK")]
    yield ["buildah", *commands.tag("IMAGE", plan.reference)]
    yield ["buildah", *commands.remove_images(["localhost/avabuild-BUILD-2:latest"])]
    archive = f"docker-archive:IMAGE.tar:{plan.reference}"
    yield ["skopeo", *commands.copy(f"oci:LAYOUT:{plan.tag}", archive)]


@pytest.mark.parametrize("recipe", RECIPES, ids=stem)
def test_the_plan_of_a_shipped_recipe_is_the_reviewed_one(recipe, host, golden):
    golden(f"{stem(recipe)}.plan.json", "\n".join(map(as_text, plans(recipe, host))) + "\n")


@pytest.mark.parametrize("recipe", RECIPES, ids=stem)
def test_the_commands_for_a_shipped_recipe_are_the_reviewed_ones(recipe, host, golden):
    lines = [shlex.join(argv) for plan in plans(recipe, host) for argv in flow(plan)]
    golden(f"{stem(recipe)}.argv.txt", "\n".join(lines) + "\n")


def test_every_golden_file_belongs_to_a_recipe():
    stems = {path.name.split(".")[0] for path in (ROOT / "tests" / "golden").iterdir()}
    assert stems == {stem(path) for path in RECIPES}


def test_no_two_recipes_make_images_of_one_name(host):
    references = [plan.reference for recipe in RECIPES for plan in plans(recipe, host)]
    assert len(references) == len(set(references))
    assert {"localhost/ava-mxnet:py27-cuda80-cudnn6", "localhost/ava-tensorflow:py27-cpu"} < set(references)


def test_the_whole_catalogue_is_planned_in_a_second(host):
    began = time.process_time()
    assert sum(len(plans(recipe, host)) for recipe in RECIPES) >= len(RECIPES)
    assert time.process_time() - began < 1
