"""Frameworks: the shipped keras recipe, and a stranger's plugin from its own wheel in a fresh environment."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .user import User

pytestmark = [pytest.mark.build, pytest.mark.root_builder]

ROOT = Path(__file__).parents[2]


def test_the_keras_recipe_makes_an_image_that_trains_a_model(builder: User) -> None:
    text = (ROOT / "recipes" / "keras.toml").read_text().replace('"ava-keras"', '"ava-test-keras"')
    outcome = builder.avabuild("recipe", builder.recipe(text, "keras.toml"), "--json", timeout=900)
    assert outcome.code == 0, outcome.err
    said = {e["step"]: str(e.get("text")) for e in outcome.events if e["event"] == "finish"}
    assert said["check keras"].startswith("keras 3.")
    assert "on tensorflow loss" in said["check keras"]
    assert said["check tensorflow"].startswith("tensorflow 2.")
    assert "serves /lab" in said["check jupyterlab"]
    reference = str(outcome.image["reference"])
    looked = builder.inside(
        reference, "python -c 'import keras; print(keras.__version__)' 2>/dev/null; pip check; pwd"
    )
    assert looked.startswith("3.")
    assert "No broken requirements found." in looked
    assert looked.endswith("/workspace\n")
    inspected = json.loads(builder.buildah("inspect", "--type", "image", reference))
    assert len(inspected["OCIv1"]["rootfs"]["diff_ids"]) <= 40
    frameworks = json.loads(inspected["OCIv1"]["config"]["Labels"]["org.avabuild.frameworks"])
    assert set(frameworks) == {"ava-sdk", "jupyterlab", "keras", "tensorflow"}
    again = builder.avabuild("recipe", builder.home / "keras.toml")
    assert "nothing to do" in again.out + again.err


@pytest.fixture
def stranger(builder: User, tmp_path: Path) -> User:
    """A user whose avabuild and sample plugin are wheels in a fresh environment."""

    def uv(*argv: str | Path) -> None:
        subprocess.run([sys.executable, "-m", "uv", "--quiet", *map(str, argv)], check=True, cwd=tmp_path)

    for project in (ROOT, ROOT / "tests" / "third_party" / "avabuild-sample"):
        uv("build", "--wheel", "--out-dir", tmp_path / "dist", project)
    uv("venv", "--python", sys.executable, tmp_path / "venv")
    uv("pip", "install", "--python", tmp_path / "venv" / "bin" / "python", *(tmp_path / "dist").glob("*.whl"))
    del builder.env["PYTHONPATH"]
    builder.program = (str(tmp_path / "venv" / "bin" / "avabuild"),)
    return builder


RECIPE = """
    name = "ava-test-sample"
    base = { debian = "bookworm" }
    [frameworks]
    sample = "*"
"""


def test_a_recipe_uses_a_strangers_plugin(stranger: User) -> None:
    outcome = stranger.avabuild("recipe", stranger.recipe(RECIPE), "--json")
    assert outcome.code == 0, outcome.err
    said = {e["step"]: str(e.get("text")) for e in outcome.events if e["event"] == "finish"}
    assert "micrograd" in said["check sample"] or "sample" in said["check sample"]
    assert "avabuild-sample" in (stranger.home / "recipe.lock").read_text()


def test_a_failed_check_fails_the_build_and_leaves_the_name_where_it_was(stranger: User) -> None:
    good = stranger.avabuild("recipe", stranger.recipe(RECIPE), "--json")
    assert good.code == 0, good.err
    before = _identity(stranger)
    broken = RECIPE + '\n    [[run]]\n    shell = "rm -rf /opt/venv/lib/python3.11/site-packages/micrograd"\n'
    outcome = stranger.avabuild("recipe", stranger.recipe(broken))
    assert outcome.code == 7
    assert "No module named 'micrograd'" in outcome.err
    assert _identity(stranger) == before
    assert stranger.leftovers() == []
    skipped = stranger.avabuild("recipe", stranger.home / "recipe.toml", "--no-check")
    assert skipped.code == 0, skipped.err
    shutil.rmtree(stranger.home / "dist")


def _identity(user: User) -> str:
    """The id of the image that has the recipe's name."""
    listed = json.loads(user.buildah("images", "--json"))
    return next(
        str(i["id"]) for i in listed if "localhost/ava-test-sample:py311-cpu" in (i.get("names") or [])
    )
