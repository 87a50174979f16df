"""Damage is absence: whatever becomes of a file of the store, it is never taken for what it was."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from avabuild.common.errors import StoreError
from avabuild.layer.blob import BlobWriter
from avabuild.store import Store
from avabuild.store.blob import Blob
from avabuild.store.whole import publish, write_whole

KEY = "sha256:" + "1" * 64
CONTENT = os.urandom(100_000)


def make(path: Path) -> Blob:
    with BlobWriter(path) as writer:
        writer.file("file", CONTENT)
        return writer.finish()


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def cut(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])


def zeroed(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


def flipped(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def replaced(path: Path) -> None:
    path.unlink()
    path.mkdir()
    (path / "garbage").write_text("garbage")


damages = pytest.mark.parametrize("damage", [emptied, cut, zeroed, flipped, replaced])
Damage = Callable[[Path], None]


@damages
def test_a_damaged_layer_is_made_again_with_the_digest_that_it_had(store, damage: Damage):
    blob, _ = store.make_layer(KEY, store.root / "tmp", make)
    damage(store.blob_path(blob.digest))
    later = Store(store.root)
    assert later.layer(KEY) is None
    assert later.make_layer(KEY, store.root / "tmp", make) == (blob, True)
    assert Store(store.root).layer(KEY) == blob


@damages
def test_a_damaged_layer_is_seen_by_who_knew_it_whole(store, damage: Damage):
    blob, _ = store.make_layer(KEY, store.root / "tmp", make)
    path = store.blob_path(blob.digest)
    damage(path)
    assert not store.has(blob.digest, blob.size)
    assert not os.path.lexists(path), "nobody else meets it"


@damages
def test_a_damaged_entry_counts_as_none_and_is_written_again(store, damage: Damage):
    store.record("base", "b", {"digest": "sha256:1"})
    (path,) = (store.root / "index" / "base").iterdir()
    damage(path)
    assert store.recall("base", "b") is None
    assert list(store.entries("base")) == []
    store.record("base", "b", {"digest": "sha256:1"})
    assert store.recall("base", "b") == {"digest": "sha256:1"}


@damages
def test_a_damaged_manifest_is_never_read_and_is_put_again(store, damage: Damage):
    digest = store.put(b'{"layers": []}')
    path = store.blob_path(digest)
    damage(path)
    with pytest.raises(StoreError, match="is damaged"):
        store.read(digest)
    assert store.put(b'{"layers": []}') == digest
    assert store.read(digest) == b'{"layers": []}'


@damages
def test_what_is_remembered_of_a_file_may_be_damaged_too(store, damage: Damage):
    blob, _ = store.make_layer(KEY, store.root / "tmp", make)
    (memo,) = (store.root / "index" / "whole").iterdir()
    damage(memo)
    flipped(store.blob_path(blob.digest))
    assert Store(store.root).layer(KEY) is None


def test_an_entry_of_another_key_is_no_entry_of_this_one(store):
    store.record("layer", "a", {"digest": "sha256:1"})
    store.record("layer", "b", {"digest": "sha256:2"})
    first, second = sorted((store.root / "index" / "layer").iterdir())
    shutil.copyfile(first, second)
    assert [store.recall("layer", key) for key in "ab"].count(None) == 1


def test_a_whole_layer_is_read_once_whoever_looks_and_links(store, tmp_path, monkeypatch):
    blob, _ = store.make_layer(KEY, store.root / "tmp", make)
    os.link(store.blob_path(blob.digest), tmp_path / "link")
    monkeypatch.setattr("avabuild.store.store._digest_of", lambda path: pytest.fail(f"{path} was read"))
    for _ in range(3):
        assert Store(store.root).layer(KEY) == blob


def test_a_file_gets_its_name_when_it_is_on_the_disk_and_the_name_is_too(tmp_path, monkeypatch):
    done: list[str] = []
    names = {tmp_path.stat().st_ino: "directory"}
    real = os.replace

    def fsync(handle: int) -> None:
        done.append(f"sync {names.get(os.fstat(handle).st_ino, 'file')}")

    def rename(self: Path, target: Path) -> Path:
        done.append("rename")
        real(self, target)
        return target

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "replace", rename)
    write_whole(tmp_path / "file", b"data", tmp_path)
    assert done == ["sync file", "rename", "sync directory"]
    done.clear()
    (tmp_path / "other").write_text("x")
    publish(tmp_path / "other", tmp_path / "file")
    assert done == ["sync file", "rename", "sync directory"]


@pytest.mark.parametrize("digest", ["", "sha256:", "sha256:.", "sha256:../sha256"])
def test_what_is_no_digest_names_nothing_and_nothing_goes_for_it(store, digest):
    kept = store.put(b"kept")
    assert not store.has(digest)
    assert store.has(kept)
