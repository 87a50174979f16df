"""Tars of strangers, read within bounds: of each header, of how many entries there are and their names.

A few megabytes of gzip are gigabytes of headers; a reader keeps names, and Python's own keeps every entry.
"""

from __future__ import annotations

import io
import lzma
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

import zstandard
from isal import igzip

_HEADER = 1 << 20  # bytes of what precedes an entry: its pax records, a long name, a map of holes
_GLOBALS = 16  # headers that hold for all entries after them
_CHUNK = 1 << 20
_SHORT = {tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE}


@dataclass(slots=True)
class Bounds:
    """What a tar, or all layers of an image together, may still have.

    Attributes:
        entries: how many of them; images of whole distributions have some hundred thousand.
        names: bytes of their names and links.
    """

    entries: int = 2_000_000
    names: int = 256 << 20

    def take(self, member: tarfile.TarInfo) -> None:
        """Count an entry; raise tarfile.ReadError when it is one too many."""
        self.entries -= 1
        self.names -= len(member.name) + len(member.linkname)
        if self.entries < 0 or self.names < 0:
            raise tarfile.ReadError("it has more entries, or longer names, than any image")


class _Counted:
    """A file of which only so many bytes more may be read at once."""

    def __init__(self, inner: BinaryIO) -> None:
        self._inner = inner
        self._left = _HEADER

    def read(self, size: int = -1) -> bytes:
        self._left -= size
        if self._left < 0 or size < 0:
            raise tarfile.ReadError(f"a header of it has more than {_HEADER >> 20} MB")
        return self._inner.read(size)

    def __getattr__(self, name: str) -> object:
        return getattr(self._inner, name)


class _Entry(tarfile.TarInfo):
    """An entry whose own headers have bounds."""

    def _proc_member(self, tar: Tar) -> tarfile.TarInfo:
        """Read what belongs to the header; tarfile's source names this as what subclasses override."""
        if self.type in _SHORT:
            return super()._proc_member(tar)  # type: ignore[misc, no-any-return]
        if self.type == tarfile.XGLTYPE:
            tar.globals_left -= 1
            if tar.globals_left < 0:
                raise tarfile.ReadError(f"more than {_GLOBALS} headers of it are for all entries")
        inner = tar.fileobj
        tar.fileobj = _Counted(cast("BinaryIO", inner))  # type: ignore[assignment]
        try:
            return super()._proc_member(tar)  # type: ignore[misc, no-any-return]
        except (LookupError, RecursionError) as error:
            raise tarfile.ReadError(f"a header of it is damaged: {error}") from error
        finally:
            tar.fileobj = inner


class Tar(tarfile.TarFile):
    """A tar whose reading raises tarfile.ReadError for what is out of bounds.

    Attributes:
        bounds: what it may still have.
        passing: whether its entries are read once and in turn, and none is kept.
    """

    tarinfo = _Entry
    globals_left = _GLOBALS
    bounds: Bounds | None = None
    passing = False

    def next(self) -> tarfile.TarInfo | None:
        """Return the next entry, None at the end."""
        member = super().next()
        if member is not None:
            self.bounds = self.bounds or Bounds()
            self.bounds.take(member)
            if self.passing:
                self.members.clear()  # type: ignore[attr-defined]
        return member


@contextmanager
def passing(path: Path, bounds: Bounds | None = None) -> Iterator[Tar]:
    """Open a tar, whatever its compression, whose entries are read once and in turn."""
    with opened(path) as raw, Tar.open(fileobj=raw, mode="r|", bufsize=_CHUNK) as tar:
        tar.bounds, tar.passing = bounds or Bounds(), True
        yield tar


def opened(path: Path) -> BinaryIO:
    """Open a tar for reading its bytes, whatever its compression: gzip, zstd, xz or none."""
    with path.open("rb") as file:
        magic = file.read(4)
    if magic[:2] == b"\x1f\x8b":
        return cast("BinaryIO", igzip.open(path, "rb"))  # type: ignore[no-untyped-call]
    if magic == b"\x28\xb5\x2f\xfd":
        unpacker = zstandard.ZstdDecompressor()
        stream = unpacker.stream_reader(path.open("rb"), read_across_frames=True, closefd=True)
        return cast("BinaryIO", io.BufferedReader(cast("io.RawIOBase", stream)))
    if magic == b"\xfd7zX":
        return cast("BinaryIO", lzma.open(path))
    return path.open("rb")
