"""A stranger's plugin: by itself, and as a wheel beside avabuild in a fresh environment."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

from avabuild.framework import Request
from avabuild.layers import Files, Python
from avabuild.registry import Provider, check_of, layers_of, load, select
from avabuild.target import Device, Target

ROOT = Path(__file__).parents[2]
SAMPLE = Path(__file__).parent / "avabuild-sample"
TARGET = Target(distribution="bookworm", arch="x86_64", python="3.11", device=Device(), glibc="2.36")

LIST_AND_LOAD = """
import json, sys
from avabuild.registry import Registry, installed
registry = Registry(installed())
listed = [[p.name, p.distribution, p.version] for p in registry.providers]
imported = [name for name in sys.modules if name.startswith(("avabuild_sample", "avabuild_plugins"))]
summary = registry.framework("sample").summary
print(json.dumps({"listed": listed, "imported": imported, "summary": summary}))
"""


@pytest.fixture
def sample(monkeypatch):
    spec = importlib.util.spec_from_file_location("avabuild_sample", SAMPLE / "avabuild_sample.py")
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "avabuild_sample", module)
    spec.loader.exec_module(module)
    return load(["sample"], [Provider("sample", "avabuild_sample", "avabuild-sample", "0.3.0")]).framework(
        "sample"
    )


def test_its_layers_follow_its_options(sample):
    for example in (False, True):
        options = sample.options(example=example)
        release = select(sample, options, TARGET)
        request = Request(TARGET, options, release)
        wheels, *files = layers_of(sample, request)
        assert wheels == Python(requirements=("micrograd==0.1.*",))
        assert [type(layer) for layer in files] == ([Files] if example else [])
        assert "micrograd" in check_of(sample, request)


@pytest.mark.network
def test_its_wheel_is_listed_and_loaded_beside_avabuild_in_a_fresh_environment(tmp_path):
    def uv(*arguments: str | Path) -> None:
        subprocess.run(
            [sys.executable, "-m", "uv", "--quiet", *map(str, arguments)], check=True, cwd=tmp_path
        )

    for project in (ROOT, SAMPLE):
        uv("build", "--wheel", "--out-dir", tmp_path / "dist", project)
    uv("venv", "--python", sys.executable, tmp_path / "venv")
    python = tmp_path / "venv" / "bin" / "python"
    uv("pip", "install", "--python", python, *(tmp_path / "dist").glob("*.whl"))
    done = subprocess.run(
        [python, "-c", LIST_AND_LOAD], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    seen = json.loads(done.stdout)
    assert ["sample", "avabuild-sample", "0.3.0"] in seen["listed"]
    assert {"jupyterlab", "keras", "pytorch", "tensorflow"} < {name for name, *_ in seen["listed"]}
    assert seen["imported"] == []
    assert seen["summary"].startswith("micrograd")
