"""Whole files: what killed writers left goes, what living ones write stays, and a swept one is written again."""

from __future__ import annotations

import fcntl
from pathlib import Path

import pytest

from avabuild.store.whole import sweep_writes, write_whole


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    place = tmp_path / "tmp"
    place.mkdir()
    return place


def test_a_file_has_its_name_when_it_is_whole_and_nothing_else_is_left(directory, tmp_path):
    seen = []
    write_whole(tmp_path / "file", b"whole", directory, lambda partial: seen.append(partial.read_bytes()))
    assert seen == [b"whole"]
    assert (tmp_path / "file").read_bytes() == b"whole"
    assert list(directory.iterdir()) == []


def test_a_sweep_leaves_alone_what_is_being_written(directory, tmp_path):
    write_whole(tmp_path / "file", b"whole", directory, lambda _: sweep_writes(directory))
    assert (tmp_path / "file").read_bytes() == b"whole"


def test_a_sweep_takes_what_a_killed_writer_left(directory):
    (directory / "write-left").write_bytes(b"par")
    with (directory / "write-living").open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        sweep_writes(directory)
        assert [path.name for path in directory.iterdir()] == ["write-living"]


def test_what_was_swept_before_it_was_locked_is_written_again(directory, tmp_path):
    swept = []

    def sweep_once(partial: Path) -> None:
        if not swept:
            swept.append(partial)
            partial.unlink()

    write_whole(tmp_path / "file", b"whole", directory, sweep_once)
    assert (tmp_path / "file").read_bytes() == b"whole"


def test_a_place_that_is_not_there_is_an_error_and_nothing_stays(directory, tmp_path):
    with pytest.raises(FileNotFoundError):
        write_whole(tmp_path / "nowhere" / "file", b"whole", directory, lambda _: None)
    assert list(directory.iterdir()) == []
