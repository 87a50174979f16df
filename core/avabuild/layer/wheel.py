"""Wheels as file layers: the layer that holds several wheels, and what two of them would both write.

The result is what `pip install --no-compile` leaves on disk (packaging.python.org: the binary distribution
format, recording installed projects), but no file is unpacked on the way: see `avabuild.layer.blob`.
"""

from __future__ import annotations

import base64
import configparser
import contextlib
import csv
import hashlib
import os
import posixpath
import re
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from installer.exceptions import InstallerError
from installer.records import Hash, InvalidRecordEntry, RecordEntry, parse_record_file
from installer.scripts import Script
from installer.sources import WheelFile
from installer.utils import Scheme as SchemeKey
from installer.utils import construct_record_file, parse_entrypoints, parse_metadata_file
from packaging.utils import canonicalize_name

from avabuild.common import damage, zips
from avabuild.common.errors import WheelError
from avabuild.layer.blob import BlobWriter, Compression, Watch
from avabuild.layer.scheme import Scheme
from avabuild.layer.standing import Standing
from avabuild.plugins.kinds import WHITEOUT
from avabuild.store.blob import Blob

__all__ = ["FORMAT", "Scheme", "copy_files", "modules", "overlapping", "write_wheels"]

FORMAT = 3  # of the layers made here; part of their keys, so a change that moves a byte raises it


def write_wheels(
    wheels: Sequence[Path],
    out: Path,
    scheme: Scheme,
    *,
    requested: frozenset[str] = frozenset(),
    direct: Mapping[Path, str] | None = None,
    compression: Compression = "gzip",
    part: tuple[int, int] = (0, 1),
    watch: Watch | None = None,
    standing: Standing | None = None,
) -> Blob:
    """Write one layer with `wheels` installed, in their order, and return what it is.

    Entries are sorted within a wheel. Of two wheels with one path the later one wins, as when they are
    installed one after the other.

    Args:
        wheels: the files, under the names that an index gives them.
        out: where to write; absent after a failure.
        scheme: where the wheels go.
        requested: normalised names (PEP 503) of the distributions to mark as asked for by the user.
        direct: the `direct_url.json` of wheels that come from no index.
        part: which of how many layers of about equal size the files of each wheel are dealt to.
        watch: sees every entry as it is written.
        standing: how the directories of the base are, see `standing`.
        compression: `gzip`, where big entries are copied without being compressed again, or `zstd`.

    Raises:
        WheelError: a wheel is damaged or unsupported, or a file of it would leave the environment.
        DiskFullError: no space left beside `out`.
    """
    owners = _owners(wheels, scheme) if len(wheels) > 1 else {}
    with BlobWriter(out, compression, watch, standing) as writer:
        for path in wheels:
            with opened(path, scheme) as wheel:
                files = list(wheel.files())
                if canonicalize_name(wheel.distribution) in requested:
                    files.append(wheel.metadata("REQUESTED"))
                if text := (direct or {}).get(path):
                    made = wheel.metadata("direct_url.json", text.encode())
                    files = [*(item for item in files if item.path != made.path), made]
                files.append(wheel.record(files))
                for item in sorted(_share(files, *part), key=lambda item: item.path):
                    if owners.get(item.path, (path,))[0] == path:
                        _write(writer, wheel, item)
        return writer.finish()


def _owners(wheels: Sequence[Path], scheme: Scheme) -> dict[str, tuple[Path, tuple[object, ...]]]:
    """Return the wheel whose file is kept for every path; image storages refuse a tar with a path twice."""
    owners: dict[str, tuple[Path, tuple[object, ...]]] = {}
    for path in wheels:
        with opened(path, scheme) as wheel:
            for item in wheel.files():
                if item.path not in owners or owners[item.path][1] != item.identity:
                    owners[item.path] = path, item.identity
    return owners


def _share(files: Sequence[Installed], part: int, parts: int) -> Sequence[Installed]:
    """Deal `files` to `parts`, biggest first, each to the one that has least; return what `part` gets."""
    if parts == 1:
        return files
    loads, mine = [0] * parts, []
    for item in sorted(files, key=lambda item: (-item.size, item.path)):
        chosen = loads.index(min(loads))
        loads[chosen] += item.size
        if chosen == part:
            mine.append(item)
    return mine


