from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from avabuild.layer.blob import BlobWriter
from avabuild.store import Store
from avabuild.store.blob import Blob

KEY = "sha256:" + "1" * 64


@pytest.fixture
def scratch(store: Store) -> Path:
    path = store.root / "tmp" / "build"
    path.mkdir()
    return path


def layer_of(text: str) -> Callable[[Path], Blob]:
    def make(path: Path) -> Blob:
        with BlobWriter(path) as writer:
            writer.file("file", text.encode())
            return writer.finish()

    return make


def everything(store: Store) -> list[str]:
    """Every file of the store but locks and leases."""
    return sorted(
        str(path.relative_to(store.root))
        for path in store.root.rglob("*")
        if path.is_file() and path.parent.name not in {"locks", "leases", "whole"}
    )


# -- blobs and the index -----------------------------------------------------------------------------------


def test_a_blob_is_found_by_the_digest_of_its_content(store):
    digest = store.put(b"manifest")
    assert digest == "sha256:" + hashlib.sha256(b"manifest").hexdigest()
    assert store.has(digest)
    assert store.blob_path(digest).read_bytes() == b"manifest"


def test_putting_the_same_twice_keeps_one_file(store):
    assert store.put(b"a") == store.put(b"a")
    assert len(everything(store)) == 1


def test_a_blob_that_was_cut_off_counts_as_absent_and_is_written_anew(store):
    digest = store.put(b"manifest")
    store.blob_path(digest).write_bytes(b"mani")
    assert not store.has(digest, 8)
    store.put(b"manifest")
    assert store.blob_path(digest).read_bytes() == b"manifest"


def test_a_file_is_adopted_by_moving_it(store, scratch):
    path = scratch / "made"
    path.write_bytes(b"layer")
    path.chmod(0o600)
    kept = store.adopt(path, "sha256:abc")
    assert (kept.read_bytes(), path.exists(), kept.stat().st_mode & 0o777) == (b"layer", False, 0o644)


def test_what_was_recorded_is_recalled_by_kind_and_key(store):
    store.record("base", "debian:bookworm::", {"a": [1, None]})
    assert store.recall("base", "debian:bookworm::") == {"a": [1, None]}
    assert store.recall("base", "debian:trixie::") is None
    assert store.recall("image", "debian:bookworm::") is None


def test_a_later_record_replaces_an_earlier_one(store):
    store.record("base", "b", 1)
    store.record("base", "b", 2)
    assert store.recall("base", "b") == 2


@pytest.mark.parametrize("data", [b"", b"{", b"\xff"])
def test_an_unreadable_entry_counts_as_absent(store, data):
    store.record("base", "b", 1)
    (path,) = (store.root / "index" / "base").iterdir()
    path.write_bytes(data)
    assert store.recall("base", "b") is None


# -- layers ------------------------------------------------------------------------------------------------


def test_a_layer_is_made_once(store, scratch):
    blob, made = store.make_layer(KEY, scratch, layer_of("a"))
    assert made
    again, made = store.make_layer(KEY, scratch, layer_of("never called"))
    assert (again, made) == (blob, False)
    assert store.layer(KEY) == blob
    assert list(scratch.iterdir()) == []


def test_a_later_store_in_the_same_directory_finds_the_layer(store, scratch):
    blob, _ = store.make_layer(KEY, scratch, layer_of("a"))
    assert Store(store.root).layer(KEY) == blob


@pytest.mark.parametrize("error", [OSError("broken"), ValueError("no"), KeyboardInterrupt(), SystemExit(1)])
@pytest.mark.parametrize("begun", [True, False])
def test_a_maker_that_fails_leaves_nothing(store, scratch, error, begun):
    def fail(path: Path) -> Blob:
        if begun:
            path.write_bytes(b"half a layer")
        raise error

    with pytest.raises(type(error)):
        store.make_layer(KEY, scratch, fail)
    assert everything(store) == []
    assert store.layer(KEY) is None
    assert store.make_layer(KEY, scratch, layer_of("a"))[1]


