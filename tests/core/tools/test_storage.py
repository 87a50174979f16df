from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from avabuild.tools.storage import LocalStorage, layer_ids


@pytest.fixture
def storage(tmp_path: Path) -> LocalStorage:
    return LocalStorage.of({"store": {"GraphRoot": str(tmp_path), "GraphDriverName": "overlay"}})


def listed(storage: LocalStorage, text: str) -> None:
    path = storage.root / "overlay-layers" / "layers.json"
    path.parent.mkdir(parents=True)
    path.write_text(text)


def test_the_list_of_images_is_the_one_of_the_driver(storage, tmp_path):
    assert storage.images == tmp_path / "overlay-images" / "images.json"


def test_layers_are_known_by_diff_id_and_working_containers_are_none(storage):
    layers = [{"id": "a", "diff-digest": "sha256:a", "diff-size": 7}, {"id": "container"}]
    listed(storage, json.dumps(layers))
    assert storage.layers() == {"sha256:a": 7}


def test_a_layer_that_a_killed_import_left_is_none(storage):
    layers = [{"id": "a", "diff-digest": "sha256:a", "diff-size": 7, "flags": {"incomplete": True}}]
    listed(storage, json.dumps(layers))
    assert storage.layers() == {}


def test_a_layer_of_unknown_size_can_not_be_named(storage):
    listed(storage, json.dumps([{"id": "a", "diff-digest": "sha256:a"}]))
    assert storage.layers() == {}


def test_a_new_storage_has_no_layers(storage):
    assert storage.layers() == {}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "null",
        "{}x",
        '[{"diff-digest": "sha256:a"}]',
        '["a"]',
        '[{"diff-digest": 1, "diff-size": "x"}]',
        '[{"id": "a", "diff-digest": "sha256:a", "diff-size": "x"}]',
        '[{"id": "a", "flags": ["incomplete"]}]',
    ],
)
def test_a_list_in_another_form_tells_nothing(storage, text):
    listed(storage, text)
    assert storage.layers() is None


def test_the_ids_of_layers_depend_on_all_that_is_below():
    low, high = "a" * 64, "b" * 64
    above = hashlib.sha256(f"{low}+{high}".encode()).hexdigest()
    assert layer_ids([f"sha256:{low}", f"sha256:{high}"]) == (low, above)
    assert layer_ids([f"sha256:{high}"]) == (high,)
    assert layer_ids([]) == ()


def stack(storage: LocalStorage, **parents: str) -> None:
    layers = [{"id": name, "parent": below, "diff-digest": name} for name, below in parents.items()]
    listed(storage, json.dumps(layers))


def test_layers_are_loose_when_no_image_and_no_container_stands_on_them(storage, tmp_path):
    stack(storage, base="", one="base", two="one", three="two", other="base", box="other")
    (tmp_path / "overlay-images").mkdir()
    storage.images.write_text(json.dumps([{"id": "i", "layer": "one"}]))
    containers = tmp_path / "overlay-containers"
    containers.mkdir()
    (containers / "containers.json").write_text(json.dumps([{"id": "c", "layer": "box"}]))
    everything = ("base", "one", "three", "two", "other", "box")
    assert storage.loose(everything) == ("three", "two"), "upper ones first"
    assert storage.loose(("two", "gone")) == ("two",)
    (containers / "containers.json").rename(containers / "volatile-containers.json")
    assert storage.loose(everything) == ("three", "two")
    storage.images.unlink()
    assert storage.loose(("base", "one")) == ("one",)


def test_a_new_storage_has_no_loose_layers(storage):
    assert storage.loose(("a",)) == ()


def test_a_layer_that_is_not_whole_says_so(storage):
    listed(storage, json.dumps([{"id": "a", "flags": {"incomplete": True}}, {"id": "b"}]))
    assert {name: layer.whole for name, layer in storage.list_layers().items()} == {"a": False, "b": True}