def _write(writer: BlobWriter, wheel: OpenWheel, item: Installed) -> None:
    name, entry = item.path[1:], item.entry
    writer.parents(name)
    if entry and not item.skip and entry.compress_type == zipfile.ZIP_DEFLATED:
        raw, packed = wheel.deflated(entry), entry.compress_size
        writer.deflated(name, entry.file_size, raw, item.mode, packed=packed, crc32=entry.CRC)
    else:
        writer.stream(name, item.size, wheel.content(item), item.mode)


def modules(wheel: Path, scheme: Scheme) -> tuple[tuple[str, str], ...]:
    """Return (name in the wheel, absolute installed path) of each `.py` below site-packages, by path."""
    below = f"{scheme.purelib}/"
    with opened(wheel, scheme) as source:
        found = [(item.path, item.entry.filename) for item in source.files() if item.entry]
    chosen = sorted(pair for pair in found if pair[0].startswith(below) and pair[0].endswith(".py"))
    return tuple((name, path) for path, name in chosen)


def overlapping(wheels: Mapping[str, Path], scheme: Scheme) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Return each path that several of `wheels` install with different content, with whose they are."""
    seen: dict[str, list[tuple[str, tuple[object, ...]]]] = {}
    for name, wheel in wheels.items():
        with opened(wheel, scheme) as source:
            for item in source.files():
                seen.setdefault(item.path, []).append((name, item.identity))
    several = ((path, found) for path, found in sorted(seen.items()) if len({one for _, one in found}) > 1)
    return tuple((path, tuple(name for name, _ in found)) for path, found in several)


def copy_files(wheel: Path, writer: BlobWriter, scheme: Scheme, wanted: frozenset[str]) -> None:
    """Write those of the wheel's files whose absolute paths are `wanted`.

    Raises WheelError for an unusable wheel.
    """
    with opened(wheel, scheme) as source:
        for item in sorted(source.files(), key=lambda item: item.path):
            if item.path in wanted:
                _write(writer, source, item)


# -- what a wheel installs: which files, where, with which mode, content and RECORD --------------------------


_CHUNK = 256 << 10  # bytes read at once
_PIP = re.compile(r"pip(\d+(\.\d+)?)?")
_EASY_INSTALL = re.compile(r"easy_install(-\d+(\.\d+)?)?")
_WRAPPERS = (".exe", "-script.py", ".pya")  # what old setuptools put into wheels for entry points
_REPLACED = (
    "INSTALLER",
    "RECORD",
    "REQUESTED",
    "RECORD.jws",
    "RECORD.p7s",
)  # made anew, or of the old RECORD
_agreeing: set[tuple[int, ...]] = set()  # wheels that were checked: each is opened about five times
_DAMAGE = (*damage.ZIP, InstallerError, InvalidRecordEntry, csv.Error)


@dataclass(frozen=True, slots=True)
class Installed:
    """One file that a wheel puts into the environment.

    Attributes:
        path: absolute path in the image.
        mode: permission bits.
        entry: the wheel's file, or None for one that installing makes.
        head: the whole content where `entry` is None, else what stands in for its first `skip` bytes.
    """

    path: str
    mode: int
    entry: zipfile.ZipInfo | None = None
    head: bytes = b""
    skip: int = 0

    @property
    def size(self) -> int:
        """Bytes of the content."""
        return len(self.head) + (self.entry.file_size - self.skip if self.entry else 0)

    @property
    def identity(self) -> tuple[object, ...]:
        """What is equal where the contents are: CRC-32 and size as the wheel has them, and a changed head."""
        if self.entry:
            return self.entry.CRC, self.size, self.head
        return zlib.crc32(self.head), self.size, b""


class OpenWheel:
    """An open wheel, read for one scheme. Methods raise what `opened` turns into a WheelError."""

    def __init__(self, path: Path, archive: zipfile.ZipFile, scheme: Scheme) -> None:
        self._archive = archive
        self._scheme = scheme
        self._source = WheelFile(archive)
        self._descriptor = os.open(path, os.O_RDONLY)
        try:
            _check_once(self._descriptor, archive)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)

    @property
    def distribution(self) -> str:
        """The distribution's name as the file name has it."""
        return self._source.distribution

    def metadata(self, name: str, data: bytes = b"") -> Installed:
        """Return a file of the `.dist-info` directory that installing makes."""
        return Installed(f"{self._scheme.purelib}/{self._source.dist_info_dir}/{name}", 0o644, head=data)

    def files(self) -> tuple[Installed, ...]:
        """Return all that installing puts into the environment, but for REQUESTED and RECORD."""
        entries, info = tuple(_entries(self._archive)), self._source.dist_info_dir
        metadata = set(self._source.dist_info_filenames)
        if missing := {"METADATA", "RECORD", "WHEEL"} - metadata:
            raise ValueError(f"its {info} lacks {', '.join(sorted(missing))}")
        version = parse_metadata_file(self._source.read_dist_info("WHEEL"))["Wheel-Version"] or "none"
        if version.split(".")[0] != "1":
            raise ValueError(f"its Wheel-Version is {version}, and only 1.x is known")
        points = self._source.read_dist_info("entry_points.txt") if "entry_points.txt" in metadata else ""
        scripts = _scripts(points, self._scheme)
        wrappers = {item.path + end for item in scripts for end in ("", *_WRAPPERS)}
        replaced = {f"{info}/{name}" for name in _REPLACED}
        shipped = [self._shipped(entry) for entry in entries if entry.filename not in replaced]
        kept = (item for item in shipped if item.path not in wrappers)
        found = (*kept, *scripts, self.metadata("INSTALLER", b"pip\n"))
        _check_paths([item.path for item in found])
        return found

    def record(self, files: Iterable[Installed]) -> Installed:
        """Return RECORD. The wheel's own hashes stand for what is unchanged; the rest is hashed."""
        lines = self._source.read_dist_info("RECORD").splitlines()
        rows = {row[0]: RecordEntry.from_elements(*row) for row in parse_record_file(lines)}
        below = f"{self._scheme.purelib}/"
        entries = []
        for item in files:
            row = rows.get(item.entry.filename) if item.entry and not item.skip else None
            digest = (row and row.hash_) or self._hash(item)
            path = item.path.removeprefix(below)
            if path.startswith("/"):
                path = posixpath.relpath(path, below)
            entries.append(RecordEntry(path, digest, item.size))
        entries.append(RecordEntry(f"{self._source.dist_info_dir}/RECORD", None, None))
        with construct_record_file((SchemeKey("purelib"), entry) for entry in entries) as stream:
            return self.metadata("RECORD", stream.read())

    def content(self, item: Installed) -> Iterator[bytes]:
        """Yield the content of one of this wheel's files, in chunks."""
        yield item.head
        if item.entry:
            with self._archive.open(item.entry) as stream:
                stream.read(item.skip)
                while data := stream.read(_CHUNK):
                    yield data

    def deflated(self, entry: zipfile.ZipInfo) -> Iterator[bytes]:
        """Yield an entry's bytes just as they are in the archive (APPNOTE.TXT 4.3.7: the local header)."""
        header = os.pread(self._descriptor, 30, entry.header_offset)
        start = entry.header_offset + 30 + sum(struct.unpack("<HH", header[26:]))
        for offset in range(0, entry.compress_size, _CHUNK):
            yield os.pread(self._descriptor, min(_CHUNK, entry.compress_size - offset), start + offset)

    def _hash(self, item: Installed) -> Hash:
        digest = hashlib.sha256()
        for chunk in self.content(item):
            digest.update(chunk)
        return Hash("sha256", base64.urlsafe_b64encode(digest.digest()).decode().rstrip("="))

    def _shipped(self, entry: zipfile.ZipInfo) -> Installed:
        """Return how the wheel's `entry` is installed; NAME.data/KEY/PATH goes to the key's directory."""
        name = entry.filename
        path, key = f"{self._scheme.purelib}/{name}", "purelib"
        top, _, rest = name.partition("/")
        if rest and top.endswith(".data"):
            key, _, below = rest.partition("/")
            directory = self._scheme.directory(key, self.distribution.replace("_", "-"))
            if not (below and directory):
                raise ValueError(f"entry {name!r} belongs to no known directory of an environment")
            path = f"{directory}/{below}"
        if key == "scripts":
            return self._script(entry, path)
        mode = entry.external_attr >> 16
        return Installed(path, 0o755 if stat.S_ISREG(mode) and mode & 0o111 else 0o644, entry)

    def _script(self, entry: zipfile.ZipInfo, path: str) -> Installed:
        """Return a command; `#!python` in its first line becomes the environment's interpreter."""
        with self._archive.open(entry) as stream:
            first = stream.readline(_CHUNK)
        if not first.startswith(b"#!python"):
            return Installed(path, 0o755, entry)
        return Installed(path, 0o755, entry, f"#!{self._scheme.interpreter}\n".encode(), len(first))


