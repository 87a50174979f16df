"""Strangers' plugins, as wheels in a fresh environment: their own tests, what they become, what `new` writes."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.network

HERE = Path(__file__).parent
SAMPLES = ("avabuild-sample", "avabuild-annoy", "avabuild-house")
LIST_AND_LOAD = """
import json, sys
from avabuild.plugins.registry import Registry, installed
registry = Registry(installed())
listed = [[p.name, p.distribution, p.version] for p in registry.providers]
imported = [name for name in sys.modules if name.startswith(("avabuild_sample", "avabuild_plugins"))]
summary = registry.framework("sample").summary
print(json.dumps({"listed": listed, "imported": imported, "summary": summary}))
"""


def passed(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def tests_of(tmp_path):
    """Return a function that copies a sample's tests away from its sources: only what is installed is tested."""

    def copy(name):
        return shutil.copytree(HERE / name / "tests", tmp_path / name)

    return copy


def test_wheels_are_listed_and_loaded_beside_avabuild(stranger):
    seen = json.loads(passed(stranger.run("python", "-c", LIST_AND_LOAD)))
    assert ["sample", "avabuild-sample", "0.3.0"] in seen["listed"]
    assert {"jupyterlab", "keras", "pytorch", "tensorflow"} < {name for name, *_ in seen["listed"]}
    assert seen["imported"] == []
    assert seen["summary"].startswith("micrograd")


@pytest.mark.parametrize("name", SAMPLES)
def test_a_samples_own_tests_pass(stranger, tests_of, name):
    passed(stranger.run("pytest", "-q", "-m", "not avabuild_image", "-p", "no:cacheprovider", tests_of(name)))


def test_the_samples_types_are_right(stranger):
    sources = [HERE / "avabuild-sample" / "avabuild_sample.py", *HERE.glob("avabuild-*/src/*/__init__.py")]
    assert len(sources) == len(SAMPLES)
    passed(stranger.run("mypy", "--strict", "--cache-dir", stranger.place / "mypy", *sources))


@pytest.mark.build
@pytest.mark.parametrize("name", SAMPLES)
def test_a_samples_images_are_made(stranger, tests_of, kept, name):
    done = stranger.run(
        "pytest", "-q", "-m", "avabuild_image", "-p", "no:cacheprovider", tests_of(name), **kept
    )
    assert " passed" in passed(done)
    assert "skipped" not in done.stdout


def test_what_new_writes_installs_lints_type_checks_and_keeps_the_contract(stranger, tmp_path):
    made = passed(stranger.run("avabuild", "plugin", "new", "flax", "--license", "Apache-2.0", cwd=tmp_path))
    assert "releases of flax: 0." in made
    project = tmp_path / "avabuild-flax"
    assert "Apache License" in (project / "LICENSE").read_text()
    checked = passed(stranger.run("avabuild", "plugin", "check", "avabuild-flax", cwd=tmp_path))
    assert checked.splitlines()[-1] == "keeps the contract"
    stranger.install(stranger.build(project))
    try:
        passed(stranger.run("ruff", "check", cwd=project))
        passed(stranger.run("ruff", "format", "--check", cwd=project))
        passed(stranger.run("mypy", "--cache-dir", stranger.place / "mypy", cwd=project))
        tests = passed(stranger.run("pytest", "-m", "not avabuild_image", cwd=project))
        assert "9 passed, 1 deselected" in tests
    finally:
        stranger.remove("avabuild-flax")
