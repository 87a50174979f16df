"""`avabuild schema` and `avabuild plugins`."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

OWN = ("jupyterlab", "keras", "pytorch", "tensorflow")


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
    lines = avabuild("plugins").stdout.splitlines()
    assert f"keras       avabuild {version('avabuild')}" in lines


def test_plugins_as_json_say_what_would_be_imported(avabuild):
    listed = json.loads(avabuild("plugins", "--json").stdout)
    assert {
        "framework": "keras",
        "module": "avabuild_plugins.keras",
        "distribution": "avabuild",
        "version": version("avabuild"),
    } in listed


def test_broken_and_doubled_plugins_are_listed_too(avabuild, broken):
    lines = avabuild("plugins", PYTHONPATH=str(broken)).stdout.splitlines()
    assert any(line.split()[:3] == ["broken", "avabuild-broken", "1.0"] for line in lines)
    assert sum("provided more than once" in line for line in lines) == 2


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
