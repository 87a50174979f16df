"""`avabuild schema` and `avabuild plugins`."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from avabuild.recipe import load

OWN = ("ava-sdk", "caffe", "jax", "jupyterlab", "keras", "mxnet", "python", "pytorch", "tensorflow")


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    """A directory with two distributions: one whose module is absent, and another one of keras."""
    for name, framework in (("avabuild-broken", "broken"), ("other-keras", "keras")):
        info = tmp_path / "site" / f"{name.replace('-', '_')}-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[avabuild]\n{framework} = no_such_module\n")
    return tmp_path / "site"


def test_the_schema_knows_the_options_of_installed_plugins(avabuild):
    said = avabuild("schema")
    assert said.returncode == 0
    frameworks = json.loads(said.stdout)["properties"]["frameworks"]["properties"]
    assert set(OWN) <= set(frameworks)


def test_a_broken_plugin_is_left_out_of_the_schema_with_a_warning(avabuild, broken):
    said = avabuild("schema", PYTHONPATH=str(broken))
    assert said.returncode == 0
    assert "warning: left out: broken (avabuild-broken 1.0) can't be imported" in said.stderr
    assert "tensorflow" in json.loads(said.stdout)["properties"]["frameworks"]["properties"]


def test_plugins_are_listed_with_their_distributions(avabuild):
    lines = [line.split() for line in avabuild("plugins").stdout.splitlines()]
    assert lines[0] == ["frameworks", "distribution", "series", "python", "device", "options"]
    keras = next(line for line in lines if line[0] == "keras")
    assert keras[1:3] == ["avabuild", version("avabuild")]
    assert keras[3:6] == ["2.0.8", "to", "3.15"]
    assert keras[-1] == "backend"


def test_plugins_as_json_say_all_that_is_known_of_each(avabuild):
    listed = json.loads(avabuild("plugins", "--json").stdout)
    keras = next(one for one in listed if one["name"] == "keras")
    known = {
        "kind": "framework",
        "module": "avabuild_plugins.keras",
        "distribution": "avabuild",
        "version": version("avabuild"),
        "problem": None,
    }
    assert known.items() <= keras.items()
    assert [option["name"] for option in keras["options"]] == ["version", "backend"]
    assert keras["pythons"][0] == "2.7"
    assert keras["series"][-1] == "2.0.8"
    assert keras["devices"] == ["any"]


def test_broken_and_doubled_plugins_are_listed_too(avabuild, broken):
    lines = avabuild("plugins", PYTHONPATH=str(broken)).stdout.splitlines()
    why = next(line for line in lines if line.split()[:3] == ["broken", "avabuild-broken", "1.0"])
    assert why.endswith("can't be imported: ModuleNotFoundError: No module named 'no_such_module'")
    assert sum("provided more than once" in line for line in lines) == 2
    assert any(line.startswith("tensorflow") for line in lines)


def test_a_plugin_is_shown_with_its_options_releases_source_and_a_recipe(avabuild, tmp_path):
    said = avabuild("plugins", "show", "tensorflow")
    assert said.returncode == 0
    lines = said.stdout.splitlines()
    assert lines[0].startswith("tensorflow: TensorFlow, for CPU")
    assert '  version: string, default "*"' in lines
    assert any(line.split() == ["1.4", "2.7", "3.5-3.6", "cpu", "cuda8.0-cudnn6"] for line in lines)
    assert any("grpcio==1.39.0" in line for line in lines)
    assert any(line.startswith("source: ") and "; checked 2026-" in line for line in lines)
    assert '  tensorflow = "2.21"' in lines


@pytest.mark.parametrize("name", OWN)
def test_the_recipe_that_is_shown_is_one(avabuild, tmp_path, name):
    said = avabuild("plugins", "show", name, "--json")
    shown = json.loads(said.stdout)
    (tmp_path / "example.toml").write_text(shown["example"])
    assert load(tmp_path / "example.toml").frameworks[0].name == name
    assert {"framework", "summary", "source", "checked", "options", "releases"} < set(shown)


def test_options_are_shown_with_their_types_and_defaults(avabuild):
    shown = json.loads(avabuild("plugins", "show", "keras", "--json").stdout)
    backend = next(option for option in shown["options"] if option["name"] == "backend")
    assert (backend["type"], backend["default"]) == ('"tensorflow" | "torch" | "jax"', "tensorflow")


def test_a_plugin_that_is_not_installed_is_refused_with_those_that_are(avabuild):
    said = avabuild("plugins", "show", "theano")
    assert said.returncode == 3
    assert 'no plugin provides "theano"; installed: ava-sdk, ' in said.stderr


def test_a_broken_plugin_is_not_shown_and_its_distribution_is_named(avabuild, broken):
    said = avabuild("plugins", "show", "broken", PYTHONPATH=str(broken))
    assert said.returncode == 3
    assert "broken (avabuild-broken 1.0) can't be imported" in said.stderr


def test_listing_plugins_imports_none_of_them():
    program = """
import sys
sys.argv = ["avabuild", "plugins"]
from avabuild.cli import main
try:
    main()
finally:
    print("avabuild_plugins" in sys.modules, file=sys.stderr)
"""
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ran.stderr.splitlines()[-1] == "False"
