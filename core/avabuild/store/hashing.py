"""Digests of host files, each file read once."""

from __future__ import annotations

import hashlib
from pathlib import Path

from avabuild.store.store import Store


def file_digest(store: Store, path: Path) -> str:
    """Return `sha256:HEX` of the file's content.

    A file whose inode, size and change time are those of an earlier call is not read again: an archive base
    may be many gigabytes. Only that memo looks at times; keys hold the content's digest.
    """
    state = path.stat()
    memo = f"{path}:{state.st_dev}:{state.st_ino}:{state.st_size}:{state.st_mtime_ns}:{state.st_ctime_ns}"
    known = store.recall("file", memo)
    if isinstance(known, str):
        return known
    with path.open("rb") as file:
        digest = "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()
    store.record("file", memo, digest)
    return digest
