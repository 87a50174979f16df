"""Each shipped recipe's plan, and the commands that make an image of it, as reviewed files."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from avabuild import commands
from avabuild.base import assumed
from avabuild.commands import Bind, Isolation
from avabuild.host import Host
from avabuild.plan import Plan
from avabuild.prepare import make_plan, open_project, targets

ROOT = Path(__file__).parents[1]
RECIPES = sorted((ROOT / "recipes").glob("*.toml"))
GIVEN, ARCHIVES, LISTS = "/run/avabuild", "/var/cache/apt/archives", "/var/lib/apt/lists"


def plans(recipe: Path, host: Host) -> list[Plan]:
    project = open_project(recipe)
    facts = assumed(project.recipe.base.debian)
    return [make_plan(project, target, facts) for target in targets(project.recipe, facts, host)]


def as_text(plan: Plan) -> str:
    """The plan as JSON, with the plugins' version left out: a release changes no plan."""
    data = plan.model_dump(mode="json")
    for framework in data["frameworks"]:
        framework["version"] = "VERSION"
    return json.dumps(data, indent=1, sort_keys=True, ensure_ascii=False)


def flow(plan: Plan) -> Iterator[list[str]]:
    """The commands of a cold build of the plan; what differs between two builds is in capitals."""
    chroot = Isolation()
    given = Bind(source="SCRATCH/step", target=GIVEN)
    apt = [
        Bind(source="CACHE/debs", target=ARCHIVES, writable=True),
        Bind(source="CACHE/lists", target=LISTS, writable=True),
    ]
    shell = ["/bin/sh", "-c", "STEP"]
    yield ["mmdebstrap", *commands.bootstrap(plan.base.debian, Path("base.tar"), None, plan.target.oci_arch)]
    for step in plan.steps:
        if step.layer.kind in {"apt", "run"}:
            box, binds = step.layer.kind.upper(), apt if step.layer.kind == "apt" else []
            yield ["buildah", *commands.pull("avabuild-BUILD-1")]
            yield ["buildah", *commands.start("BASE", box, chroot)]
            yield ["buildah", *commands.run(box, shell, chroot, [given, *binds])]
            yield ["buildah", *commands.mount(box)]
            yield ["buildah", *commands.remove_container(box)]
    yield ["buildah", *commands.pull("avabuild-BUILD-2")]
    yield ["buildah", *commands.start("IMAGE", "CHECK", chroot)]
    for check in plan.checks:
        program = ["python", f"{GIVEN}/check_{check.framework}.py"]
        yield ["buildah", *commands.run_as_image("CHECK", program, chroot, [given])]
    yield ["buildah", *commands.remove_container("CHECK")]
    yield ["buildah", *commands.tag("IMAGE", plan.reference)]
    yield ["buildah", *commands.remove_images(["localhost/avabuild-BUILD-2:latest"])]
    archive = f"docker-archive:IMAGE.tar:{plan.reference}"
    yield ["skopeo", *commands.copy(f"oci:LAYOUT:{plan.tag}", archive)]


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_the_plan_of_a_shipped_recipe_is_the_reviewed_one(recipe, host, golden):
    golden(f"{recipe.stem}.plan.json", "\n".join(map(as_text, plans(recipe, host))) + "\n")


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_the_commands_for_a_shipped_recipe_are_the_reviewed_ones(recipe, host, golden):
    lines = [shlex.join(argv) for plan in plans(recipe, host) for argv in flow(plan)]
    golden(f"{recipe.stem}.argv.txt", "\n".join(lines) + "\n")


def test_every_golden_file_belongs_to_a_recipe():
    stems = {path.name.split(".")[0] for path in (ROOT / "tests" / "golden").iterdir()}
    assert stems == {path.stem for path in RECIPES}
