from __future__ import annotations

import errno
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from avabuild.blob import Blob, BlobWriter
from avabuild.errors import DiskFullError, StoreError
from avabuild.store import Scratch, Store
from avabuild.store.store import disk_errors

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
    """Every file of the store but locks."""
    return sorted(
        str(path.relative_to(store.root))
        for path in store.root.rglob("*")
        if path.is_file() and path.parent.name != "locks"
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


@pytest.mark.parametrize("entry", [b"", b"{", b"[]", b"7", b"{}", b'{"digest": 1}', b'{"digest": "sha256:1"}'])
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
from avabuild.blob import BlobWriter
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


# -- disks that are full or closed -------------------------------------------------------------------------


def test_a_full_disk_is_told_with_the_directory_and_a_remedy(store, monkeypatch):
    def on_the_full_device(**where: object) -> tuple[int, str]:
        name = store.root / "tmp" / "write-full"
        name.symlink_to("/dev/full")
        return os.open(name, os.O_WRONLY), str(name)

    monkeypatch.setattr(tempfile, "mkstemp", on_the_full_device)
    with pytest.raises(DiskFullError, match=f"no space left in {store.root}") as caught:
        store.put(b"manifest")
    assert "AVABUILD_CACHE" in caught.value.hint
    assert everything(store) == []
    with pytest.raises(DiskFullError):
        store.record("base", "b", 1)


def test_a_layer_for_which_there_is_no_space_leaves_nothing(store, scratch):
    def make(path: Path) -> Blob:
        path.unlink()
        path.symlink_to("/dev/full")
        return layer_of("a")(path)

    with pytest.raises(DiskFullError):
        store.make_layer(KEY, scratch, make)
    assert everything(store) == []


@pytest.mark.build
@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a file system")
def test_a_layer_that_does_not_fit_a_small_disk_leaves_nothing(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", disk], check=True)
    try:
        small = Store(disk / "cache")
        with pytest.raises(DiskFullError, match="no space left"):
            small.make_layer(KEY, small.root / "tmp", lambda path: layer_of(os.urandom(10**6).hex())(path))
        assert everything(small) == []
        assert small.make_layer(KEY, small.root / "tmp", layer_of("a"))[1]
    finally:
        subprocess.run(["umount", disk], check=True)


@contextmanager
def nobody(*closed: Path) -> Iterator[None]:
    """Within it, nothing can be written to the directories `closed`, not even by root's tests."""
    modes = {path: path.stat().st_mode for path in closed}
    own = os.geteuid()
    for path in closed:
        path.chmod(0o555)
    if own == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(own)
        for path, mode in modes.items():
            path.chmod(mode)


@pytest.fixture
def open_directory() -> Iterator[Path]:
    """A directory that another user can reach, which tmp_path is not."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


def test_a_cache_that_cant_be_made_says_where_else_it_may_be(open_directory):
    with nobody(open_directory), pytest.raises(StoreError, match=r"can't write to .*cache") as caught:
        Store(open_directory / "cache")
    assert "AVABUILD_CACHE=DIR" in caught.value.hint


@pytest.mark.parametrize(
    "attempt",
    [
        lambda store: store.put(b"x"),
        lambda store: store.record("base", "b", 1),
        lambda store: store.make_layer(KEY, store.root / "tmp", layer_of("a")),
        lambda store: store.lock("base", "b").__enter__(),
        lambda store: store.adopt(store.root / "tmp" / "made", "sha256:1"),
        lambda store: Scratch(store).__enter__(),
    ],
    ids=["put", "record", "make_layer", "lock", "adopt", "scratch"],
)
def test_a_cache_that_is_read_only_says_so_whatever_is_written(open_directory, attempt):
    store = Store(open_directory / "cache")
    (store.root / "tmp" / "made").write_text("layer")
    closed = [store.root, *(path for path in store.root.rglob("*") if path.is_dir())]
    with nobody(*closed), pytest.raises(StoreError, match=f"can't write to {store.root}"):
        attempt(store)


def test_what_is_cached_can_be_read_from_a_read_only_cache(open_directory):
    store = Store(open_directory / "cache")
    blob, _ = store.make_layer(KEY, store.root / "tmp", layer_of("a"))
    with nobody(*(path for path in [store.root, *store.root.rglob("*")] if path.is_dir())):
        assert Store(store.root).make_layer(KEY, store.root / "tmp", layer_of("b")) == (blob, False)


def test_a_cache_below_a_file_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    for root in (tmp_path / "file", tmp_path / "file" / "cache"):
        with pytest.raises(StoreError, match="can't write to") as caught:
            Store(root)
        assert caught.value.exit_code == 11


def test_other_failures_of_the_disk_keep_their_own_error(tmp_path):
    with pytest.raises(OSError, match="broken"), disk_errors(tmp_path):
        raise OSError(errno.EIO, "broken")


def test_another_directory_has_a_remedy_of_its_own(tmp_path):
    with pytest.raises(DiskFullError) as caught, disk_errors(tmp_path, "name another place"):
        raise OSError(errno.EDQUOT, "quota")
    assert caught.value.hint == "free some space, or name another place"


def test_an_entry_is_json_that_anybody_can_read(store):
    store.record("base", "sha256:" + "a" * 64, {"b": 1, "a": 2})
    path = store.root / "index" / "base" / f"{'a' * 64}.json"
    assert path.read_text() == '{"a": 2, "b": 1}'
    assert path.stat().st_mode & 0o777 == 0o644
    assert json.loads(path.read_text()) == {"a": 2, "b": 1}
