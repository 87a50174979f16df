"""Bytecode layers: modules compiled once per wheel and Python, kept as packs, and put together per image.

A pack is a zip of stored `.pyc` files under their installed paths. They are "unchecked hash" ones (PEP 552):
valid whatever the dates of the sources are, and never written again in the container. Python 2.7 knows only
`.pyc` files that hold the date of their source, which is the same for all files of our layers.
"""

from __future__ import annotations

import errno
import json
import os
import shlex
import signal
import stat
import subprocess
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import NoReturn

from avabuild.common import damage
from avabuild.common.errors import StepError, StoreError
from avabuild.layer.blob import BLOCK, BlobWriter, Compression, disk
from avabuild.layer.scheme import Scheme
from avabuild.layer.standing import Standing
from avabuild.layer.wheel import modules
from avabuild.store.blob import Blob

FORMAT = 2  # of packs; part of their keys: a change of the worker may move a byte of what it writes

# The worker runs with a fixed hash seed (before Python 3.11, marshal writes sets in hash order) and without
# the rest of PYTHON*. The interpreter may be behind a container, where our own environment does not reach.
_BOOTSTRAP = """\
import os, sys
env = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
env["PYTHONHASHSEED"] = "0"
os.execve(sys.executable, [sys.executable, "-s", "-S", "-B", "-X", "utf8", "-c", sys.argv[1]], env)
"""


Start = Callable[[Sequence[str], bytes], tuple[int, str]]


def on_this_host(argv: Sequence[str], request: bytes) -> tuple[int, str]:
    """Run `argv` with `request` as its standard input; return its exit code and what it complained of."""
    done = subprocess.run(argv, input=request, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False)
    return done.returncode, done.stderr.decode("utf-8", "replace")


def compile_wheels(
    packs: Mapping[Path, Path],
    scheme: Scheme,
    interpreter: tuple[str, ...],
    *,
    jobs: int = 2,
    start: Start = on_this_host,
) -> None:
    """Compile every module of each wheel below site-packages into its pack; one interpreter does them all.

    Modules with syntax that the interpreter does not know are left out, as pip leaves them. The same wheel,
    scheme and interpreter give the same bytes, whatever `jobs` is; another patch release of Python may not.

    Args:
        packs: where to write the pack of each wheel, absent after a failure; `interpreter` sees both paths.
        scheme: where the modules will be; their code objects name these paths.
        interpreter: the command that starts a CPython of the scheme's version.
        jobs: how many processes compile at once.
        start: what starts the interpreter.

    Raises:
        WheelError: a wheel is damaged or unsupported.
        StepError: the interpreter can't be started, is of another version, or fails.
        DiskFullError: no space left beside the packs.
    """
    wheels = [
        {"wheel": str(wheel), "out": str(out), "modules": modules(wheel, scheme)}
        for wheel, out in packs.items()
    ]
    place = next(iter(packs)).name if len(packs) == 1 else f"{len(packs)} wheels"
    try:
        with disk(next(iter(packs.values())).parent):
            _run(start, interpreter, json.dumps({"jobs": jobs, "wheels": wheels}), place, scheme.python)
        for out in packs.values():
            if (tag := _made_by(out)) != _expected(scheme):
                _fail(f"this is {tag}, not Python {scheme.python}", interpreter, place)
    except BaseException:
        for out in packs.values():
            out.unlink(missing_ok=True)
        raise


def _run(start: Start, interpreter: tuple[str, ...], request: str, place: str, python: str) -> None:
    """Run the worker; StepError when it fails, OSError when the disk is full."""
    classic = python == "2.7"
    name = "bytecode_classic.py" if classic else "bytecode_worker.py"
    worker = resources.files("avabuild.layer").joinpath(name).read_text("utf-8")
    flags = ["-E", "-s", "-S", "-B", "-c"] if classic else ["-I", "-S", "-B", "-c", _BOOTSTRAP]
    argv = [*interpreter, *flags, worker]
    try:
        code, complaint = start(argv, request.encode())
    except (FileNotFoundError, PermissionError) as error:
        _fail(f"the interpreter can't be started: {error.strerror}", interpreter, place)
    if code == errno.ENOSPC:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    if code:
        told = complaint.strip().splitlines()[-1:]
        why = f"killed by {signal.Signals(-code).name}" if code < 0 else told[0] if told else f"status {code}"
        _fail(f"compiling failed: {why}", interpreter, place, complaint[-2000:])


