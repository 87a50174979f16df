"""`avabuild catalog`: pages of a directory of recipes, without a network and without building anything."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RECIPE = """\
name = "mine"
base = { debian = "bookworm" }
[matrix]
python = ["3.11"]
[frameworks]
jupyterlab = "*"
"""


@pytest.fixture
def recipes(tmp_path):
    directory = tmp_path / "recipes"
    directory.mkdir()
    (directory / "mine.toml").write_text(RECIPE)
    return directory


def files(directory: Path) -> dict[str, bytes]:
    return {str(p.relative_to(directory)): p.read_bytes() for p in directory.rglob("*") if p.is_file()}


def test_the_shipped_recipes_become_pages_without_a_network(avabuild, tmp_path):
    done = avabuild("catalog", f"{ROOT / 'recipes'}/", "--output", "site")
    assert (done.returncode, done.stdout) == (0, "site/index.html\n")
    written = files(tmp_path / "site")
    images = [name for name in written if name.startswith("images/")]
    assert len(images) >= len(list((ROOT / "recipes").rglob("*.toml")))
    assert f"{len(images)} images; {len(images) + 4} files written, 0 removed" in done.stderr
    assert "images/ava-mxnet/py27-cuda80-cudnn6.html" in images
    assert b"numpy" in written["images/ava-keras/py311-cpu.html"]
    assert not [
        name for name, data in written.items() if os.fsencode(ROOT) in data or os.fsencode(tmp_path) in data
    ]


def test_two_runs_write_the_same_bytes_wherever_recipes_are(avabuild, recipes, tmp_path):
    avabuild("catalog", "recipes", "--output", "one")
    shutil.copytree(recipes, tmp_path / "elsewhere" / "recipes")
    done = avabuild("catalog", str(tmp_path / "elsewhere" / "recipes"), "--output", "two")
    assert done.returncode == 0
    assert files(tmp_path / "one") == files(tmp_path / "two")


def test_a_recipe_that_is_gone_takes_its_page_with_it(avabuild, recipes, tmp_path):
    (recipes / "other.toml").write_text(RECIPE.replace("mine", "other"))
    avabuild("catalog", "recipes")
    (recipes / "other.toml").unlink()
    done = avabuild("catalog", "recipes")
    assert "1 removed" in done.stderr
    assert [name for name in files(tmp_path / "site") if name.startswith("images/")] == [
        "images/mine/py311-cpu.html"
    ]


def test_a_recipe_whose_base_is_out_of_reach_is_told_on_the_page(avabuild, recipes, tmp_path):
    (recipes / "odd.toml").write_text(
        RECIPE.replace('debian = "bookworm"', 'image = "reg.example.com/odd:1"').replace("mine", "odd")
    )
    done = avabuild("catalog", "recipes")
    assert done.returncode == 0
    assert "odd:py311-cpu is not shown: its base reg.example.com/odd:1 is not in the cache" in done.stderr
    assert (
        "its base reg.example.com/odd:1 is not in the cache" in (tmp_path / "site" / "index.html").read_text()
    )


def test_a_recipe_that_is_wrong_is_an_error_and_nothing_is_written(avabuild, recipes, tmp_path):
    (recipes / "bad.toml").write_text('name = "Bad Name"\n')
    done = avabuild("catalog", "recipes")
    assert done.returncode == 2
    assert "bad.toml:1" in done.stderr
    assert not (tmp_path / "site").exists()


def test_a_directory_without_recipes_is_refused(avabuild, tmp_path):
    (tmp_path / "empty").mkdir()
    done = avabuild("catalog", "empty")
    assert (done.returncode, done.stdout) == (2, "")
    assert "empty: no recipe is in this directory or below" in done.stderr


def test_a_registry_that_is_down_is_an_error_that_names_it(avabuild, recipes):
    done = avabuild("catalog", "recipes", "--registry", "127.0.0.1:9/ava")
    assert done.returncode == 75
    assert "127.0.0.1:9 doesn't answer: can't list ava/mine" in done.stderr
