"""The benchmark of a catalogue: both ways ask for the same, and a missed promise is marked."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from bench.catalogue import ADDED, ROWS, containerfile, recipe, requirements
from bench.matrix import LIMITS, MOST_DISK, MOST_SECONDS, OURS, THEIRS, Disk, _disk, table
from bench.measure import Cost


@pytest.mark.parametrize("image", ROWS, ids=lambda image: image.name)
def test_a_recipe_and_its_containerfile_ask_for_the_same(image):
    read = tomllib.loads(recipe(image, (ADDED,)))
    asked = requirements(image, (ADDED,)).splitlines()
    assert {Requirement(line).name for line in asked} > {Requirement(r).name for r in read["packages"]["pip"]}
    assert len(asked) == 1 + len(read["frameworks"]) + len(read["packages"]["pip"])
    text = containerfile(image)
    assert all(package in text for package in read["packages"]["apt"])
    assert "--compile-bytecode" in text
    assert "--mount=type=cache,target=/root/.cache/uv" in text


def test_the_rows_are_those_of_the_platforms_table():
    assert [image.name for image in ROWS] == [
        "pure",
        "sdk",
        "mxnet",
        "caffe",
        "tensorflow",
        "pytorch",
        "keras",
    ]


def test_the_promises_are_the_ones_that_were_made():
    assert LIMITS == {"cold": 0.35, "unchanged": None, "added": 0.15}
    assert (MOST_SECONDS, MOST_DISK) == (1.0, 1.1)


def test_the_table_marks_what_was_missed():
    costs = {
        OURS: {"cold": Cost(40, 1, 70), "unchanged": Cost(1.5, 1, 0.2), "added": Cost(10, 1, 9)},
        THEIRS: {"cold": Cost(100, 1, 150), "unchanged": Cost(1, 1, 1), "added": Cost(100, 1, 140)},
    }
    rows = [line.strip("| ").split(" | ") for line in table(costs).splitlines()[2:]]
    assert [row[3] for row in rows] == ["0.40 (missed)", "1.50 (missed)", "0.10"]
    assert rows[0][1] == "40.00 s (70 s)"


def test_a_layer_counts_once_whatever_images_have_it(tmp_path: Path):
    layers, base = tmp_path / "index" / "layer", tmp_path / "index" / "base"
    layers.mkdir(parents=True)
    base.mkdir()
    for key, digest in (("a", "sha256:1"), ("b", "sha256:1"), ("c", "sha256:2")):
        (layers / f"{key}.json").write_text(json.dumps({"data": {"digest": digest, "size": 1000}}))
    (base / "d.json").write_text(json.dumps({"data": {"layers": [{"digest": "sha256:3", "size": 500}]}}))
    (tmp_path / "blobs").mkdir()
    (tmp_path / "blobs" / "1").write_bytes(b"x" * 2500)
    (tmp_path / "wheels").mkdir()
    (tmp_path / "wheels" / "w").write_bytes(b"x" * 2500)
    disk = _disk(tmp_path)
    assert disk.layers == 2500
    assert disk.parts["wheels"] == 2500
    assert disk.whole > 2
    assert Disk({"blobs": 2500}, 2500).blobs == 1.0
