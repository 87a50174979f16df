"""A cache on a disk that is full, closed or no directory: an error that says where and what to do."""

from __future__ import annotations

import errno
import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from avabuild.common.errors import DiskFullError, StoreError
from avabuild.layer.blob import BlobWriter
from avabuild.store import Scratch, Store
from avabuild.store.blob import Blob
from avabuild.store.store import disk_errors
from avabuild.store.uses import Uses

KEY = "sha256:" + "1" * 64


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


def test_a_layer_for_which_there_is_no_space_leaves_nothing(store):
    def make(path: Path) -> Blob:
        path.unlink()
        path.symlink_to("/dev/full")
        return layer_of("a")(path)

    with pytest.raises(DiskFullError):
        store.make_layer(KEY, store.root / "tmp", make)
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
            small.make_layer(KEY, small.root / "tmp", layer_of(os.urandom(10**6).hex()))
        assert everything(small) == []
        assert small.make_layer(KEY, small.root / "tmp", layer_of("a"))[1]
    finally:
        subprocess.run(["umount", "--lazy", disk], check=True)


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


def test_who_leaves_a_cache_that_was_closed_meanwhile_does_so_silently(open_directory):
    store = Store(open_directory / "cache")
    with nobody(store.root / "leases"):
        store.uses._end()
    assert len(list((store.root / "leases").glob("[0-9]*"))) == 1
    assert Uses(store.root / "leases").others() == (), "it is forgotten by who comes next"


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
