from __future__ import annotations

import gzip
import io
import os
import subprocess
import sys
import tarfile
from collections.abc import Callable

import pytest

from avabuild.common.errors import StepError, StoreError
from avabuild.engine.feed import RECORD
from avabuild.engine.layout import Composed, compose_image
from avabuild.layer.base import Base
from avabuild.layer.blob import BlobWriter
from avabuild.store.blob import Blob
from avabuild.store.oci import Piece, Settings
from avabuild.tools.storage import LocalLayer, layer_ids


@pytest.fixture
def layer(store, tmp_path) -> Callable[..., Blob]:
    """Return a function that keeps a real layer with one file of `text`."""

    def make(text: bytes, compression="gzip") -> Blob:
        path = tmp_path / "layer"
        with BlobWriter(path, compression) as writer:
            info = tarfile.TarInfo("file")
            info.size = len(text)
            writer.add(info, [text])
            blob = writer.finish()
        store.adopt(path, blob.digest)
        return blob

    return make


@pytest.fixture
def composed(context, tools, layer) -> Composed:
    tools.feeds, tools.held = True, {}
    pieces = [Piece(blob=layer(text), created_by="layer") for text in (b"one", b"two" * 999, b"three")]
    return compose_image(context.store, Base(), pieces, Settings(), "amd64")


def ids(composed: Composed) -> tuple[str, ...]:
    return layer_ids([blob.diff_id for blob in composed.blobs])


def recorded(context) -> list[str]:
    path = context.scratch.path / RECORD
    return path.read_text().split() if path.exists() else []


@pytest.mark.parametrize("compression", ["gzip", "zstd"])
def test_the_storage_is_fed_the_tar_of_each_layer_on_those_below(context, tools, layer, compression):
    tools.feeds, tools.held = True, {}
    pieces = [Piece(blob=layer(text, compression), created_by="layer") for text in (b"one", b"two" * 99999)]
    composed = compose_image(context.store, Base(), pieces, Settings(), "amd64")
    tools.pull = lambda _: "id"
    assert context.import_image(composed) == "id"
    low, high = composed.blobs
    first, second = ids(composed)
    assert tools.fed == {
        first: LocalLayer(diff_id=low.diff_id, size=low.unpacked),
        second: LocalLayer(parent=first, diff_id=high.diff_id, size=high.unpacked),
    }


def test_the_image_that_is_pulled_then_brings_no_layer(context, tools, composed):
    brought = []
    tools.pull = lambda layout: brought.append(len(list((layout / "blobs" / "sha256").iterdir()))) or "id"
    context.import_image(composed)
    assert brought == [2], "its config and its manifest"


def test_layers_go_ahead_of_their_image_without_one(context, tools, composed):
    context.import_ahead(composed)
    assert tuple(tools.fed) == ids(composed)
    assert tools.pulled == []


def test_what_the_storage_has_is_not_fed_again(context, tools, composed):
    context.import_ahead(composed)
    tools.feed_layer = None
    context.import_ahead(composed)
    assert recorded(context) == list(ids(composed))


def test_the_same_layer_on_another_one_is_fed_there(context, tools, composed, layer):
    context.import_ahead(composed)
    above = [Piece(blob=blob, created_by="layer") for blob in (layer(b"other"), composed.blobs[1])]
    context.import_ahead(compose_image(context.store, Base(), above, Settings(), "amd64"))
    assert len(tools.fed) == 5


def test_a_layer_that_another_program_brought_meanwhile_is_no_failure(context, tools, composed):
    tools.refused = ids(composed)[1]
    feed = tools.feed_layer

    def refuse(layer: str, parent: str, source: io.BytesIO) -> str:
        if layer == tools.refused:
            tools.fed[layer] = LocalLayer(parent=parent, diff_id=composed.blobs[1].diff_id)
        return feed(layer, parent, source)

    tools.feed_layer = refuse
    with context.cleanup:
        context.import_ahead(composed)
        assert tuple(tools.fed) == ids(composed)
        assert tools.pulled == []
    assert tuple(tools.fed) == ids(composed)[1:2], "that one is not ours to withdraw"


def test_a_storage_that_refuses_a_layer_gets_the_image_as_before_and_is_asked_no_more(
    context, tools, composed
):
    tools.refused, brought = ids(composed)[1], []
    tools.pull = lambda layout: brought.append(len(list((layout / "blobs" / "sha256").iterdir()))) or "id"
    context.import_ahead(composed)
    assert brought == [4], "config, manifest and the two layers that it lacks"
    tools.refused, tools.feed_layer = "", None
    assert context.import_image(composed) == "id"
    assert brought == [4, 4]


