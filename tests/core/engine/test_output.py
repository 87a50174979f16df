from __future__ import annotations

import hashlib
import json
import os
import tarfile
from pathlib import Path

import pytest

from avabuild.common.errors import StoreError
from avabuild.engine.layout import Composed, compose_image
from avabuild.engine.output import Output, write_output
from avabuild.layer.base import Base
from avabuild.layer.blob import BlobWriter
from avabuild.store.oci import Piece, Settings

NAME = "localhost/demo:py311-cpu"


@pytest.fixture
def composed(store, keep_blob) -> Composed:
    pieces = [Piece(blob=keep_blob(b"layer"), created_by="avabuild: layer")]
    return compose_image(store, Base(), pieces, Settings(), "amd64")


@pytest.fixture
def packed(store) -> Composed:
    """An image of a layer that is really compressed."""
    path = store.root / "tmp" / "layer"
    with BlobWriter(path) as writer:
        writer.file("file", os.urandom(5000))
        blob = writer.finish()
    store.adopt(path, blob.digest)
    return compose_image(store, Base(), [Piece(blob=blob, created_by="avabuild: layer")], Settings(), "amd64")


@pytest.mark.parametrize("kind", ["oci", "oci-archive", "docker-archive"])
def test_an_output_is_read_and_shown(kind, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    output = Output.parse(f"{kind}:there")
    assert (output.kind, output.path) == (kind, tmp_path / "there")
    assert str(output) == f"{kind}:{tmp_path / 'there'}"


def test_without_one_the_image_goes_to_the_local_storage():
    assert (Output().kind, Output().path, str(Output())) == ("storage", None, "local storage")


@pytest.mark.parametrize(
    "text",
    ["", "there", "oci", "oci:", "dir:there", "storage:there", "OCI:there", "oci:there:tag", "oci-archive:"],
)
def test_what_is_no_output_is_refused_with_the_ones_there_are(text):
    with pytest.raises(
        ValueError, match="is no output; write storage, oci:DIR, oci-archive:FILE or docker-archive:FILE"
    ):
        Output.parse(text)


def test_a_layout_needs_no_tool_and_has_the_images_tag(context, composed, tools, tmp_path, read_manifest):
    write_output(context, composed, Output.parse(f"oci:{tmp_path}/new/oci"), NAME)
    assert read_manifest(tmp_path / "new" / "oci")["layers"][0]["digest"] == composed.layers[0]
    index = json.loads((tmp_path / "new" / "oci" / "index.json").read_text())
    assert index["manifests"][0]["annotations"] == {"org.opencontainers.image.ref.name": "py311-cpu"}
    assert tools.copied == []


def names(archive: Path) -> list[str]:
    with tarfile.open(archive) as tar:
        return tar.getnames()


def content(archive: Path, name: str) -> bytes:
    with tarfile.open(archive) as tar:
        file = tar.extractfile(name)
        assert file
        return file.read()


@pytest.mark.parametrize("kind", ["oci-archive", "docker-archive"])
def test_an_archive_needs_no_tool_replaces_an_older_one_and_is_the_same_every_time(
    context, composed, tools, tmp_path, kind
):
    target = tmp_path / "out" / "demo.tar"
    target.parent.mkdir()
    target.write_text("older")
    write_output(context, composed, Output.parse(f"{kind}:{target}"), NAME)
    first = target.read_bytes()
    write_output(context, composed, Output.parse(f"{kind}:{target}"), NAME)
    assert target.read_bytes() == first
    assert list(target.parent.iterdir()) == [target]
    assert tools.copied == []


def test_an_oci_archive_is_a_layout_with_the_images_tag(context, composed, tmp_path):
    target = tmp_path / "demo.tar"
    write_output(context, composed, Output.parse(f"oci-archive:{target}"), NAME)
    index = json.loads(content(target, "index.json"))
    assert index["manifests"][0]["annotations"] == {"org.opencontainers.image.ref.name": "py311-cpu"}
    assert index["manifests"][0]["digest"] == composed.digest
    for digest in (*composed.layers, composed.config, composed.digest):
        name = f"blobs/sha256/{digest.removeprefix('sha256:')}"
        assert f"sha256:{hashlib.sha256(content(target, name)).hexdigest()}" == digest


def test_a_docker_archive_has_the_images_name_and_its_inflated_layers(context, packed, tmp_path):
    target = tmp_path / "demo.tar"
    write_output(context, packed, Output.parse(f"docker-archive:{target}"), NAME)
    (about,) = json.loads(content(target, "manifest.json"))
    assert about["RepoTags"] == [NAME]
    assert f"sha256:{hashlib.sha256(content(target, about['Config'])).hexdigest()}" == packed.config
    diff_ids = [f"sha256:{hashlib.sha256(content(target, name)).hexdigest()}" for name in about["Layers"]]
    assert diff_ids == json.loads(content(target, about["Config"]))["rootfs"]["diff_ids"]


def test_two_layers_of_one_content_are_in_an_archive_once(context, store, keep_blob, tmp_path):
    pieces = [Piece(blob=keep_blob(b"layer"), created_by=f"avabuild: {name}") for name in "ab"]
    twice = compose_image(store, Base(), pieces, Settings(), "amd64")
    for kind in ("oci-archive", "docker-archive"):
        target = tmp_path / f"{kind}.tar"
        write_output(context, twice, Output.parse(f"{kind}:{target}"), NAME)
        assert len(names(target)) == len(set(names(target)))
    assert len(json.loads(content(target, "manifest.json"))[0]["Layers"]) == 2


@pytest.mark.parametrize("kind", ["oci-archive", "docker-archive"])
def test_an_archive_that_fails_leaves_the_older_one(context, store, composed, tmp_path, kind):
    target = tmp_path / "out" / "demo.tar"
    target.parent.mkdir()
    target.write_text("older")
    store.blob_path(composed.layers[0]).unlink()
    with pytest.raises(FileNotFoundError):
        write_output(context, composed, Output.parse(f"{kind}:{target}"), NAME)
    assert target.read_text() == "older"
    assert list(target.parent.iterdir()) == [target]


def test_a_docker_archive_of_a_damaged_layer_says_which(context, store, packed, tmp_path):
    path = store.blob_path(packed.layers[0])
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(StoreError, match="a layer in the cache is damaged") as caught:
        write_output(context, packed, Output.parse(f"docker-archive:{tmp_path}/demo.tar"), NAME)
    assert str(path) in str(caught.value)


def test_a_place_that_cant_be_written_is_told_with_the_option_to_change(context, composed, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="can't write to") as caught:
        write_output(context, composed, Output.parse(f"oci:{tmp_path}/file/oci"), NAME)
    assert caught.value.hint == "name another place with --output"


def test_writing_is_shown_as_a_step(context, composed, events, tmp_path):
    write_output(context, composed, Output.parse(f"oci:{tmp_path}/oci"), NAME)
    assert [event.kind for event in events] == ["start", "finish"]
    assert events[0].step == f"write oci:{tmp_path}{os.sep}oci"
