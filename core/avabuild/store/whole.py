"""Whole files: written beside their place and renamed into it, so that nobody sees a part.

A file on its way is locked for as long as its writer lives: what nobody locks was left by a killed one.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

_PREFIX = "write-"
_TRIES = 5


def write_whole(path: Path, data: bytes, directory: Path, ready: Callable[[Path], None]) -> None:
    """Write `path` by way of a file in `directory`, which `ready` sees before it gets its name."""
    for tries_left in reversed(range(_TRIES)):
        handle, name = tempfile.mkstemp(dir=directory, prefix=_PREFIX)
        partial = Path(name)
        with os.fdopen(handle, "wb") as file:
            try:
                with suppress(OSError):  # a file system without locks is one whose strays stay
                    fcntl.flock(file, fcntl.LOCK_EX)
                file.write(data)
                file.flush()
                ready(partial)
                partial.replace(path)
            except FileNotFoundError:
                if partial.exists() or not tries_left:
                    raise  # else it was swept before it was locked
            else:
                return
            finally:
                partial.unlink(missing_ok=True)


def is_write(path: Path) -> bool:
    """Whether `path` is such a file on its way."""
    return path.name.startswith(_PREFIX)


def sweep_writes(directory: Path) -> None:
    """Remove what killed writers left in `directory`."""
    for path in directory.glob(f"{_PREFIX}*"):
        with suppress(OSError), path.open("rb") as file:  # gone, another user's, or its writer lives
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink()
