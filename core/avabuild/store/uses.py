"""Uses: when each file of the store was last used, and who may still use what they saw: for pruning.

Every process that opens the store holds a lease for as long as it lives. What it finds there it marks as
used, at most once, by the file's modification time (access times are seldom kept). Pruning removes only what
was last used before the oldest lease began: what a build has seen stays, what it has not seen yet it makes.
Marking and removing exclude each other by a lock on one file, held for a moment.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from avabuild.store.whole import lock_mode, remove

_GUARD = ".guard"
_CLOSED = (OSError,)  # a cache that is read-only or full can be read all the same


class Uses:
    """The uses of one process. `root` is the directory of leases, made when absent.

    Attributes:
        began: when this lease began, in nanoseconds as the file system counts them.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._path = root / f"{os.getpid()}-{secrets.token_hex(4)}"
        self.began = time.time_ns()
        with suppress(*_CLOSED):
            root.mkdir(parents=True, exist_ok=True)
            with self._guarded(fcntl.LOCK_SH):
                handle = _open(self._path, os.O_EXCL)
                fcntl.flock(handle, fcntl.LOCK_EX)
                self.began = os.fstat(handle).st_mtime_ns
            self._end = weakref.finalize(self, _end, handle, self._path, os.getpid())

    def use(self, path: Path) -> bool:
        """Mark the file as used by this process; return whether it is there."""
        try:
            if path.stat().st_mtime_ns >= self.began:
                return True
            with self._guarded(fcntl.LOCK_SH):
                path.stat()
                with suppress(*_CLOSED):
                    os.utime(path)
        except FileNotFoundError:
            return False
        return True

    def mark(self, path: Path) -> None:
        """Mark by a file of its own the use of something whose times must not change."""
        if not self.use(path):
            with suppress(*_CLOSED):
                path.parent.mkdir(parents=True, exist_ok=True)
                path.touch()

    def others(self) -> tuple[tuple[int, int], ...]:
        """Return when every other living lease began, with the id of its user; forget those of the dead."""
        found = []
        with self._guarded(fcntl.LOCK_EX):
            for path in self._root.iterdir():
                if path in {self._path, self._root / _GUARD}:
                    continue
                with suppress(FileNotFoundError):
                    state = path.stat()
                    if not is_free(path):
                        found.append((state.st_mtime_ns, state.st_uid))
                        continue
                    remove(path)  # another user's stays in a directory that keeps each one's
        return tuple(found)

    @contextmanager
    def removing(self) -> Iterator[None]:
        """Keep everybody from marking while the block looks once more and removes."""
        with self._guarded(fcntl.LOCK_EX):
            yield

    @contextmanager
    def _guarded(self, how: int) -> Iterator[None]:
        try:
            handle = _open(self._root / _GUARD)
        except _CLOSED:  # nobody can remove anything here either, or there is no space for a name
            yield
            return
        try:
            fcntl.flock(handle, how)
            yield
        finally:
            os.close(handle)


def _open(path: Path, flags: int = 0) -> int:
    """Open a file that whoever may write its directory can lock, made when absent."""
    made = not path.exists()
    handle = os.open(path, os.O_RDWR | os.O_CREAT | flags, 0o600)
    if made:
        with suppress(PermissionError):  # another user's, who was first
            os.fchmod(handle, lock_mode(path.parent))
    return handle


def is_free(path: Path) -> bool:
    """Whether nobody holds the lock on the file; FileNotFoundError without one."""
    handle = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(handle)
    return True


def _end(handle: int, path: Path, owner: int) -> None:
    if os.getpid() == owner:  # not in a fork of it
        with suppress(*_CLOSED):  # who comes next finds it free
            path.unlink(missing_ok=True)
    os.close(handle)
