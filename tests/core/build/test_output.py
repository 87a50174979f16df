from __future__ import annotations

import json
import os

import pytest

from avabuild.base import Base
from avabuild.build.layout import Composed, compose_image
from avabuild.build.output import Output, write_output
from avabuild.errors import StepError, StoreError
from avabuild.image import Piece, Settings

NAME = "localhost/demo:py311-cpu"


@pytest.fixture
def composed(store, keep_blob) -> Composed:
    pieces = [Piece(blob=keep_blob(b"layer"), created_by="avabuild: layer")]
    return compose_image(store, Base(), pieces, Settings(), "amd64")


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
        ValueError, match="is no output; write oci:DIR, oci-archive:FILE or docker-archive:FILE"
    ):
        Output.parse(text)


def test_a_layout_needs_no_tool_and_has_the_images_tag(context, composed, tools, tmp_path, read_manifest):
    write_output(context, composed, Output.parse(f"oci:{tmp_path}/new/oci"), NAME)
    assert read_manifest(tmp_path / "new" / "oci")["layers"][0]["digest"] == composed.layers[0]
    index = json.loads((tmp_path / "new" / "oci" / "index.json").read_text())
    assert index["manifests"][0]["annotations"] == {"org.opencontainers.image.ref.name": "py311-cpu"}
    assert tools.copied == []


@pytest.mark.parametrize(
    ("kind", "reference"), [("oci-archive", "py311-cpu"), ("docker-archive", "localhost/demo:py311-cpu")]
)
def test_an_archive_is_copied_beside_its_place_and_appears_whole(
    context, composed, tools, tmp_path, kind, reference
):
    target = tmp_path / "out" / "demo.tar"
    target.parent.mkdir()
    target.write_text("older")
    write_output(context, composed, Output.parse(f"{kind}:{target}"), NAME)
    (argv,) = tools.copied
    source, destination = argv[-2:]
    assert source.startswith(f"oci:{context.scratch.path}/")
    assert source.endswith(":py311-cpu")
    written_to = destination.removeprefix(f"{kind}:").removesuffix(f":{reference}")
    assert written_to.startswith(f"{target.parent}/.demo.tar.")
    assert target.read_text() == kind
    assert list(target.parent.iterdir()) == [target]


def test_an_archive_that_fails_leaves_the_older_one(context, composed, tools, tmp_path):
    tools.failing = True
    target = tmp_path / "out" / "demo.tar"
    target.parent.mkdir()
    target.write_text("older")
    with pytest.raises(StepError):
        write_output(context, composed, Output.parse(f"docker-archive:{target}"), NAME)
    assert target.read_text() == "older"
    assert list(target.parent.iterdir()) == [target]


def test_a_place_that_cant_be_written_is_told_with_the_option_to_change(context, composed, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="can't write to") as caught:
        write_output(context, composed, Output.parse(f"oci:{tmp_path}/file/oci"), NAME)
    assert caught.value.hint == "name another place with --output"


def test_writing_is_shown_as_a_step(context, composed, events, tmp_path):
    write_output(context, composed, Output.parse(f"oci:{tmp_path}/oci"), NAME)
    assert [event.kind for event in events] == ["start", "finish"]
    assert events[0].step == f"write oci:{tmp_path}{os.sep}oci"
