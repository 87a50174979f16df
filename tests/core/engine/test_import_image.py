from __future__ import annotations

import gzip
import hashlib
import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from avabuild.common.errors import StepError, StoreError
from avabuild.engine.layout import compose_image
from avabuild.layer.base import Base
from avabuild.store.blob import Blob
from avabuild.store.oci import Piece, Settings


@pytest.fixture
def layer(store):
    """Return a function that keeps a real compressed layer of `text`."""

    def make(text: bytes) -> Blob:
        packed = gzip.compress(text, mtime=0)
        return Blob(
            digest=store.put(packed),
            diff_id="sha256:" + hashlib.sha256(text).hexdigest(),
            size=len(packed),
            unpacked=len(text),
            media_type="application/vnd.oci.image.layer.v1.tar+gzip",
        )

    return make


@pytest.fixture
def composed(context, layer):
    pieces = [
        Piece(blob=layer(text), created_by="avabuild: layer") for text in (b"one" * 9999, b"two" * 9999)
    ]
    return compose_image(context.store, Base(), pieces, Settings(), "amd64", {"org.example": "kept"})


@pytest.fixture
def pulled(tools):
    """What was in each layout when it was imported: blob name -> content."""
    seen: list[dict[str, bytes]] = []
    names: list[dict[str, object]] = []

    def pull(layout: Path) -> str:
        if tools.failing:
            tools.failing = False
            raise StepError("buildah failed", tail=tools.complaint)
        blobs = {path.name: path.read_bytes() for path in (layout / "blobs" / "sha256").iterdir()}
        seen.append(blobs)
        index = json.loads((layout / "index.json").read_bytes())
        names.append(json.loads(blobs[index["manifests"][0]["digest"].removeprefix("sha256:")]))
        return "id"

    tools.pull = pull
    tools.manifests = names
    return seen


def inflated(context) -> list[str]:
    directory = context.scratch.path / "plain"
    return sorted(path.name for path in directory.iterdir()) if directory.exists() else []


def test_layers_that_the_storage_lacks_are_handed_over_uncompressed(context, tools, composed, pulled):
    tools.held = {}
    assert context.import_image(composed) == "id"
    for blob in composed.blobs:
        content = pulled[0][blob.diff_id.removeprefix("sha256:")]
        assert "sha256:" + hashlib.sha256(content).hexdigest() == blob.diff_id
    described = [(one["digest"], one["size"]) for one in tools.manifests[0]["layers"]]
    assert described == [(blob.diff_id, blob.unpacked) for blob in composed.blobs]
    assert tools.manifests[0]["config"]["digest"] == composed.config
    assert tools.manifests[0]["annotations"] == {"org.example": "kept"}


def test_layers_that_the_storage_has_are_only_named(context, tools, composed, pulled):
    low, high = composed.blobs
    tools.held = {low.diff_id: 12345}
    context.import_image(composed)
    assert low.diff_id.removeprefix("sha256:") not in pulled[0]
    assert high.diff_id.removeprefix("sha256:") in pulled[0]
    assert [one["size"] for one in tools.manifests[0]["layers"]] == [12345, high.unpacked]


def test_a_storage_that_tells_nothing_gets_the_compressed_image(context, tools, composed, pulled):
    tools.held = None
    context.import_image(composed)
    assert [one["digest"] for one in tools.manifests[0]["layers"]] == list(composed.layers)


def test_a_disk_without_room_gets_the_compressed_image(context, tools, composed, pulled, monkeypatch):
    tools.held = {}
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
    context.intake.prepare(composed.blobs[0])
    context.import_image(composed)
    assert [one["digest"] for one in tools.manifests[0]["layers"]] == list(composed.layers)
    assert inflated(context) == []


def test_a_layer_that_left_the_storage_meanwhile_is_handed_over_after_all(context, tools, composed, pulled):
    tools.held = {blob.diff_id: 1 for blob in composed.blobs}
    tools.failing, tools.complaint = True, "open .../blobs/sha256/ab: no such file or directory"
    assert context.import_image(composed) == "id"
    assert [one["digest"] for one in tools.manifests[0]["layers"]] == list(composed.layers)


def test_another_failure_of_an_import_is_not_tried_again(context, tools, composed, pulled):
    tools.held = {}
    tools.failing, tools.complaint = True, "the storage is damaged"
    with pytest.raises(StepError, match="buildah failed"):
        context.import_image(composed)
    assert pulled == []
    assert inflated(context) == []


def test_what_was_inflated_beforehand_is_used_once_and_removed(context, tools, composed, pulled):
    tools.held = {}
    context.intake.prepare(composed.blobs[0])
    context.intake.prepare(composed.blobs[0])
    context.import_image(composed)
    assert inflated(context) == []
    context.import_image(composed)
    assert len(pulled) == 2
    assert inflated(context) == []


@pytest.mark.parametrize("damage", [lambda data: data[:-20], lambda data: b"\x1f\x8b" + bytes(len(data) - 2)])
def test_a_damaged_layer_of_the_cache_is_named(context, tools, composed, pulled, damage):
    tools.held = {}
    path = context.store.blob_path(composed.blobs[1].digest)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(StoreError, match="a layer in the cache is damaged") as raised:
        context.import_image(composed)
    assert str(path) in str(raised.value)
    assert pulled == []
    assert inflated(context) == []


def test_an_image_that_went_before_it_had_its_name_is_imported_once_more(context, tools, composed):
    identity = context.import_image(composed)
    tools.gone = (identity,)
    again = context.name_image(composed, identity, "ava:1")
    assert again != identity
    assert tools.tagged == {"ava:1": again}
    tools.gone = (identity, again, "id-3")
    with pytest.raises(StepError):
        context.name_image(composed, again, "ava:2")


@pytest.mark.parametrize(
    ("stopped", "keep", "forced"), [(False, False, False), (True, False, True), (True, True, False)]
)
def test_containers_go_with_their_images_only_after_a_stop_and_never_kept_ones(
    context, tools, composed, stopped, keep, forced
):
    context.keep, tools.stopped = keep, stopped
    context.import_image(composed)
    context.cleanup.close()
    assert tools.forced is forced
