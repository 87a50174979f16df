"""Shared: another cache beside the user's own, read and never written. Nothing in it is taken on faith.

- What has a digest (blobs, wheels, .debs) is read once and compared with it. Where trusted people alone can
  have written it, it is used where it is; else the copy that was compared is.
- What only says so (which layer a key has, what a module compiles to) counts where trusted people alone can
  have written it: the directory, each one on the way, and the file.

Trusted are root, the user, and whom AVABUILD_SHARED_TRUST names. Links are never followed below the
directory, and nothing but plain files is opened.
"""

from __future__ import annotations

import grp
import hashlib
import os
import pwd
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import IO, BinaryIO

from avabuild.host.sharing import TRUST, Sharing

_BLOCK = 1 << 20
_LARGEST = 1 << 28  # bytes of a file that nobody told the size of, nor can be trusted with
_PLAIN = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK


@dataclass(frozen=True, slots=True)
class Found:
    """An open file of the shared cache.

    Attributes:
        path: where it is.
        file: its content.
        size: in bytes; what is appended meanwhile is not read.
        state: tells this content from another of the same file.
        trusted: whether trusted people alone can have written it.
    """

    path: Path
    file: BinaryIO
    size: int
    state: str
    trusted: bool

    def digest(self) -> str:
        """Return `sha256:HEX` of the content."""
        return self._hash(len)

    def copy(self, target: IO[bytes]) -> str:
        """Write the content to `target`; return `sha256:HEX` of what was written."""
        return self._hash(target.write)

    def _hash(self, take: Callable[[bytes], object]) -> str:
        hashed, left = hashlib.sha256(), self.size
        while block := self.file.read(min(left, _BLOCK)):
            hashed.update(block)
            take(block)
            left -= len(block)
        return f"sha256:{hashed.hexdigest()}"


class Shared:
    """A directory as `Sharing` describes it; it may be missing, damaged or hostile."""

    def __init__(self, sharing: Sharing) -> None:
        self._sharing = sharing
        self.root = sharing.directory

    @contextmanager
    def opened(self, name: str, size: int | None = None) -> Iterator[Found | None]:
        """Open the plain file `name`, relative to the directory; None for anything else.

        A file of another `size` than it should have is not opened.
        """
        handle, trusted = self._walk(name)
        if handle is None:
            yield None
            return
        state = os.fstat(handle)
        trusted = trusted and self._is_trusted(state)
        fits = state.st_size == size if size else trusted or state.st_size <= _LARGEST
        if not stat.S_ISREG(state.st_mode) or not fits:
            os.close(handle)
            yield None
            return
        with open(handle, "rb") as file:  # noqa: PTH123 - it closes the descriptor
            path = self.root / name
            fields = (state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns)
            marked = ":".join(map(str, (path, *fields)))
            yield Found(path, file, state.st_size, marked, trusted)

    def read(self, name: str, *, hearsay: bool = False) -> bytes | None:
        """Return the content of an entry that can be believed, or with `hearsay` of any."""
        with self.opened(name) as found, suppress(OSError):
            return found.file.read(found.size) if found and (found.trusted or hearsay) else None
        return None

    def problem(self) -> str | None:
        """Return why nothing, or not everything, can be taken from here; None when all is well."""
        try:
            state = self.root.stat()
            any(self.root.iterdir())
        except OSError as error:
            return f"{self.root} can't be read: {error.strerror}; nothing is taken from it"
        if not stat.S_ISDIR(state.st_mode):
            return f"{self.root} is no directory; nothing is taken from it"
        if self._is_trusted(state):
            return None
        return (
            f"{self.root} can be written by others than root, you and whom {TRUST} names: "
            "wheels and bases that a lock knows by hash are taken from it, and no layers; "
            f"{TRUST}={self._writers(state)} trusts them"
        )

    def _walk(self, name: str) -> tuple[int | None, bool]:
        """Open `name` step by step; return its descriptor, and whether the directories are trusted."""
        *parents, last = name.split("/")
        if {"", ".", ".."} & {*parents, last}:
            return None, False
        trusted, inner = True, None
        try:
            inner = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            trusted = self._is_trusted(os.fstat(inner))
            for parent in parents:
                outer, inner = inner, None
                try:
                    inner = os.open(parent, _PLAIN | os.O_DIRECTORY, dir_fd=outer)
                finally:
                    os.close(outer)
                trusted = trusted and self._is_trusted(os.fstat(inner))
            return os.open(last, _PLAIN, dir_fd=inner), trusted
        except OSError:
            return None, False
        finally:
            if inner is not None:
                os.close(inner)

    def _is_trusted(self, state: os.stat_result) -> bool:
        """Whether one of the trusted made it and only they can write there."""
        group = state.st_gid in self._sharing.groups
        if state.st_mode & stat.S_IWOTH or (state.st_mode & stat.S_IWGRP and not group):
            return False
        return state.st_uid in self._sharing.users or _main_group(state.st_uid) in self._sharing.members

    def _writers(self, state: os.stat_result) -> str:
        if state.st_mode & stat.S_IWGRP and state.st_gid not in self._sharing.groups:
            with suppress(KeyError):
                return f"@{grp.getgrgid(state.st_gid).gr_name}"
            return f"@{state.st_gid}"
        with suppress(KeyError):
            return pwd.getpwuid(state.st_uid).pw_name
        return str(state.st_uid)


@cache
def _main_group(user: int) -> int | None:
    try:
        return pwd.getpwuid(user).pw_gid
    except KeyError:
        return None
