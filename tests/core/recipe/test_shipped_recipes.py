"""The recipes that come with avabuild."""

from pathlib import Path

import pytest

from avabuild.recipe import load

RECIPES = sorted((Path(__file__).parents[3] / "recipes").glob("*.toml"))


def test_the_recipes_are_there():
    assert {"keras.toml", "tensorflow.toml", "pytorch.toml", "jupyterlab.toml"} <= {
        path.name for path in RECIPES
    }


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.name)
def test_a_shipped_recipe_loads_and_is_short_enough_to_read(path):
    assert load(path).name == f"ava-{path.stem}"
    assert len(path.read_text().splitlines()) <= 40
