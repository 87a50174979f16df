"""Scratch: one build's private directory in the store, swept by a later build when its owner was killed."""

from __future__ import annotations

import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from filelock import FileLock, Timeout

from avabuild.store.store import Store, disk_errors
from avabuild.store.uses import is_free
from avabuild.store.whole import is_write, sweep_writes

_PATIENCE = 50  # tenths of a second
_DAY = 86400.0  # seconds


class Scratch:
    """A context manager: `tmp/BUILD/`, locked while it lives, removed on the way out.

    Attributes:
        build: the build's random id, also the prefix of its working containers' names.
        path: the directory, on the store's own file system so that results can be renamed into place.
    """

    def __init__(self, store: Store) -> None:
        self.build = secrets.token_hex(6)
        self.path = store.root / "tmp" / self.build
        self._lock = FileLock(store.root / "tmp" / f"{self.build}.lock", thread_local=False)
        self._root = store.root

    def __enter__(self) -> Self:
        with disk_errors(self._root):
            self._lock.acquire()
            self.path.mkdir(mode=0o700)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for _ in range(_PATIENCE):  # a tool that was just stopped may still be writing
            shutil.rmtree(self.path, ignore_errors=True)
            if not self.path.exists():
                Path(self._lock.lock_file).unlink(missing_ok=True)
                break
            time.sleep(0.1)
        self._lock.release()  # what is still there has its lock file beside it, for the next sweep

    def directory(self, name: str) -> Path:
        """Return the directory `name` inside, made when absent."""
        path = self.path / name
        path.mkdir(exist_ok=True)
        return path


def unfinished(store: Store) -> tuple[str, ...]:
    """Return the ids of builds that have their scratch still: those that run, and those that were killed."""
    return tuple(path.name.removesuffix(".lock") for path in sorted((store.root / "tmp").glob("*.lock")))


def strays(store: Store) -> Iterator[Path]:
    """Yield what is in no build's scratch and was last written a day ago: its writer was killed meanwhile."""
    builds, old = set(unfinished(store)), time.time() - _DAY
    for path in sorted((store.root / "tmp").iterdir()):
        with suppress(FileNotFoundError):  # it was finished just now
            known = path.name.removesuffix(".lock") in builds or is_write(path)
            if not known and path.lstat().st_mtime < old:
                yield path


def is_alive(store: Store, build: str) -> bool:
    """Whether the build runs."""
    try:
        return not is_free(store.root / "tmp" / f"{build}.lock")
    except FileNotFoundError:
        return False


def sweep(
    store: Store, force: Callable[[Path], None], clear: Callable[[str], bool] = lambda _: True
) -> tuple[str, ...]:
    """Remove the scratch of builds that no longer live; return the ids of those of which nothing is left.

    `force` removes what holds files of other users, as a container's root leaves them. `clear` removes what
    a build has elsewhere, and says whether that is gone: what is not is tried again by the next sweep.
    """
    dead = []
    sweep_writes(store.root / "tmp")
    for marker in sorted((store.root / "tmp").glob("*.lock")):
        lock = FileLock(marker)
        try:
            lock.acquire(timeout=0)
        except (Timeout, FileNotFoundError, PermissionError):  # alive, gone, or another user's
            continue
        build = marker.name.removesuffix(".lock")
        path = store.root / "tmp" / build
        try:
            shutil.rmtree(path, ignore_errors=True)
            if path.exists():
                force(path)
            if clear(build) and not path.exists():
                marker.unlink(missing_ok=True)
                dead.append(build)
        finally:
            lock.release()
    return tuple(dead)
