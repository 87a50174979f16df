"""Watch: whether what a run reads is at its end still what it was when the run began."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

_TICK = 20_000_000  # ns: times of files are those of the last tick of a clock


class Watch:
    """Notes the states of inputs.

    A file may be read before it is known as an input, and noted: one that changed after the run began
    counts as changed. That is told by its change time, which nobody can set.

    Attributes:
        began: when the run did, in ns since the epoch: before it read anything.
    """

    def __init__(self, began: int | None = None) -> None:
        self.began = (time.time_ns() if began is None else began) - _TICK
        self._states: dict[str, Any] = {}

    def note(self, paths: Iterable[Path]) -> None:
        """Remember the state of each path that is not noted yet; a directory with all that is in it."""
        for path in paths:
            if (name := str(path.absolute())) not in self._states:
                self._states[name] = self._state(path)

    def unchanged(self, path: Path) -> bool:
        """Whether the path is as it was when the run began; one that was not noted is looked at now."""
        self.note([path])
        state = self._states[str(path.absolute())]
        return state is not None and state == self._state(path)

    def _state(self, path: Path) -> Any:
        """Return the state of the path, None when it changed since the run began."""
        try:
            found = _look(path.absolute())
        except FileNotFoundError:
            return None if os.path.lexists(path) else "absent"
        except (OSError, RuntimeError):  # links that lead to one another
            return None
        return None if any(one[-1] >= self.began for one in found) else found


def _look(path: Path) -> list[Any]:
    status = path.lstat()
    found: list[Any] = [_fields(path, status)]
    if stat.S_ISLNK(status.st_mode):
        led = path.resolve()
        return found + (_look(led) if os.path.lexists(led) else [])
    if stat.S_ISDIR(status.st_mode):
        found += [_fields(below, below.lstat()) for below in sorted(path.rglob("*"))]
    return found


def _fields(path: Path, status: os.stat_result) -> list[Any]:
    who = [str(path), status.st_mode, status.st_uid, status.st_gid, status.st_dev, status.st_ino]
    kind = stat.S_IFMT(status.st_mode)
    if kind not in {stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK}:  # a pipe's times are those of its last use
        return [*who, 0]
    link = str(path.readlink()) if kind == stat.S_IFLNK else ""
    return [*who, link, status.st_size, status.st_mtime_ns, status.st_ctime_ns]
