"""Given: what a step is given, in memory that the build's namespace alone has; it is gone when that is.

A secret of a step is among it, so it must be on no disk, however the build ends. The module runs inside.
"""

from __future__ import annotations

import base64
import json
import os
import sys
from collections.abc import Mapping, Sequence

from avabuild.tools.inside import syscalls


def packed(files: Mapping[str, bytes]) -> bytes:
    """Return `files` by name as `main` reads them."""
    return json.dumps({name: base64.b64encode(data).decode() for name, data in files.items()}).encode()


def main(arguments: Sequence[str]) -> int:
    """Have memory at a directory, with the files of the standard input: `put DIRECTORY`; or `drop` it."""
    what, directory = arguments
    if what == "drop":
        syscalls.unmount(directory)
        return 0
    files = json.loads(sys.stdin.buffer.read())
    syscalls.mount("tmpfs", directory, "tmpfs", syscalls.MS_NOSUID | syscalls.MS_NODEV, "mode=0700")
    for name, data in files.items():
        handle = os.open(f"{directory}/{name}", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(base64.b64decode(data))
    return 0