def _fail(message: str, interpreter: tuple[str, ...], place: str, tail: str = "") -> NoReturn:
    raise StepError(message, command=shlex.join(interpreter), tail=tail, place=place)


def write_bytecode(
    packs: Sequence[Path],
    out: Path,
    scheme: Scheme,
    compression: Compression = "gzip",
    standing: Standing | None = None,
) -> Blob:
    """Write one layer with the bytecode of several wheels, in their order, and return what it is.

    Args:
        packs: files that `compile_wheels` wrote for `scheme`.
        out: where to write; absent after a failure.
        scheme: where the modules are.
        compression: `gzip` or `zstd`.
        standing: how the directories of the base are.

    Raises:
        StoreError: a pack is damaged, or was made for another Python or prefix.
        DiskFullError: no space left beside `out`.
    """
    with BlobWriter(out, compression, standing=standing) as writer:
        owners: dict[str, Path] = {}
        for path in packs:
            with _sound(path), zipfile.ZipFile(path) as pack:
                owners |= dict.fromkeys(pack.namelist(), path)
        for path in packs:
            with _sound(path):
                _copy(path, writer, scheme, owners)
        return writer.finish()


def copy_modules(path: Path, writer: BlobWriter, scheme: Scheme, wanted: Callable[[str], bool]) -> None:
    """Copy what the pack `path` has compiled of `wanted` modules, asked with absolute paths.

    Raises StoreError as `write_bytecode` does.
    """
    with _sound(path):
        with zipfile.ZipFile(path) as pack:
            names = [name for name in pack.namelist() if wanted(f"/{name}")]
        _copy(path, writer, scheme, dict.fromkeys(names, path))


def is_whole(path: Path) -> bool:
    """Whether `path` is a pack none of whose modules is damaged."""
    try:
        with zipfile.ZipFile(path) as pack:
            return pack.testzip() is None
    except (*damage.ZIP, OSError):
        return False


@contextmanager
def _sound(path: Path) -> Iterator[None]:
    """Raise StoreError for what turns out to be wrong with the pack `path` within the block."""
    try:
        yield
    except damage.ZIP as error:
        hint = "remove it from the cache; it is made again"
        raise StoreError(f"this is no pack of bytecode: {error}", place=path.name, hint=hint) from error


def _copy(path: Path, writer: BlobWriter, scheme: Scheme, owners: Mapping[str, Path]) -> None:
    """Copy what the pack owns: of two packs with one path the later one's is kept, as of two wheels."""
    if (tag := _tag(path)) != _expected(scheme):
        raise ValueError(f"it was compiled by {tag}, not for Python {scheme.python}")
    with zipfile.ZipFile(path) as pack:
        for entry in sorted(pack.infolist(), key=lambda entry: entry.filename):
            if not entry.filename.startswith(f"{scheme.root}/"):
                raise ValueError(f"{entry.filename} is not below {scheme.prefix}")
            if owners.get(entry.filename) != path:
                continue
            writer.parents(entry.filename)
            writer.stream(entry.filename, entry.file_size, _content(pack, entry))


def _content(pack: zipfile.ZipFile, entry: zipfile.ZipInfo) -> Iterator[bytes]:
    with pack.open(entry) as stream:
        while data := stream.read(BLOCK):
            yield data


def _made_by(out: Path) -> str:
    try:
        if not stat.S_ISREG(out.lstat().st_mode):  # it may lead anywhere
            return "a command that leaves no pack"
        return _tag(out)
    except (*damage.ZIP, OSError):  # a container that does not see `out`, say
        return "a command that leaves no pack"


def _tag(path: Path) -> str:
    """Return the cache tag (PEP 3147) of the interpreter that made a pack; ValueError where there is none."""
    with zipfile.ZipFile(path) as pack:
        about = json.loads(pack.comment)
    return str(about["tag"]) if isinstance(about, dict) and "tag" in about else "an unknown interpreter"


def _expected(scheme: Scheme) -> str:
    return f"cpython-{scheme.python.replace('.', '')}"
