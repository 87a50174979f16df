"""A full disk: whatever is on it, the build ends with exit code 12, names a place, and leaves nothing half there."""

from __future__ import annotations

import errno
import os
import subprocess
from pathlib import Path

import pytest

from avabuild.common.errors import LockError, exit_code_of

from .test_damaged_store import FILES, STEP, build, place  # noqa: F401 - a fixture

pytestmark = [pytest.mark.build, pytest.mark.skipif(os.geteuid() != 0, reason="mounts file systems")]

SMALL = [
    ("cache", "64k", FILES), ("cache", "600k", FILES), ("cache", "2m", FILES), ("cache", "1m", STEP),
    ("out", "64k", FILES), ("out", "1m", FILES), ("uv", "8k", FILES),
    ("images", "2m", STEP), ("images", "8k", STEP),
]  # fmt: skip


@pytest.mark.parametrize(
    ("where", "size", "recipe"), SMALL, ids=[f"{where}-{size}" for where, size, _ in SMALL]
)
def test_a_full_disk_is_exit_12_whatever_is_on_it(
    place: Path,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
    where: str,
    size: str,
    recipe: str,
) -> None:
    disk = place / "disk"
    disk.mkdir()
    (place / "demo.toml").write_text(recipe)
    names = {"cache": "AVABUILD_CACHE", "uv": "UV_CACHE_DIR", "images": "AVABUILD_ROOT"}
    if where in names:
        monkeypatch.setenv(names[where], str(disk / where))
    else:
        (place / "out").symlink_to(disk)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", disk], check=True)
    try:
        (disk / where).mkdir(exist_ok=True)
        code, said = build(place, "demo.toml", fresh=False)
    finally:
        subprocess.run(["umount", "--lazy", disk], check=True)
    assert code == 12, said
    assert "no space" in said.lower() or "bytes for downloads" in said, said


def test_a_full_directory_of_temporary_files_stops_no_build(
    place: Path,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    disk = place / "disk"
    disk.mkdir()
    (place / "demo.toml").write_text(STEP)
    monkeypatch.setenv("TMPDIR", str(disk))
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4k", "tmpfs", disk], check=True)
    try:
        (disk / "full").write_bytes(bytes(4096))
        code, said = build(place, "demo.toml")
    finally:
        subprocess.run(["umount", "--lazy", disk], check=True)
    assert code == 0, said


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_an_error_that_a_full_disk_caused_has_its_exit_code_whatever_it_says(number: int) -> None:
    error = LockError("the lock can't be written")
    error.__cause__ = OSError(number, os.strerror(number))
    assert exit_code_of(error) == 12
    assert exit_code_of(OSError(number, "full")) == 12
    assert exit_code_of(OSError(errno.EIO, "broken")) == 1
    assert exit_code_of(LockError("damaged")) == 8
