"""Writing results where the user wants them: at once, so that nobody reads half of one."""

from __future__ import annotations

import os
from pathlib import Path

from avabuild.store.store import disk_errors
from avabuild.store.whole import publish

_ELSEWHERE = "name another place with --output"


def write_file(path: Path, data: bytes) -> None:
    """Put `data` in `path`, whose directory is made when absent."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    with disk_errors(path.parent, _ELSEWHERE):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            partial.write_bytes(data)
            publish(partial, path)
        finally:
            partial.unlink(missing_ok=True)
