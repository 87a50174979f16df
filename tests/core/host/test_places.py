from __future__ import annotations

import os
from pathlib import Path

import pytest

from avabuild.host import places
from avabuild.host.places import cache_directory, candidates, existing, prepare, trouble

UID = os.geteuid()


def test_a_directory_of_ours_can_be_used(tmp_path: Path) -> None:
    assert trouble(tmp_path, UID) == ""
    assert trouble(tmp_path / "not" / "yet", UID) == ""


def test_it_is_made_for_us_alone_whatever_the_umask(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        assert prepare(tmp_path / "a" / "b", UID) == ""
    finally:
        os.umask(old)
    assert (tmp_path / "a" / "b").stat().st_mode & 0o777 == 0o700
    assert prepare(tmp_path / "a" / "b", UID) == ""


def test_what_somebody_else_may_have_planted_is_refused(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "dangling").symlink_to("nowhere")
    (tmp_path / "file").touch()
    (tmp_path / "open").mkdir(mode=0o700)
    (tmp_path / "open").chmod(0o777)
    assert trouble(tmp_path / "real", UID + 1).startswith("belongs to ")
    assert "is a link" in trouble(tmp_path / "link", UID)
    assert "is a link" in trouble(tmp_path / "dangling", UID)
    assert "is a link" in prepare(tmp_path / "link", UID)
    assert prepare(tmp_path / "dangling", UID)
    assert not (tmp_path / "nowhere").exists()
    assert trouble(tmp_path / "file", UID) == "is no directory"
    assert "others may write into it" in trouble(tmp_path / "open", UID)


def test_what_cant_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert "can't be looked at: not a directory" in trouble(tmp_path / "file" / "place", UID)
    assert "can't be made" in prepare(tmp_path / "file" / "place", UID)


def test_what_exists_is_found_from_below(tmp_path: Path) -> None:
    assert existing(tmp_path / "a" / "b") == tmp_path
    assert existing(tmp_path) == tmp_path


def test_candidates_stand_in_the_order_of_preference() -> None:
    environ = {
        "XDG_DATA_HOME": "/data",
        "SLURM_TMPDIR": "/job",
        "LOCAL_SCRATCH": "/scratch",
        "XDG_RUNTIME_DIR": "/run/user/7",
    }
    assert [str(one.path) for one in candidates(environ, 7)] == [
        "/data/avabuild",
        "/job/avabuild-7",
        "/scratch/avabuild-7",
        "/var/tmp/avabuild-7",
        "/tmp/avabuild-7",
        "/run/user/7/avabuild",
        "/dev/shm/avabuild-7",
    ]
    assert [one.origin for one in candidates({}, 7)] == ["XDG_DATA_HOME", "/var/tmp", "/tmp", "/dev/shm"]
    assert [str(one.path) for one in candidates({"SLURM_TMPDIR": "relative"}, 7)][1] == "/var/tmp/avabuild-7"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home where nothing can be written, root or not: it would be below a file."""
    (tmp_path / "file").touch()
    monkeypatch.setenv("HOME", str(tmp_path / "file" / "ada"))
    (tmp_path / "avabuild").mkdir()
    return tmp_path


def test_a_cache_that_cant_be_in_the_home_is_in_the_first_place_that_can(home: Path) -> None:
    assert cache_directory({"SLURM_TMPDIR": str(home)}) == home / f"avabuild-{UID}" / "cache"
    assert cache_directory({"AVABUILD_ROOT": str(home / "mine")}) == home / "mine" / "cache"


def test_the_settings_may_name_the_cache(home: Path) -> None:
    (home / "avabuild" / "config.toml").write_text('cache = "/big/cache"\nroot = "/big"\n')
    environ = {"XDG_CONFIG_HOME": str(home)}
    assert cache_directory(environ) == Path("/big/cache")
    assert cache_directory({**environ, "AVABUILD_CACHE": "/other"}) == Path("/other")
    (home / "avabuild" / "config.toml").write_text("cache = 7\n")
    assert cache_directory({**environ, "AVABUILD_ROOT": str(home)}) == home / "cache"
    (home / "avabuild" / "config.toml").write_text("cache = ")
    assert cache_directory({**environ, "AVABUILD_ROOT": str(home)}) == home / "cache"


def test_a_range_is_the_users_by_name_or_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "subuid"
    monkeypatch.setattr(places, "_SUBUID", file)
    assert not places.has_range(4242)
    file.write_text("root:1:2\n4242:100000:65536\n")
    assert places.has_range(4242)
    assert places.has_range(0)
    assert not places.has_range(42)
