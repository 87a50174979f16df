"""What needs a container: all of it at once, by name, and nothing that is there already."""

from __future__ import annotations

from pathlib import Path

import pytest

from avabuild.engine.output import LOCAL, Output
from avabuild.plan.plan import Check, Plan
from avabuild.plugins.target import Device, Target
from avabuild.recipe import DebianBase
from avabuild.run.forecast import INSTALLED, RUN, Need, Row, needs, refusal

OCI = Output(kind="oci", path=Path("/out"))
WHEELS = Row(name="wheels of packages", kind="wheels", origins=("recipe",), state="build")
BYTECODE = Row(name="bytecode of packages", kind="bytecode", origins=("recipe",), state="build", modules=True)
APART = Row(name="bytecode and more, the recipe's own", kind="wheels", origins=("recipe",), state="build")


@pytest.fixture
def plan() -> Plan:
    target = Target(distribution="bookworm", arch="x86_64", python="3.11", device=Device(), glibc="2.36")
    return Plan(name="demo", tag="py311-cpu", base=DebianBase(debian="bookworm"), target=target)


def row(name: str, state: str, container: str) -> Row:
    return Row.model_validate(
        {"name": name, "kind": "apt", "origins": ("recipe",), "state": state, "container": container}
    )


def test_layers_of_files_need_none(plan):
    assert needs(plan, [WHEELS, BYTECODE], OCI, checks=False, interpreter=True) == ()


@pytest.mark.parametrize("state", ["build", "unknown"])
def test_what_is_yet_to_be_made_in_one_is_told_with_what_for(plan, state):
    rows = [row("apt: recipe", state, INSTALLED), WHEELS, row("run 1", state, RUN)]
    found = needs(plan, rows, OCI, checks=False, interpreter=True)
    assert [str(need) for need in found] == [f"apt: recipe: {INSTALLED}", f"run 1: {RUN}"]


def test_what_is_cached_needs_none(plan):
    rows = [row("apt: recipe", "cached", INSTALLED), row("run 1", "cached", RUN)]
    assert needs(plan, rows, OCI, checks=False, interpreter=True) == ()


def test_modules_need_an_interpreter_of_their_version_here_unless_they_are_compiled(plan):
    (need,) = needs(plan, [WHEELS, BYTECODE, APART], OCI, checks=False, interpreter=False)
    assert need.name == "bytecode of packages"
    assert "no python3.11 here" in need.why
    cached = BYTECODE.model_copy(update={"state": "cached"})
    assert needs(plan, [WHEELS, cached], OCI, checks=False, interpreter=False) == ()


def test_the_local_storage_and_checks_need_one(plan):
    (need,) = needs(plan, [], LOCAL, checks=True, interpreter=True)
    assert "--output oci:DIR" in need.why
    checked = plan.model_copy(update={"checks": (Check(framework="keras", program="pass"),)})
    (need,) = needs(checked, [], OCI, checks=True, interpreter=True)
    assert need.name == "--check"
    assert needs(plan, [], OCI, checks=True, interpreter=True) == ()


def test_the_refusal_names_every_image_and_layer_and_where_to_go():
    one, other = Need(name="run 1", why=RUN), Need(name="apt: recipe", why=INSTALLED)
    error = refusal("no user namespace", {"a:py311-cpu": [one, other], "b:py311-cpu": [], "c:cpu": [one]})
    assert error.exit_code == 6
    assert error.message.splitlines() == [
        "no container can be started here, and these need one; no user namespace:",
        f"  a:py311-cpu: run 1: {RUN}",
        f"  a:py311-cpu: apt: recipe: {INSTALLED}",
        f"  c:cpu: run 1: {RUN}",
    ]
    assert "AVABUILD_SHARED_CACHE" in str(error.hint)
