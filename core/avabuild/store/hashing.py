"""Digests of host files, each file read once."""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path

from avabuild.store.store import Store

_FINE, _COARSE = 50_000_000, 2_000_000_000  # ns: longer than a tick of the clock that gives files their times


def file_digest(store: Store, path: Path) -> str:
    """Return `sha256:HEX` of the file's content.

    A file whose inode, size and change time are those of an earlier call is not read again: an archive base
    may be many gigabytes. Only that memo looks at times; keys hold the content's digest. What changed a
    moment ago could change once more without another time, so it is not remembered.
    """
    known = store.recall("file", _memo(path, path.stat()))
    if isinstance(known, str):
        return known
    with path.open("rb") as file:
        before = os.fstat(file.fileno())
        digest = "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()
        memo = _memo(path, before)
        if is_settled(before) and memo == _memo(path, os.fstat(file.fileno())):
            store.record("file", memo, digest)
    return digest


def is_settled(status: os.stat_result) -> bool:
    """Whether the file's last change is so long ago that another one would have another time."""
    last = max(status.st_mtime_ns, status.st_ctime_ns)
    tick = _FINE if last % 10_000_000 else _COARSE  # some file systems count seconds
    return last + tick < time.time_ns()


def _memo(path: Path, status: os.stat_result) -> str:
    times = f"{status.st_mtime_ns}:{status.st_ctime_ns}"
    return f"{path}:{status.st_dev}:{status.st_ino}:{status.st_size}:{times}"
