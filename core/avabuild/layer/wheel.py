"""Wheels as file layers: the layer that holds several wheels, and what two of them would both write.

The result is what `pip install --no-compile` leaves on disk (packaging.python.org: the binary distribution
format, recording installed projects), but no file is unpacked on the way: see `avabuild.layer.blob`.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from packaging.utils import canonicalize_name

from avabuild.layer.blob import BlobWriter, Compression, Watch
from avabuild.layer.installed import Installed, OpenWheel, opened
from avabuild.layer.scheme import Scheme
from avabuild.layer.standing import Standing
from avabuild.store.blob import Blob

__all__ = ["FORMAT", "Scheme", "copy_files", "modules", "overlapping", "paths", "write_wheels"]

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


def paths(wheel: Path, scheme: Scheme) -> frozenset[str]:
    """Return the absolute path of every file that `wheel` installs; WheelError for an unusable wheel."""
    with opened(wheel, scheme) as source:
        return frozenset(item.path for item in (*source.files(), source.metadata("RECORD")))


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
