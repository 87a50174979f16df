"""What a step left in a directory that it could write to: only plain files are opened, links lead nowhere."""

from __future__ import annotations

import os
import stat
from io import BufferedReader
from pathlib import Path


def opened_left(path: Path) -> BufferedReader | None:
    """Open a file that foreign code left at `path`; None for all but a plain file that may be read."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    file = os.fdopen(descriptor, "rb")
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return file
    file.close()
    return None


def read_left(path: Path, limit: int) -> bytes | None:
    """Return what foreign code left at `path`; None for what is no plain file of at most `limit` bytes."""
    file = opened_left(path)
    if file is None:
        return None
    with file:
        data = file.read(limit + 1)
    return data if len(data) <= limit else None
