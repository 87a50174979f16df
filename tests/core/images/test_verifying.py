"""Verifying: what is damaged is told with what makes it again, even where only its bytes tell."""

from __future__ import annotations

import os
from pathlib import Path

from avabuild.images.verifying import verify
from avabuild.layer.blob import BlobWriter
from avabuild.store import Store
from avabuild.store.blob import Blob

KEY = "sha256:" + "1" * 64


def make(path: Path) -> Blob:
    with BlobWriter(path) as writer:
        writer.file("file", os.urandom(1000))
        return writer.finish()


def flip(path: Path) -> None:
    """Change one bit as a failing disk does: no time tells."""
    state = path.stat()
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))


def test_a_whole_cache_has_nothing_to_tell(store):
    store.make_layer(KEY, store.root / "tmp", make)
    count, damaged = verify(store)
    assert count == 3  # the layer, its entry, and what is remembered of it
    assert damaged == ()


def test_a_flipped_bit_that_no_time_tells_is_found_and_the_layer_is_made_again(store):
    blob, _ = store.make_layer(KEY, store.root / "tmp", make)
    flip(store.blob_path(blob.digest))
    assert store.layer(KEY) == blob, "nothing tells but its bytes"
    (one,) = verify(store)[1]
    assert (one.kind, one.path.name) == ("layers", blob.digest.removeprefix("sha256:"))
    assert "made again" in one.again
    assert Store(store.root).layer(KEY) is None
    assert store.layer(KEY) is None


def test_damage_of_every_kind_is_told(store):
    store.make_layer(KEY, store.root / "tmp", make)
    store.record("base-name", "b", "sha256:1")
    wheel = store.root / "tmp" / "x.whl"
    wheel.write_bytes(b"wheel")
    built = store.keep(wheel, f"built/{'0' * 64}/x.whl", f"sha256:{'0' * 64}")
    pack = store.root / "tmp" / "x.zip"
    pack.write_bytes(b"pack")
    store.keep(pack, "pyc/x.zip", f"sha256:{'0' * 64}")
    store.record("pack", "pyc/x.zip", f"sha256:{'0' * 64}")
    (entry,) = (store.root / "index" / "base-name").iterdir()
    flip(entry)
    assert {(one.kind, one.path) for one in verify(store)[1]} == {
        ("built wheels", built),
        ("bytecode", store.root / "pyc" / "x.zip"),
        ("index", entry),
    }
