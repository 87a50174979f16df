"""Whole files: written beside their place and renamed into it, so that nobody sees a part.

A file on its way is locked for as long as its writer lives: what nobody locks was left by a killed one. It
gets its name when its content is on the disk, and nobody relies on that name before it is there too: a power
cut leaves the file whole, or none.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import stat
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from filelock import FileLock

_PREFIX = "write-"
_TRIES = 5
_NEVER = {errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EROFS, errno.EBADF, errno.EACCES, errno.EPERM}


def publish(partial: Path, path: Path) -> Path:
    """Give the finished file or directory `partial` the name `path`, to stay; return that.

    What is there goes, were it a directory where a file should be.
    """
    sync(partial)
    _rename(partial, path)
    sync(path.parent)
    return path


def write_whole(
    path: Path,
    data: bytes,
    directory: Path,
    ready: Callable[[Path], object] = lambda _: None,
    *,
    lasting: bool = True,
) -> None:
    """Write `path` by way of a file in `directory`, which `ready` sees before it gets its name.

    One that is not `lasting` may be damaged by a power cut: whoever reads it finds out and makes it again.
    """
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
                if lasting:
                    publish(partial, path)
                else:
                    _rename(partial, path)
            except FileNotFoundError:
                if partial.exists() or not tries_left:
                    raise  # else it was swept before it was locked
            else:
                return
            finally:
                partial.unlink(missing_ok=True)


def sync(path: Path) -> None:
    """Return once the content of the file or directory is on the disk, where the file system can tell."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except PermissionError:  # a directory that may be written and not read
        return
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in _NEVER:
            raise
    finally:
        os.close(handle)


def remove(path: Path) -> None:
    """Remove whatever is at `path`; nothing may be there, or may not be removable."""
    with suppress(OSError):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def _rename(partial: Path, path: Path) -> None:
    try:
        partial.replace(path)
    except OSError as error:
        if error.errno not in {errno.EISDIR, errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR}:
            raise
        remove(path)
        partial.replace(path)


def is_write(path: Path) -> bool:
    """Whether `path` is such a file on its way."""
    return path.name.startswith(_PREFIX)


def sweep_writes(directory: Path) -> None:
    """Remove what killed writers left in `directory`."""
    for path in directory.glob(f"{_PREFIX}*"):
        with suppress(OSError), path.open("rb") as file:  # gone, another user's, or its writer lives
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink()


# -- modes: what is put into a store can be read by whoever may read its directory, whatever the umask is ----


_READ, _WRITE = 0o444, 0o666


def make_directory(path: Path) -> None:
    """Make `path` and the parents that are missing, each with the rights of the directory it is in.

    The group follows by itself where that directory has its set-group-ID bit (mkdir(2)).
    """
    if path.is_dir():
        return
    make_directory(path.parent)
    try:
        path.mkdir()
    except FileExistsError:
        return  # another build's; it gives the rights
    path.chmod(_mode(path.parent) & 0o3777)


def open_up(path: Path, directory: Path) -> None:
    """Give the finished file the rights to be read that `directory` has; only its owner may write it."""
    path.chmod(_mode(directory) & _READ | stat.S_IWUSR)


def file_lock(path: Path) -> FileLock:
    """Return the lock at `path`, which whoever may write its directory can take."""
    if path.is_dir():  # damage
        remove(path)
    return FileLock(path, mode=lock_mode(path.parent), thread_local=False)


def lock_mode(directory: Path) -> int:
    """Return the rights of what whoever may write the directory can lock."""
    return _mode(directory) & _WRITE | 0o600


def _mode(directory: Path) -> int:
    return stat.S_IMODE(directory.stat().st_mode)