@pytest.mark.parametrize("content", [b"", b"longer than it was before by far" * 100])
def test_a_layer_whose_blob_has_another_size_counts_as_absent_and_is_made_anew(store, scratch, content):
    blob, _ = store.make_layer(KEY, scratch, layer_of("a"))
    store.blob_path(blob.digest).write_bytes(content)
    assert store.layer(KEY) is None
    assert store.make_layer(KEY, scratch, layer_of("a")) == (blob, True)
    assert store.layer(KEY) == blob


def test_a_layer_whose_blob_is_gone_counts_as_absent(store, scratch):
    blob, _ = store.make_layer(KEY, scratch, layer_of("a"))
    store.blob_path(blob.digest).unlink()
    assert store.layer(KEY) is None


@pytest.mark.parametrize(
    "entry", [b"", b"{", b"[]", b"7", b"{}", b'{"digest": 1}', b'{"digest": "sha256:1"}']
)
def test_a_corrupt_entry_of_a_layer_counts_as_absent(store, scratch, entry):
    blob, _ = store.make_layer(KEY, scratch, layer_of("a"))
    (path,) = (store.root / "index" / "layer").iterdir()
    path.write_bytes(entry)
    assert store.layer(KEY) is None
    assert store.make_layer(KEY, scratch, layer_of("a")) == (blob, True)


# -- several builds at once --------------------------------------------------------------------------------


def test_two_threads_that_want_one_key_make_it_once(store, scratch):
    began = threading.Barrier(2)
    calls: list[int] = []

    def make(path: Path) -> Blob:
        calls.append(1)
        return layer_of("a")(path)

    def want(_: int) -> tuple[Blob, bool]:
        began.wait()
        return store.make_layer(KEY, scratch, make)

    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(want, range(2)))
    assert len(calls) == 1
    assert sorted(made for _, made in results) == [False, True]
    assert results[0][0] == results[1][0]


def test_threads_that_want_different_keys_dont_wait_for_each_other(store, scratch):
    inside = threading.Barrier(2, timeout=20)

    def make(path: Path) -> Blob:
        inside.wait()
        return layer_of("a")(path)

    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(lambda key: store.make_layer(key, scratch, make), ["k1", "k2"]))
    assert [made for _, made in results] == [True, True]


PROGRAM = """
import sys, time
from pathlib import Path
from avabuild.layer.blob import BlobWriter
from avabuild.store import Scratch, Store
from avabuild.store.store import disk_errors
store, calls = Store(Path(sys.argv[1])), Path(sys.argv[2])
def make(path):
    with calls.open("a") as file:
        file.write("made\\n")
    time.sleep(0.3)
    with BlobWriter(path) as writer:
        writer.file("file", b"a")
        return writer.finish()
print(store.make_layer("k", store.root / "tmp", make)[0].digest)
"""


def test_two_processes_that_want_one_key_make_it_once(store, tmp_path):
    argv = [sys.executable, "-c", PROGRAM, store.root, tmp_path / "calls"]
    both = [subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    digests = {process.communicate(timeout=30)[0] for process in both}
    assert [process.returncode for process in both] == [0, 0]
    assert len(digests) == 1
    assert (tmp_path / "calls").read_text() == "made\n"


def test_a_build_that_was_killed_does_not_hold_its_lock(store, scratch):
    program = PROGRAM.replace("time.sleep(0.3)", "import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    argv = [sys.executable, "-c", program, store.root, store.root / "calls"]
    assert subprocess.run(argv, check=False).returncode == -9
    assert store.make_layer("k", scratch, layer_of("a"))[1]


def test_an_entry_is_json_that_anybody_can_read(store):
    store.record("base", "sha256:" + "a" * 64, {"b": 1, "a": 2})
    path = store.root / "index" / "base" / f"{'a' * 64}.json"
    assert path.read_text().startswith('{"data": {"a": 2, "b": 1}, "sum": "')
    assert path.stat().st_mode & 0o777 == 0o644
    assert json.loads(path.read_text())["data"] == {"a": 2, "b": 1}
