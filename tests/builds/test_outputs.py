"""Outputs: layouts and archives hold the image that the local storage would."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from .user import User

pytestmark = pytest.mark.build

RECIPE = """
    name = "ava-test-output"
    base = { debian = "bookworm" }
    [packages]
    pip = ["six"]
    [build]
    compression = "COMPRESSION"
"""


def manifest(source: str) -> dict[str, object]:
    done = subprocess.run(["skopeo", "inspect", "--raw", source], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)  # type: ignore[no-any-return]


@pytest.mark.parametrize("compression", ["gzip", "zstd"])
def test_an_oci_layout_can_be_run_by_others(builder: User, compression: str) -> None:
    recipe = builder.recipe(RECIPE.replace("COMPRESSION", compression))
    outcome = builder.avabuild("recipe", recipe, "--output", "oci:images", "--json")
    assert outcome.code == 0, outcome.err
    layout = builder.home / "images"
    assert (
        json.loads((layout / "index.json").read_text())["manifests"][0]["digest"] == outcome.image["digest"]
    )
    layers = manifest(f"oci:{layout}:py311-cpu")["layers"]
    assert isinstance(layers, list)
    assert layers[-1]["mediaType"].endswith(f"tar+{compression}")
    image = builder.buildah("pull", "--quiet", f"oci:{layout}:py311-cpu").strip()
    assert builder.inside(image, "python -c 'import six; print(six.__name__)'") == "six\n"
    again = builder.avabuild("recipe", recipe, "--output", "oci:images")
    assert "nothing to do" in again.out + again.err


@pytest.mark.parametrize("kind", ["oci-archive", "docker-archive"])
def test_an_archive_can_be_run_by_others(builder: User, kind: str) -> None:
    recipe = builder.recipe(RECIPE.replace("COMPRESSION", "gzip"))
    outcome = builder.avabuild("recipe", recipe, "--output", f"{kind}:image.tar", "--json")
    assert outcome.code == 0, outcome.err
    image = builder.buildah("pull", "--quiet", f"{kind}:{builder.home}/image.tar").strip()
    assert builder.inside(image, "python -c 'import six; print(six.__name__)'") == "six\n"
    assert sorted(path.name for path in builder.home.iterdir()) == ["image.tar", "recipe.lock", "recipe.toml"]


def test_an_oci_layout_of_file_layers_on_a_known_base_starts_no_container(
    builder: User, tmp_path: Path
) -> None:
    """`buildah` is not even there."""
    assert builder.avabuild("recipe", builder.recipe(RECIPE.replace("COMPRESSION", "gzip"))).code == 0
    more = builder.recipe(RECIPE.replace("COMPRESSION", "gzip").replace('"six"', '"six", "toolz"'))
    bare = tmp_path / "bin"
    bare.mkdir()
    builder.env["PATH"] = str(bare)
    outcome = builder.avabuild("recipe", more, "--output", "oci:images", "--json")
    assert outcome.code == 0, outcome.err
    assert set(outcome.image["made"]) == {"wheels of packages", "bytecode of packages"}  # type: ignore[call-overload]
