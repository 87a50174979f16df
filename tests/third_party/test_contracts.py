"""Plugins of every contract that there was, each frozen as it was, work with this avabuild.

A directory `contract-N` holds a plugin that uses all that contract N has. Once N is released it is never edited:
when the contract grows, another one is added with its sum. What is to go is first told by a `Deprecation`.
"""

from __future__ import annotations

import hashlib
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from avabuild import api
from avabuild.layer.facts import assumed
from avabuild.plan.plan import Plan
from avabuild.plan.planning import make_plan
from avabuild.plan.project import open_projects
from avabuild.plan.targets import targets
from avabuild.plugins.contract import CONTRACT
from avabuild.plugins.provider import Trust, installed
from avabuild.plugins.registry import Registry

HERE = Path(__file__).parent
SUMS = {
    1: "ffc8a2b04ff0fb2f0bb193e5146b75da0437feb691d1183b23e3642f635998df",
    2: "ff005749a0bca61eaf4c3d61f89d6dbeef4297981a12c0070d101be48abe08a9",
}
RECIPE = """
name = "demo"
base = { frozen = "bookworm" }
[matrix]
python = ["3.11"]
[frameworks]
frozen = { version = ">=1", words = ["lab"], level = 3, flavour = "rich" }
"""


Planned = Callable[..., Plan]


@pytest.fixture
def planned(tmp_path, monkeypatch, host) -> Planned:
    """Plan a recipe that uses the frozen plugin of a contract, which is installed as a distribution is."""

    def plan(number: int, device: str = "cpu") -> Plan:
        module, name = f"avabuild_contract_{number}", f"avabuild-contract-{number}"
        monkeypatch.syspath_prepend(HERE / f"contract-{number}")
        info = tmp_path / "site" / f"{module}-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        groups = ("avabuild", "avabuild.policies", "avabuild.bases")
        (info / "entry_points.txt").write_text("".join(f"[{g}]\nfrozen = {module}\n" for g in groups))
        monkeypatch.syspath_prepend(info.parent)
        monkeypatch.delitem(sys.modules, module, raising=False)
        text = RECIPE.replace("[matrix]", f'[matrix]\ndevice = ["{device}"]')
        (tmp_path / "demo.toml").write_text(text)
        registry = Registry(installed(), Trust((name,), "AVABUILD_PLUGINS"))
        (project,) = open_projects(tmp_path / "demo.toml", registry)
        facts = assumed("bookworm")
        return make_plan(project, targets(project.recipe, facts, host)[0], facts)

    return plan


@pytest.fixture
def plan(planned) -> Plan:
    return planned(1)


@pytest.mark.parametrize("number", SUMS)
def test_a_frozen_plugin_is_as_it_was(number):
    text = (HERE / f"contract-{number}" / f"avabuild_contract_{number}.py").read_bytes()
    assert hashlib.sha256(text).hexdigest() == SUMS[number], (
        "a frozen plugin is never edited: add another contract"
    )


def test_every_contract_has_its_frozen_plugin():
    assert sorted(SUMS) == list(range(1, CONTRACT + 1))


def test_the_newest_frozen_plugin_uses_all_that_the_contract_has():
    text = (HERE / f"contract-{CONTRACT}" / f"avabuild_contract_{CONTRACT}.py").read_text()
    assert [name for name in api.__all__ if not re.search(rf"\b{name}\b", text)] == []


def test_a_plugin_of_contract_1_makes_the_plan_that_it_always_made(plan):
    assert [(f.name, f.series, f.required_by) for f in plan.frameworks] == [
        ("jupyterlab", "4.6", ("frozen",)), ("frozen", "3.4", ()),
    ]  # fmt: skip
    assert [step.name for step in plan.steps] == [
        "run 1 (system): true", "apt: frameworks", "python: frameworks", "compile: frozen",
        "files: frozen", "files: policy frozen",
    ]  # fmt: skip
    assert {"frozen-tool", "libfrozen1", "ca-certificates"} < set(plan.apt.layer.packages)
    assert [one.suite for one in plan.apt.layer.repositories] == ["bookworm-updates"]
    assert {"idna==3.4.*,>=1", "pip"} < set(plan.python.layer.requirements)
    assert plan.python.layer.alone == ("frozen-alone==1.2",)
    assert dict(zip(plan.constraints, plan.constraint_origins, strict=True)) == {
        "frozen-old<1": ("frozen",), "frozen-limit<2": ("frozen",), "idna<4": ("policy frozen",),
    }  # fmt: skip
    (compiled,) = plan.compiled
    assert len(compiled.layer.source_files) == 3
    assert plan.libraries[0][1].sonames == ("libfrozen.so.1",)
    (run,) = plan.system
    assert (run.layer.secrets, run.layer.env, run.layer.mounts[0].target) == (
        ("TOKEN",),
        (("A", "b"),),
        "/mnt",
    )


def test_a_plugin_of_contract_1_says_what_it_always_said_of_the_image(plan):
    assert plan.base.model_dump(mode="json") == {"debian": "bookworm"}
    assert str(plan.base.offer) == "frozen bookworm"
    assert dict(plan.settings.labels) == {
        "frozen.image": "demo:py311-cpu",
        "frozen.seen": "jupyterlab frozen 1 None",
    }
    home = "/opt/venv/lib/python3.11/site-packages/frozen"
    assert {("FROZEN_HOME", home), ("FROZEN_SITE", f"{home}none")} < set(plan.settings.env)
    assert plan.settings.library_path == ("/opt/frozen",)
    assert plan.index == "https://packages.example.invalid/simple"
    assert plan.checks[-1].program == "print('3.4', 'jupyterlab=4.6', '3.11')"
    assert [(one.provided, one.who) for one in plan.plugins] == [
        ("frozen", "avabuild-contract-1 1.0"),
        ("jupyterlab", f"avabuild {plan.frameworks[0].version}"),
        ("base frozen", "avabuild-contract-1 1.0"),
        ("policy frozen", "avabuild-contract-1 1.0"),
    ]


def test_a_plugin_of_contract_2_makes_the_plan_that_it_always_made(planned):
    plan = planned(2)
    assert [(f.name, f.series, f.required_by) for f in plan.frameworks] == [
        ("jupyterlab", "4.6", ("frozen",)), ("frozen", "3.4", ()),
    ]  # fmt: skip
    assert {"libfrozen1", "libfrozen-cpu"} < set(plan.apt.layer.packages)
    assert "libfrozen-cuda" not in plan.apt.layer.packages
    assert plan.constraints == ("frozen-old<1", "frozen-cpu<3", "frozen-limit<2", "idna<4")
    assert plan.python.layer.preferred == ("frozen-preferred==5", "idna==3.4.1")
    settings = plan.settings
    assert (settings.cmd, settings.ports, settings.workdir) == (
        ("frozen", "--serve"),
        ("8080", "53/udp"),
        "/srv",
    )
    (warning,) = plan.warnings
    assert warning.endswith("frameworks.frozen: policy frozen (avabuild-contract-2 1.0) warns: it is frozen")


def test_a_plugin_of_contract_2_tells_any_cuda_12_from_the_cpu(planned):
    plan = planned(2, "cuda12.5-cudnn9.3")
    assert [f.name for f in plan.frameworks] == ["frozen"], "what it requires depends on the target"
    assert {"libfrozen1", "libfrozen-cuda"} < set(plan.apt.layer.packages)
    assert "frozen-cuda<3" in plan.constraints
    assert "frozen-cpu<3" not in plan.constraints
