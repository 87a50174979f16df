"""Compiles wheels' modules: run by the target's own interpreter (CPython 3.8+), standard library only.

Reads from stdin the JSON {"jobs": N, "wheels": [{"wheel": path, "out": path, "modules": [[name in the wheel,
installed path], ...]}, ...]} and writes to each `out` a zip of stored `.pyc` files under installed paths; its
comment is the JSON {"magic": hex, "tag": cache tag}. Exit status ENOSPC says that its disk is full.

What marshal writes depends on the process: which strings are interned, how often an object is referenced. So
every CHUNK modules are compiled by a child of their own, and all children are forked from one parent before
that does anything else: how many run at once changes nothing.
"""

from __future__ import annotations

import errno
import fcntl
import gc
import importlib.util
import json
import marshal
import os
import sys
import warnings
import zipfile
from typing import Any

CHUNK = 150
# What compile() raises for modules that this Python can't read: newer or older syntax, test data, null bytes.
UNREADABLE = (SyntaxError, ValueError, OverflowError, RecursionError, MemoryError)


def pyc(source: bytes, path: str) -> bytes:
    """Return the content of the unchecked hash-based .pyc (PEP 552) of a module installed at `path`."""
    code = compile(source, path, "exec", dont_inherit=True, optimize=0)
    flags = (0b01).to_bytes(4, "little")
    return importlib.util.MAGIC_NUMBER + flags + importlib.util.source_hash(source) + marshal.dumps(code)


def compiled(archive: zipfile.ZipFile, modules: list[list[str]]) -> list[tuple[str, bytes]]:
    """Return (installed path of the .pyc, its content) of those `modules` that compile."""
    done = []
    for name, path in modules:
        try:
            content = pyc(archive.read(name), path)
        except UNREADABLE:
            continue
        done.append((importlib.util.cache_from_source(path, optimization=""), content))
    return done


def start(task: dict[str, Any], jobs: int, turns: int, open_pipes: list[int]) -> list[int]:
    """Fork a child for every chunk of a wheel's modules; return the pipes that they answer through."""
    parent, modules = os.getpid(), task["modules"]
    archive = zipfile.ZipFile(task["wheel"])
    readers: list[int] = []
    for first in range(0, len(modules), CHUNK):
        reader, writer = os.pipe()
        if os.fork() == 0:
            for other in (*open_pipes, *readers, reader):
                os.close(other)  # else a child that outlives the parent waits for its siblings to read
            turn = (len(open_pipes) + len(readers)) % jobs
            fcntl.lockf(turns, fcntl.LOCK_EX, 1, turn)  # a lock, since the system frees it if this child dies
            if os.getppid() == parent:
                archive.fp = open(task["wheel"], "rb")  # noqa: PTH123, SIM115 - its own file position
                result = marshal.dumps(compiled(archive, modules[first : first + CHUNK]))
                fcntl.lockf(turns, fcntl.LOCK_UN, 1, turn)
                with os.fdopen(writer, "wb") as pipe:
                    pipe.write(result)
            os._exit(0)
        os.close(writer)
        readers.append(reader)
    return readers


def main() -> None:
    """Compile what stdin asks for; write the zips."""
    warnings.simplefilter("ignore")
    gc.disable()  # nothing here is worth collecting: each child ends after its chunk
    request = json.load(sys.stdin)
    turns = os.memfd_create("turns")
    open_pipes: list[int] = []
    readers: list[list[int]] = []
    for task in request["wheels"]:
        readers.append(start(task, request["jobs"], turns, open_pipes))
        open_pipes += readers[-1]
    for task, pipes in zip(request["wheels"], readers):  # noqa: B905 - Python 3.8 has no strict
        write(task["out"], pipes)


def write(out: str, pipes: list[int]) -> None:
    """Write the pack of one wheel from what its children answer."""
    about = {"magic": importlib.util.MAGIC_NUMBER.hex(), "tag": sys.implementation.cache_tag}
    with zipfile.ZipFile(out, "w") as pack:
        pack.comment = json.dumps(about, sort_keys=True).encode()
        for reader in pipes:
            with os.fdopen(reader, "rb") as pipe:
                for path, content in marshal.loads(pipe.read()):  # noqa: S302 - from our own child
                    pack.writestr(zipfile.ZipInfo(path[1:]), content)
            os.wait()


if __name__ == "__main__":
    try:
        main()
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        os._exit(errno.ENOSPC)
