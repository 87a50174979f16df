"""Sparse files: a layer has no holes, so what is nothing on the disk would be written as zeros."""

from __future__ import annotations

import os
from pathlib import Path

MOST = 1 << 30  # bytes of holes in one file: so many zeros take a second, and next to no space when packed


def holes(path: Path) -> int:
    """Return the bytes of holes of a file that has more than MOST of them, else 0."""
    state = path.stat()
    if state.st_size - state.st_blocks * 512 <= MOST:
        return 0
    found = state.st_size
    with path.open("rb") as file:
        end = 0
        while end < state.st_size:
            try:
                begin = os.lseek(file.fileno(), end, os.SEEK_DATA)
            except OSError:  # ENXIO: no data from here on
                break
            end = os.lseek(file.fileno(), begin, os.SEEK_HOLE)
            found -= end - begin
    return found if found > MOST else 0


def too_sparse(path: Path) -> str:
    """Say why a file can't be in a layer, empty where it can."""
    if not (found := holes(path)):
        return ""
    size = path.stat().st_size
    return (
        f"is sparse: {found / 1e9:.0f} of its {size / 1e9:.0f} GB are holes, and a layer has none; "
        "make it where a container starts"
    )
