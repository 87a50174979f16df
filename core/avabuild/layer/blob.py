"""Blob: one compressed OCI layer, written as a stream and hashed in the same pass.

A gzip file may have several members (RFC 1952, 2.2), and a zip entry is a raw deflate stream with a known
CRC-32 and length. So a big deflated entry becomes a member of its own without being compressed again; what
lies between (tar headers, small files) is gathered in blocks and compressed by ISA-L.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import tarfile
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal, Protocol, Self

import zstandard

from avabuild.common.errors import DiskFullError
from avabuild.layer.deflate import HEADER, inflated, member, trailer
from avabuild.layer.standing import Standing, parents_of
from avabuild.plugins.kinds import WHITEOUT
from avabuild.store.blob import Blob

Compression = Literal["gzip", "zstd"]

# The zip format's first day. Wheels can't hold an older one, and some tools take 0 for "no time at all".
MTIME = 315532800
BLOCK = 1 << 20  # bytes gathered before they are compressed, and the most that one inflate call returns
SPLICE = 32 << 10  # compressed bytes from which copying a stream beats the cost of a gzip member
OPAQUE = f"{WHITEOUT}.wh..opq"  # all that is below in a directory is gone (OCI image-spec, layer.md)
_AHEAD = 8  # blocks that may wait for a lane


class Watch(Protocol):
    """Somebody who looks at a layer's entries as they are written."""

    def begin(self, info: tarfile.TarInfo) -> None:
        """See an entry's header."""

    def feed(self, data: bytes) -> None:
        """See the next bytes of its content."""

    def end(self) -> None:
        """See that the content is complete."""


@contextlib.contextmanager
def disk(directory: Path) -> Iterator[None]:
    """Turn "no space left" within the block into a DiskFullError that names `directory`."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        hint = "free some space there, or set AVABUILD_CACHE to a larger disk"
        raise DiskFullError(f"no space left in {directory}", hint=hint) from error


class _Lane:
    """Calls that run one after the other in a thread of their own, at most `_AHEAD` behind the caller."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1)
        self._waiting: deque[Future[None]] = deque()

    def call(self, function: Callable[..., None], *args: Any) -> None:
        if len(self._waiting) >= _AHEAD:
            self._waiting.popleft().result()
        self._waiting.append(self._pool.submit(function, *args))

    def join(self) -> None:
        while self._waiting:
            self._waiting.popleft().result()

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)