def test_a_tool_that_ends_before_it_has_read_all_is_refused_too(context, tools, composed, layer):
    tools.feed_layer = lambda *_: (_ for _ in ()).throw(StepError("failed", command="import-layer"))
    big = compose_image(
        context.store,
        Base(),
        [Piece(blob=layer(os.urandom(3_000_000)), created_by="layer")],
        Settings(),
        "amd64",
    )
    context.import_ahead(big)
    assert len(tools.pulled) == 1


@pytest.mark.parametrize("said", ["", "[]", '{"diff-digest": "sha256:other"}', "null"])
def test_a_tool_that_says_otherwise_than_it_should_is_not_believed(context, tools, composed, said):
    feed = tools.feed_layer
    tools.feed_layer = lambda *given: (feed(*given), said)[1]
    context.import_ahead(composed)
    assert tools.fed == {}
    assert len(tools.pulled) == 1


@pytest.mark.parametrize("cut", [lambda data: data[:-30], lambda data: b"\x1f\x8b" + bytes(len(data))])
def test_of_a_damaged_layer_nothing_stays_in_the_storage(context, tools, composed, cut):
    path = context.store.blob_path(composed.blobs[1].digest)
    path.write_bytes(cut(path.read_bytes()))
    with pytest.raises(StoreError, match="a layer in the cache is damaged") as raised:
        context.import_image(composed)
    assert str(path) in str(raised.value)
    assert tuple(tools.fed) == ids(composed)[:1]


def test_a_layer_that_is_another_one_by_now_is_not_believed_either(context, tools, composed):
    path = context.store.blob_path(composed.blobs[1].digest)
    path.write_bytes(gzip.compress(b"something else"))
    with pytest.raises(StoreError, match="is damaged"):
        context.import_ahead(composed)
    assert tuple(tools.fed) == ids(composed)[:1]


def test_a_layer_that_is_gone_from_the_cache_fails_the_build(context, tools, composed):
    context.store.blob_path(composed.blobs[1].digest).unlink()
    with pytest.raises(FileNotFoundError):
        context.import_ahead(composed)


def test_layers_of_an_image_that_never_came_are_taken_away_at_the_end(context, tools, composed):
    with context.cleanup:
        context.import_ahead(composed)
        assert recorded(context) == list(ids(composed))
    assert tools.fed == {}


def test_what_had_kept_the_layers_of_an_image_that_went_does_not_outlive_the_build(
    context, tools, composed, layer
):
    tools.pull = lambda _: "id"
    with context.cleanup:
        context.import_image(composed)
        above = [*composed.blobs, layer(b"above")]
        pieces = [Piece(blob=blob, created_by="layer") for blob in above]
        context.import_ahead(compose_image(context.store, Base(), pieces, Settings(), "amd64"))
    assert tools.fed == {}


def test_where_the_image_came_nothing_is_asked_at_the_end(context, tools, composed):
    tools.drop_layers = None
    tools.pull = lambda _: "id"
    with context.cleanup:
        context.import_ahead(composed)
        context.import_image(composed)
    assert len(tools.fed) == 3


def test_a_stop_ends_the_feeding(context, tools, composed):
    def stop(*_: object) -> str:
        raise KeyboardInterrupt

    tools.feed_layer = stop
    with pytest.raises(KeyboardInterrupt), context.cleanup:
        context.import_ahead(composed)


BIG = 600_000_000
INFLATE = f"""
import io, os, re, sys, tarfile
from pathlib import Path
from avabuild.engine.feed import _Inflating
with _Inflating(Path(sys.argv[1])) as inflating:
    got = 0
    while chunk := inflating.reader.read(1 << 20):
        got += len(chunk)
assert got > {BIG}, got
# Of this program alone: ru_maxrss begins with what the process that started it had.
print(int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) // 1024)
"""


def test_a_big_layer_is_never_in_memory(tmp_path):
    path = tmp_path / "layer"
    with BlobWriter(path, "gzip") as writer:
        info = tarfile.TarInfo("file")
        info.size = BIG
        writer.add(info, (bytes(1_000_000) for _ in range(BIG // 1_000_000)))
        writer.finish()
    run = subprocess.run(
        [sys.executable, "-c", INFLATE, str(path)], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    assert int(run.stdout) < 300, "MB"
