"""Modes: what is put into a store can be read by whoever may read its directory, whatever the umask is."""

from __future__ import annotations

import stat
from pathlib import Path

from filelock import FileLock

from avabuild.store.whole import remove

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
