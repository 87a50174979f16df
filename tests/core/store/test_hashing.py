from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path
from typing import Any

import pytest

from avabuild.store.store import file_digest, is_settled


def sha(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def settle(path: Path) -> None:
    """Wait until another write would have another time."""
    while not is_settled(path.stat()):
        time.sleep(0.01)


def test_a_digest_is_of_the_content(store, tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"a" * 3_000_000)
    assert file_digest(store, path) == sha(b"a" * 3_000_000)


def test_a_file_that_did_not_change_is_not_read_again(store, tmp_path, monkeypatch):
    path = tmp_path / "file"
    path.write_bytes(b"a")
    settle(path)
    first = file_digest(store, path)

    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("read again")

    monkeypatch.setattr(hashlib, "file_digest", refuse)
    assert file_digest(store, path) == first


def test_a_change_that_keeps_size_and_time_is_seen(store, tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"one")
    os.utime(path, (1, 1))
    assert file_digest(store, path) == sha(b"one")
    path.write_bytes(b"two")
    os.utime(path, (1, 1))
    assert file_digest(store, path) == sha(b"two")


def test_another_file_under_the_same_name_is_seen(store, tmp_path):
    path, other = tmp_path / "file", tmp_path / "other"
    path.write_bytes(b"one")
    other.write_bytes(b"two")
    assert file_digest(store, path) == sha(b"one")
    other.replace(path)
    assert file_digest(store, path) == sha(b"two")


def test_a_missing_file_is_the_callers_to_explain(store):
    with pytest.raises(FileNotFoundError):
        file_digest(store, Path("/nonexistent"))


def test_a_file_that_was_written_a_moment_ago_is_read_again(store, tmp_path, monkeypatch):
    """Another write within a tick of the clock would leave size, inode and times."""
    path, read = tmp_path / "file", hashlib.file_digest
    reads: list[str] = []

    def count(*args: Any) -> Any:
        reads.append("once")
        return read(*args)

    path.write_bytes(b"one")
    monkeypatch.setattr(time, "time_ns", lambda: path.stat().st_ctime_ns + 1_000_000)
    monkeypatch.setattr(hashlib, "file_digest", count)
    assert file_digest(store, path) == file_digest(store, path)
    assert len(reads) == 2
