"""What a step changed, read from a directory that looks as the overlay driver's does."""

from __future__ import annotations

import os
import stat
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from avabuild.layer.diff import write_changes
from avabuild.store.blob import Blob

BEGAN = 1_700_000_000.5
OLD, NEW = 1_600_000_000, 1_700_000_100

Entries = dict[str, tuple[tarfile.TarInfo, bytes]]


class Overlay:
    """A container's layer: `diff` holds changes, `merged` what the container sees, below it is one layer."""

    def __init__(self, root: Path) -> None:
        self.layer = root / "overlay" / "UPPER"
        self.diff, self.merged = self.layer / "diff", self.layer / "merged"
        self.lower = root / "overlay" / "LOWER" / "diff"
        links = root / "overlay" / "l"
        for path in (self.diff, self.merged, self.lower, links):
            path.mkdir(parents=True)
        (links / "SHORT").symlink_to("../LOWER/diff")
        (self.layer / "lower").write_text("l/SHORT")
        self.out = root / "layer"

    def both(self, act: Callable[[Path], object]) -> None:
        """Do in the container what the driver keeps in `diff`."""
        act(self.diff)
        act(self.merged)

    def base_directory(self, name: str, mode: int = 0o755) -> None:
        for root in (self.lower, self.merged):
            make_directory(root, name, mode)

    def base_file(self, name: str, text: str = "base") -> None:
        for root in (self.lower, self.merged):
            make_file(root, name, text.encode(), 0o644, OLD)

    def copied_up(self, name: str) -> None:
        """A directory that is in `diff` for what is below it; its mode is the base's."""
        make_directory(self.diff, name, stat.S_IMODE((self.lower / name).stat().st_mode))

    def directory(self, name: str, mode: int = 0o755) -> None:
        self.both(lambda root: make_directory(root, name, mode))

    def file(self, name: str, data: bytes = b"new", mode: int = 0o644, mtime: float = NEW) -> None:
        self.both(lambda root: make_file(root, name, data, mode, mtime))

    def whiteout(self, name: str) -> None:
        try:
            os.mknod(self.diff / name, stat.S_IFCHR, 0)
        except PermissionError:
            pytest.skip("this kernel lets only root make whiteouts")

    def write(self, *drop: str, out: Path | None = None, compression: str = "gzip") -> Blob:
        return write_changes(self.merged, out or self.out, BEGAN, drop, compression)


def make_directory(root: Path, name: str, mode: int) -> None:
    (root / name).mkdir(parents=True, exist_ok=True)
    (root / name).chmod(mode)


def make_file(root: Path, name: str, data: bytes, mode: int, mtime: float) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    path.chmod(mode)
    os.utime(path, (mtime, mtime))


@pytest.fixture
def overlay(tmp_path: Path) -> Overlay:
    return Overlay(tmp_path)


@pytest.fixture
def changed(overlay: Overlay, entries) -> Callable[..., Entries]:
    def read(*drop: str) -> Entries:
        overlay.write(*drop)
        found = entries(overlay.out)
        assert len({info.name for info, _ in found}) == len(found), "an entry comes twice"
        return {info.name: (info, data) for info, data in found}

    return read


@pytest.fixture
def make_overlay() -> type[Overlay]:
    return Overlay
