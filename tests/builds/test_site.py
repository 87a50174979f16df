"""`avabuild catalog --registry` against a real registry: Debian's docker-registry on loopback."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

AVABUILD = Path(sys.executable).with_name("avabuild")
RECIPE = """\
name = "tiny"
base = "scratch"
[[files]]
source = "hello.txt"
target = "/hello.txt"
[image]
ports = [8888]
"""
pytestmark = [
    pytest.mark.build,
    pytest.mark.skipif(shutil.which("docker-registry") is None, reason="docker-registry is missing"),
]
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def registry(make_distribution: Callable[..., Any]) -> Any:
    """A registry that is empty, answers, and speaks plain HTTP."""
    made = make_distribution(certificate="")
    made.start()
    return made


@pytest.fixture
def address(registry: Any) -> str:
    """The registry's address."""
    return str(registry.host)


@pytest.fixture
def run(tmp_path: Path, address: str, registry: Any) -> Run:
    """Return a function that runs a command whose home knows that the registry speaks plain HTTP."""
    settings = tmp_path / "home" / ".config" / "containers"
    settings.mkdir(parents=True)
    (settings / "registries.conf").write_text(f'[[registry]]\nlocation = "{address}"\ninsecure = true\n')
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path / "home"),
        "AVABUILD_CACHE": str(tmp_path / "cache"),
        "REGISTRY_AUTH_FILE": str(registry.auth_file()),
    }

    def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command, cwd=tmp_path, env=environment, check=True, capture_output=True, text=True, timeout=120
        )

    return run


def test_a_published_image_is_shown_as_the_registry_has_it(run, address, tmp_path):
    recipes = tmp_path / "recipes"
    recipes.mkdir()
    (recipes / "hello.txt").write_text("hello")
    (recipes / "tiny.toml").write_text(RECIPE)
    (recipes / "other.toml").write_text(RECIPE.replace("tiny", "other"))
    run(AVABUILD, "recipe", "recipes/tiny.toml", "--output", "oci:layout", "--no-check")
    for tag in ("cpu", "of-last-year"):
        destination = f"docker://{address}/ava/tiny:{tag}"
        run("skopeo", "copy", "--quiet", "--insecure-policy", "oci:layout:cpu", destination)
    run(AVABUILD, "catalog", "recipes", "--registry", f"{address}/ava")

    site = json.loads((tmp_path / "site" / "catalog.json").read_text())
    found = {f"{entry['name']}:{entry['tag']}": entry for entry in site["entries"]}
    assert {name: entry["state"] for name, entry in found.items()} == {
        "other:cpu": "built",
        "tiny:cpu": "published",
        "tiny:of-last-year": "published",
    }
    shown = json.loads(run("skopeo", "inspect", f"docker://{address}/ava/tiny:cpu").stdout)
    assert found["tiny:cpu"]["digest"] == shown["Digest"]
    assert found["tiny:cpu"]["slices"][0]["size"] == found["tiny:cpu"]["size"] > 0
    page = (tmp_path / "site" / "images" / "tiny" / "cpu.html").read_text()
    assert f"{address}/ava/tiny:cpu" in page