@contextlib.contextmanager
def opened(path: Path, scheme: Scheme) -> Iterator[OpenWheel]:
    """Open a wheel; what turns out to be wrong with it within the block becomes a WheelError naming it."""
    try:
        with zipfile.ZipFile(path) as archive, contextlib.closing(OpenWheel(path, archive, scheme)) as wheel:
            yield wheel
    except _DAMAGE as error:
        hint = "this file can't be installed; remove it from the cache, or choose another version"
        raise WheelError(str(error) or type(error).__name__, place=path.name, hint=hint) from error


def _check_once(descriptor: int, archive: zipfile.ZipFile) -> None:
    """Hold the headers against the directory, once in a process as long as the file is the same."""
    state = os.fstat(descriptor)
    known = (state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns)
    if known not in _agreeing:
        zips.check(descriptor, archive)
        _agreeing.add(known)


def _entries(archive: zipfile.ZipFile) -> Iterator[zipfile.ZipInfo]:
    """Yield the files of the archive; ValueError for a name that is not a plain path below its root."""
    for entry in archive.infolist():
        name = entry.filename
        if "\\" in name or any(part in ("", ".", "..") for part in name.removesuffix("/").split("/")):
            raise ValueError(f"entry {name!r} is not a plain path inside the wheel")
        if any(part.startswith(WHITEOUT) for part in name.split("/")):
            raise ValueError(f"entry {name!r} has the name of a whiteout, which would remove files below")
        if entry.flag_bits & 1 or entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ValueError(f"entry {name!r} is encrypted, or neither stored nor deflated")
        if not entry.is_dir():
            yield entry


