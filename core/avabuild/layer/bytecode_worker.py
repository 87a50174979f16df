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
import mmap
import os
import signal
import struct
import sys
import warnings
import zipfile
from typing import Any

CHUNK = 150
# What compile() raises for modules that this Python can't read: newer or older syntax, test data, null bytes.
UNREADABLE = (SyntaxError, ValueError, OverflowError, RecursionError)
AMPLE = 1 << 28  # bytes: more than compiling a small module takes; a big one, 1,000 times its own


def pyc(source: bytes, path: str) -> bytes:
    """Return the content of the unchecked hash-based .pyc (PEP 552) of a module installed at `path`."""
    code = compile(source, path, "exec", dont_inherit=True, optimize=0)
    flags = (0b01).to_bytes(4, "little")
    return importlib.util.MAGIC_NUMBER + flags + importlib.util.source_hash(source) + marshal.dumps(code)


def short_of_memory(size: int) -> bool:
    """Whether it was memory that failed a module of `size` bytes: the parser says so of deep nesting, too."""
    try:
        mmap.mmap(-1, AMPLE + 1000 * size).close()
    except (OSError, ValueError, OverflowError):
        return True
    return False


def compiled(
    archive: zipfile.ZipFile, modules: list[list[str]], at: mmap.mmap, child: int
) -> list[tuple[str, bytes]]:
    """Return (installed path of the .pyc, its content) of those `modules` that compile.

    Which one it is at is written to `at`, in the place of this `child`.
    """
    done = []
    for index, (name, path) in enumerate(modules):
        struct.pack_into("=I", at, 4 * child, index)
        source = archive.read(name)
        try:
            content = pyc(source, path)
        except UNREADABLE:
            continue
        except MemoryError:
            if short_of_memory(len(source)):
                raise
            continue
        done.append((importlib.util.cache_from_source(path, optimization=""), content))
    return done


def start(
    task: dict[str, Any], jobs: int, turns: int, open_pipes: list[int], at: mmap.mmap
) -> list[tuple[int, int]]:
    """Fork a child for every chunk of a wheel's modules; return their ids and the pipes of their answers."""
    parent, modules = os.getpid(), task["modules"]
    archive = zipfile.ZipFile(task["wheel"])
    readers: list[int] = []
    children: list[tuple[int, int]] = []
    for first in range(0, len(modules), CHUNK):
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            for other in (*open_pipes, *readers, reader):
                os.close(other)  # else a child that outlives the parent waits for its siblings to read
            mine = len(open_pipes) + len(readers)
            turn = mine % jobs
            fcntl.lockf(turns, fcntl.LOCK_EX, 1, turn)  # a lock, since the system frees it if this child dies
            if os.getppid() == parent:
                archive.fp = open(task["wheel"], "rb")  # noqa: PTH123, SIM115 - its own file position
                result = marshal.dumps(answer(archive, modules[first : first + CHUNK], at, mine))
                fcntl.lockf(turns, fcntl.LOCK_UN, 1, turn)
                with os.fdopen(writer, "wb") as pipe:
                    pipe.write(result)
            os._exit(0)
        os.close(writer)
        readers.append(reader)
        children.append((child, reader))
    return children


def answer(archive: zipfile.ZipFile, modules: list[list[str]], at: mmap.mmap, child: int) -> Any:
    """Return what became of a child's modules: a list, or in words why there is none."""
    try:
        return compiled(archive, modules, at, child)
    except MemoryError:
        (index,) = struct.unpack_from("=I", at, 4 * child)
        return f"there is not enough memory to compile {modules[index][0]}"


def main() -> None:
    """Compile what stdin asks for; write the zips."""
    warnings.simplefilter("ignore")
    gc.disable()  # nothing here is worth collecting: each child ends after its chunk
    request = json.load(sys.stdin)
    turns = os.memfd_create("turns")
    open_pipes: list[int] = []
    count = sum(-(-len(task["modules"]) // CHUNK) for task in request["wheels"])
    at = mmap.mmap(-1, 4 * (count or 1))
    children: list[list[tuple[int, int]]] = []
    for task in request["wheels"]:
        children.append(start(task, request["jobs"], turns, open_pipes, at))
        open_pipes += [reader for _, reader in children[-1]]
    first = 0
    for task, ours in zip(request["wheels"], children):  # noqa: B905 - Python 3.8 has no strict
        write(task, ours, at, first)
        first += len(ours)


def write(task: dict[str, Any], children: list[tuple[int, int]], at: mmap.mmap, first: int) -> None:
    """Write the pack of one wheel from what its children answer; the first one's place in `at` is `first`."""
    about = {"magic": importlib.util.MAGIC_NUMBER.hex(), "tag": sys.implementation.cache_tag}
    with zipfile.ZipFile(task["out"], "w") as pack:
        pack.comment = json.dumps(about, sort_keys=True).encode()
        for number, (child, reader) in enumerate(children):
            with os.fdopen(reader, "rb") as pipe:
                said = pipe.read()
            status = os.waitpid(child, 0)[1]
            if status:
                (index,) = struct.unpack_from("=I", at, 4 * (first + number))
                sys.exit(f"{ended(status)} while it compiled {task['modules'][number * CHUNK + index][0]}")
            result = marshal.loads(said)  # noqa: S302 - from our own child
            if isinstance(result, str):
                sys.exit(result)
            for path, content in result:
                pack.writestr(zipfile.ZipInfo(path[1:]), content)


def ended(status: int) -> str:
    """Return in words how a child ended."""
    if os.WIFSIGNALED(status):
        return f"the compiler was killed by {signal.Signals(os.WTERMSIG(status)).name}"
    return f"the compiler ended with status {os.WEXITSTATUS(status)}"


if __name__ == "__main__":
    try:
        main()
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        os._exit(errno.ENOSPC)