class BlobWriter:
    """Writes a layer to `path`; a context manager that removes the file unless `finish` was reached.

    Names are relative to the image's root. Entries come out in the order of the calls, owned by root and
    dated MTIME unless told otherwise, so equal calls give equal bytes. The tar's sha256 and the compression
    each have a thread (hashlib and ISA-L release the GIL); memory stays within some 30 MB.

    Raises:
        ValueError: a name that leaves the root, or content that is not what was announced.
        DiskFullError: no space left.
    """

    def __init__(
        self,
        path: Path,
        compression: Compression = "gzip",
        watch: Watch | None = None,
        standing: Standing | None = None,
    ) -> None:
        self._path = path
        self._standing = standing or Standing()
        self._watch = watch
        with disk(path.parent):
            self._file = path.open("wb")
        self._pack: Callable[[bytes], bytes] = member
        self._end: Callable[[], bytes] = bytes
        if compression == "zstd":
            stream = zstandard.ZstdCompressor(level=3).compressobj()
            self._pack, self._end = stream.compress, stream.flush
        self._compression = compression
        self._plain: list[bytes] = []
        self._gathered = 0
        self._made: set[str] = set()
        self._whole: set[str] = set()  # directories that are there, and all above them
        self._kinds: dict[str, Literal["file", "directory", "above"]] = {"": "directory"}  # of every name
        self._tar, self._packed = hashlib.sha256(), hashlib.sha256()
        self._unpacked = self._size = 0
        self._hashing, self._packing = _Lane(), _Lane()
        self._finished = False
        self._ending = bytes(2 * tarfile.BLOCKSIZE)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._hashing.close()
        self._packing.close()
        if not self._finished:
            with contextlib.suppress(OSError):  # the first failure is the one to tell
                self._file.close()
            self._path.unlink(missing_ok=True)

    def parents(self, name: str) -> None:
        """Write the directories from the root down to the parent of `name`, as they stand, each once."""
        if name.rpartition("/")[0] in self._whole:
            return
        self._whole.add(name.rpartition("/")[0])
        for place in parents_of(self._standing.place(name)):
            if place not in self._made:
                mode, uid, gid = self._standing.directory(place)
                self.directory(place, mode, uid=uid, gid=gid)

    def directory(self, name: str, mode: int = 0o755, *, uid: int = 0, gid: int = 0) -> None:
        """Write a directory."""
        self._made.add(name)
        self._header(name, tarfile.DIRTYPE, mode=mode, uid=uid, gid=gid)

    def symlink(self, name: str, target: str, *, uid: int = 0, gid: int = 0) -> None:
        """Write a symbolic link whose text is `target`."""
        self._header(name, tarfile.SYMTYPE, mode=0o777, uid=uid, gid=gid, linkname=target)

    def file(self, name: str, data: bytes, mode: int = 0o644, *, uid: int = 0, gid: int = 0) -> None:
        """Write a file with the content `data`."""
        self.stream(name, len(data), (data,), mode, uid=uid, gid=gid)

    def stream(
        self, name: str, size: int, chunks: Iterable[bytes], mode: int = 0o644, *, uid: int = 0, gid: int = 0
    ) -> None:
        """Write a file of `size` bytes that come in `chunks`."""
        self._header(name, tarfile.REGTYPE, size=size, mode=mode, uid=uid, gid=gid)
        self._content(name, size, chunks)

    def add(self, info: tarfile.TarInfo, chunks: Iterable[bytes]) -> None:
        """Write an entry of any kind as `info` describes it; `chunks` are a file's `info.size` bytes."""
        self._entry(info)
        self._content(info.name, info.size, chunks)

    def whiteout(self, directory: str, name: str) -> None:
        """Write that the file `name` of the layers below is gone from `directory`."""
        self._mark(directory, f"{WHITEOUT}{name}")

    def opaque(self, directory: str) -> None:
        """Write that all that layers below have in `directory` is gone."""
        self._mark(directory, OPAQUE)

    def raw(self, chunks: Iterable[bytes]) -> None:
        """Take a whole tar as it is, its end included: nothing else may be written to this blob."""
        for chunk in chunks:
            self._add(chunk)
        self._ending = b""

    def deflated(
        self, name: str, size: int, chunks: Iterable[bytes], mode: int = 0o644, *, packed: int, crc32: int
    ) -> None:
        """Write a file of `size` bytes that come as a raw deflate stream of `packed` bytes, in `chunks`."""
        self._header(name, tarfile.REGTYPE, size=size, mode=mode)
        spliced = self._compression == "gzip" and packed > SPLICE
        if spliced:
            self._flush()
            self._packing.call(self._emit, HEADER)
            chunks = self._copied(chunks)
        try:
            for data in inflated(chunks, size, crc32, BLOCK):
                (self._hash if spliced else self._add)(data)
                if self._watch:
                    self._watch.feed(data)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from error
        if spliced:
            self._packing.call(self._emit, trailer(crc32, size))
        self._pad(size)
        if self._watch:
            self._watch.end()

    def finish(self) -> Blob:
        """End the tar (two zero blocks) and the file, and return what was written."""
        self._add(self._ending)
        self._flush()
        self._hashing.join()
        self._packing.join()
        self._emit(self._end())
        with disk(self._path.parent):
            self._file.close()
        self._finished = True
        return Blob(
            digest=f"sha256:{self._packed.hexdigest()}",
            diff_id=f"sha256:{self._tar.hexdigest()}",
            size=self._size,
            unpacked=self._unpacked,
            media_type=f"application/vnd.oci.image.layer.v1.tar+{self._compression}",
        )

    def _header(self, name: str, kind: bytes, **fields: Any) -> None:
        info = tarfile.TarInfo(name)
        info.type, info.mtime = kind, MTIME
        for field, value in fields.items():
            setattr(info, field, value)
        self._entry(info)

    def _mark(self, directory: str, name: str) -> None:
        directory = self._standing.place(directory)
        info = tarfile.TarInfo(f"{directory}/{name}" if directory else name)
        info.mtime = MTIME
        self._placed(info.name, is_directory=False)
        self._add(_encoded(info))
        if self._watch:
            self._watch.begin(info)
            self._watch.end()

    def _entry(self, info: tarfile.TarInfo) -> None:
        info.name = self._standing.place(info.name)
        parts = info.name.split("/")
        if "\0" in info.name or any(part in ("", ".", "..") for part in parts):
            raise ValueError(f"{info.name!r} is not a plain path below the root")
        if any(part.startswith(WHITEOUT) for part in parts):
            raise ValueError(f"{info.name!r} has the name of a whiteout, which would remove files below")
        self._placed(info.name, is_directory=info.isdir())
        self._add(_encoded(info))
        if self._watch:
            self._watch.begin(info)

    def _placed(self, name: str, *, is_directory: bool) -> None:
        """Remember an entry; ValueError where one was of that name, or it and another are file and directory.

        Image storages refuse a layer with a name twice, or take what they like of it.
        """
        known = self._kinds.get(name)
        if known is not None and not (known == "above" and is_directory):
            raise ValueError(f"{name!r} is there twice, or both as a file and as a directory")
        self._kinds[name] = "directory" if is_directory else "file"
        above = name.rpartition("/")[0]
        while (known := self._kinds.get(above)) is None:
            self._kinds[above] = "above"
            above = above.rpartition("/")[0]
        if known == "file":
            raise ValueError(f"{above!r} is there both as a file and as a directory")

    def _content(self, name: str, size: int, chunks: Iterable[bytes]) -> None:
        done = 0
        for chunk in chunks:
            done += len(chunk)
            if done > size:
                break
            self._add(chunk)
            if self._watch:
                self._watch.feed(chunk)
        if done != size:
            raise ValueError(f"{name}: its content is not the {size} bytes that were announced")
        self._pad(size)
        if self._watch:
            self._watch.end()

    def _pad(self, size: int) -> None:
        if rest := -size % tarfile.BLOCKSIZE:
            self._add(bytes(rest))

    def _add(self, data: bytes) -> None:
        """Gather uncompressed bytes of the tar; whole blocks go on to the lanes."""
        self._plain.append(data)
        self._gathered += len(data)
        if self._gathered >= BLOCK:
            self._flush()

    def _flush(self) -> None:
        if not self._gathered:
            return
        block = b"".join(self._plain)
        self._plain, self._gathered = [], 0
        self._hash(block)
        self._packing.call(self._emit_packed, block)

    def _hash(self, data: bytes) -> None:
        self._unpacked += len(data)
        self._hashing.call(self._tar.update, data)

    def _copied(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        for chunk in chunks:
            self._packing.call(self._emit, chunk)
            yield chunk

    def _emit_packed(self, block: bytes) -> None:
        self._emit(self._pack(block))

    def _emit(self, data: bytes) -> None:
        with disk(self._path.parent):
            self._file.write(data)
        self._packed.update(data)
        self._size += len(data)


def _encoded(info: tarfile.TarInfo) -> bytes:
    """Return the entry's header: one ustar block where that can say it, else with a pax record before it."""
    if info.name.isascii() and info.linkname.isascii() and not info.pax_headers:
        with contextlib.suppress(ValueError):  # a name or size too long for ustar
            return info.tobuf(tarfile.USTAR_FORMAT)
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")