def _scripts(text: str, scheme: Scheme) -> tuple[Installed, ...]:
    """Return the commands that `entry_points.txt` asks for."""
    try:
        points = {point[0]: Script(*point) for point in parse_entrypoints(text)}
    except (AssertionError, configparser.Error) as error:  # installer asserts that a point names a function
        raise ValueError("its entry_points.txt is malformed") from error
    if pip := points.get("pip"):  # its wheel is made by one Python and used by many; pip corrects this too
        points = {name: point for name, point in points.items() if not _PIP.fullmatch(name)}
        points |= dict.fromkeys(("pip", f"pip{scheme.python[0]}", f"pip{scheme.python}"), pip)
    if easy := points.get("easy_install"):  # likewise, until setuptools 51
        points = {name: point for name, point in points.items() if not _EASY_INSTALL.fullmatch(name)}
        points |= {"easy_install": easy, f"easy_install-{scheme.python}": easy}
    for name in points:
        if "/" in name or name in (".", "..") or name.startswith(WHITEOUT):
            raise ValueError(f"entry point {name!r} is not the name of a command")
    return tuple(
        Installed(f"{scheme.scripts}/{name}", 0o755, head=point.generate(scheme.interpreter, "posix")[1])
        for name, point in points.items()
    )


def _check_paths(paths: Sequence[str]) -> None:
    """Raise ValueError when two are one, or one is a directory of another."""
    files: set[str] = set()
    for path in paths:
        if path in files:
            raise ValueError(f"it writes {path} twice")
        files.add(path)
    directories = {posixpath.dirname(path) for path in paths}
    while directories:
        if both := sorted(directories & files):
            raise ValueError(f"it has {both[0]} both as a file and as a directory")
        directories = {posixpath.dirname(path) for path in directories} - {"/"}
