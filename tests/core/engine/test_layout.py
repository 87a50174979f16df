from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import pytest

from avabuild.engine.layout import compose_image, write_layout
from avabuild.layer.base import Base
from avabuild.store import oci as image
from avabuild.store.oci import Piece, Settings


@pytest.fixture
def base(store, keep_blob) -> Base:
    lower = keep_blob(b"base layer")
    config = image.config({}, [Piece(blob=lower, created_by="base")], Settings(cmd=("bash",)), "amd64")
    return Base(digest="sha256:base", config=store.put(image.encode(config)), layers=(lower,))


@pytest.fixture
def compose(store, keep_blob, base):
    def make(*layers: bytes, annotations=None, on: Base = base, **settings):
        pieces = [Piece(blob=keep_blob(data), created_by="avabuild: layer") for data in layers]
        return compose_image(store, on, pieces, Settings(**settings), "amd64", annotations)

    return make


def test_an_image_is_the_bases_layers_with_ours_on_top(store, compose, base, tmp_path, read_manifest):
    composed = compose(b"one", b"two", annotations={"org.example": "1"}, env=(("A", "1"),))
    write_layout(store, composed, tmp_path / "oci", "py311-cpu")
    manifest = read_manifest(tmp_path / "oci")
    assert [layer["digest"] for layer in manifest["layers"]] == list(composed.layers)
    assert composed.layers[0] == base.layers[0].digest
    assert manifest["annotations"] == {"org.example": "1"}
    config = json.loads(store.blob_path(composed.config).read_bytes())
    assert config["config"]["Cmd"] == ["bash"]
    assert "A=1" in config["config"]["Env"]
    assert len(config["rootfs"]["diff_ids"]) == len(manifest["layers"]) == 3


def test_the_size_of_an_image_is_that_of_all_its_blobs(store, compose, tmp_path):
    composed = compose(b"one", b"two")
    write_layout(store, composed, tmp_path / "oci")
    held = (tmp_path / "oci" / "blobs" / "sha256").iterdir()
    assert composed.size == sum(path.stat().st_size for path in held)


def test_equal_images_have_equal_digests_and_every_difference_another(compose):
    one = compose(b"one", b"two")
    assert compose(b"one", b"two") == one
    others = [
        compose(b"two", b"one"),
        compose(b"one"),
        compose(b"one", b"two", on=Base()),
        compose(b"one", b"two", user="1"),
        compose(b"one", b"two", labels=(("a", "1"),)),
        compose(b"one", b"two", annotations={"a": "1"}),
    ]
    assert len({one.digest, *(other.digest for other in others)}) == 7


def test_the_order_of_annotations_does_not_show(compose):
    assert compose(annotations={"a": "1", "b": "2"}) == compose(annotations={"b": "2", "a": "1"})


def test_a_layout_says_that_it_is_one(store, compose, tmp_path):
    write_layout(store, compose(b"one"), tmp_path / "deep" / "oci", "tag")
    assert json.loads((tmp_path / "deep" / "oci" / "oci-layout").read_text()) == {
        "imageLayoutVersion": "1.0.0"
    }
    index = json.loads((tmp_path / "deep" / "oci" / "index.json").read_text())
    assert index["manifests"][0]["annotations"] == {"org.opencontainers.image.ref.name": "tag"}
    assert {path.name for path in (tmp_path / "deep" / "oci").iterdir()} == {
        "blobs",
        "index.json",
        "oci-layout",
    }


def names(layout: Path) -> list[str | None]:
    manifests = json.loads((layout / "index.json").read_text())["manifests"]
    return [entry.get("annotations", {}).get("org.opencontainers.image.ref.name") for entry in manifests]


def test_a_layout_keeps_its_other_images_and_replaces_the_one_of_the_name(
    store, compose, tmp_path, read_manifest
):
    layout = tmp_path / "oci"
    write_layout(store, compose(b"one"), layout, "cpu")
    write_layout(store, compose(b"two"), layout, "cuda")
    latest = compose(b"three")
    write_layout(store, latest, layout, "cpu")
    assert names(layout) == ["cuda", "cpu"]
    assert [layer["digest"] for layer in read_manifest(layout, 1)["layers"]] == list(latest.layers)


def test_writing_the_same_image_again_changes_nothing(store, compose, tmp_path):
    composed, layout = compose(b"one"), tmp_path / "oci"
    write_layout(store, composed, layout, "cpu")
    before = {path: path.read_bytes() for path in layout.rglob("*") if path.is_file()}
    write_layout(store, composed, layout, "cpu")
    assert {path: path.read_bytes() for path in layout.rglob("*") if path.is_file()} == before


def test_blobs_are_linked_where_the_file_system_allows(store, compose, tmp_path):
    composed = compose(b"one")
    write_layout(store, composed, tmp_path / "oci")
    inside = tmp_path / "oci" / "blobs" / "sha256" / composed.layers[-1].removeprefix("sha256:")
    assert inside.samefile(store.blob_path(composed.layers[-1]))


def test_blobs_are_copied_to_another_file_system(store, compose, tmp_path, monkeypatch, read_manifest):
    def refuse(*args: object) -> None:
        raise OSError(errno.EXDEV, "another device")

    monkeypatch.setattr(os, "link", refuse)
    composed = compose(b"one")
    write_layout(store, composed, tmp_path / "oci")
    assert len(read_manifest(tmp_path / "oci")["layers"]) == 2
    blobs = list((tmp_path / "oci" / "blobs" / "sha256").iterdir())
    assert len(blobs) == 4
    assert not any(path.name.startswith(".") for path in blobs)


def test_a_blob_that_the_store_lost_is_no_half_written_image(store, compose, tmp_path):
    composed = compose(b"one")
    store.blob_path(composed.layers[-1]).unlink()
    with pytest.raises(FileNotFoundError):
        write_layout(store, composed, tmp_path / "oci")
    assert not (tmp_path / "oci" / "index.json").exists()
