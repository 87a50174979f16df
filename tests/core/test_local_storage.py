from __future__ import annotations

import json
from pathlib import Path

import pytest

from avabuild.local_storage import LocalStorage


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
    ],
)
def test_a_list_in_another_form_tells_nothing(storage, text):
    listed(storage, text)
    assert storage.layers() is None
