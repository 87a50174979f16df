"""The recipes that come with avabuild."""

from pathlib import Path

import pytest

from avabuild.recipe import load

ROOT = Path(__file__).parents[3] / "recipes"
RECIPES = sorted(ROOT.rglob("*.toml"))


def test_the_recipes_are_there():
    names = {str(path.relative_to(ROOT)) for path in RECIPES}
    assert {
        "keras.toml",
        "tensorflow.toml",
        "pytorch.toml",
        "mxnet.toml",
        "pure.toml",
        "jupyterlab.toml",
    } <= names
    classic = ("pure", "sdk", "mxnet", "tensorflow", "pytorch", "keras")
    assert {f"classic/{name}.toml" for name in classic} <= names
    assert {"cuda/mxnet-cuda80.toml", "cuda/tensorflow-cuda90.toml", "cuda/mxnet-cuda91.toml"} <= names


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_shipped_recipe_loads_and_is_short_enough_to_read(path):
    assert load(path).name in {f"ava-{path.stem}", f"ava-{path.stem.rpartition('-cuda')[0]}"}
    assert len(path.read_text().splitlines()) <= 40
