"""Compiles the modules of one wheel: run by the target's own interpreter (CPython 3.8+), standard library only.

Reads from stdin the JSON {"wheel": path, "jobs": N, "modules": [[name in the wheel, installed path], ...]} and
writes to stdout a zip of stored `.pyc` files under their installed paths, whose comment is the JSON
{"magic": hex, "tag": cache tag}. Exit status 28 (ENOSPC) says that stdout's disk is full.

What marshal writes depends on the process: which strings are interned and how often an object is referenced.
So every CHUNK modules are compiled in a child forked from the same pristine parent; how many of them run at
once changes nothing. Sets are the other leak (before 3.11 they are written in hash order): hence the fixed seed.
"""

import errno
import gc
import importlib.util
import json
import marshal
import os
import sys
import warnings
import zipfile

CHUNK = 150
BOOTSTRAP = """\
import os, sys
env = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
env["PYTHONHASHSEED"] = "0"
os.execve(sys.executable, [sys.executable, "-s", "-S", "-B", "-X", "utf8", "-c", sys.argv[1]], env)
"""
# What compile() raises for modules that this Python can't read: another version's syntax, test data, null bytes.
UNREADABLE = (SyntaxError, ValueError, OverflowError, RecursionError, MemoryError)


def pyc(source, path):
    """Return the content of an unchecked hash-based .pyc (PEP 552) of the module installed at `path`."""
    code = compile(source, path, "exec", dont_inherit=True, optimize=0)
    flags = (0b01).to_bytes(4, "little")
    return importlib.util.MAGIC_NUMBER + flags + importlib.util.source_hash(source) + marshal.dumps(code)


def compiled(wheel, modules):
    """Return [(installed path of the .pyc, its content)] of those `modules` that compile."""
    done = []
    with zipfile.ZipFile(wheel) as archive:
        for name, path in modules:
            try:
                content = pyc(archive.read(name), path)
            except UNREADABLE:
                continue
            done.append((importlib.util.cache_from_source(path, optimization=""), content))
    return done


def child(wheel, modules, tokens, readers, writer):
    """Wait for a token, compile, give the token back, and send the result."""
    for reader in readers:
        os.close(reader)
    token = os.read(tokens[0], 1)
    result = marshal.dumps(compiled(wheel, modules))
    os.write(tokens[1], token)
    with os.fdopen(writer, "wb") as pipe:
        pipe.write(result)


def start(wheel, modules, jobs):
    """Fork a child for every chunk, before this process does anything else; return their pipes."""
    tokens = os.pipe()
    readers = []
    for first in range(0, len(modules), CHUNK):
        reader, writer = os.pipe()
        if os.fork() == 0:
            status = 1
            try:
                child(wheel, modules[first : first + CHUNK], tokens, readers, writer)
                status = 0
            finally:
                os._exit(status)
        os.close(writer)
        readers.append(reader)
    os.write(tokens[1], b"." * jobs)
    return readers


def main():
    """Compile what stdin asks for; write the zip to stdout."""
    gc.disable()
    warnings.simplefilter("ignore")
    request = json.load(sys.stdin)
    readers = start(request["wheel"], request["modules"], request["jobs"])
    with zipfile.ZipFile(sys.stdout.buffer, "w") as pack:
        about = {"magic": importlib.util.MAGIC_NUMBER.hex(), "tag": sys.implementation.cache_tag}
        pack.comment = json.dumps(about, sort_keys=True).encode()
        for reader in readers:
            with os.fdopen(reader, "rb") as pipe:
                for path, content in marshal.loads(pipe.read()):
                    pack.writestr(zipfile.ZipInfo(path[1:]), content)
    sys.stdout.flush()


if __name__ == "__main__":
    try:
        main()
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        os._exit(errno.ENOSPC)
