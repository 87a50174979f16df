"""Zip archives that say one thing in two places: refused, since each reader would see another archive.

A zip's central directory lists its files, and each file has a header of its own before its content. zipfile
believes the first, a reader of a stream the second. Source: PKWARE's APPNOTE.TXT, 4.3 and 4.5.
"""

from __future__ import annotations

import os
import struct
import zipfile
from collections.abc import Iterator
from itertools import pairwise

_LOCAL = struct.Struct("<4s5HL2L2H")  # 4.3.7, as far as the name
_END = struct.Struct("<4s4H2LH")  # 4.3.16
_END_64 = struct.Struct("<4sQ2H2L4Q")  # 4.3.14
_LOCATOR = struct.Struct("<4sLQL")  # 4.3.15
_BEGINS, _ENDS, _ENDS_64, _LOCATES = b"PK\x03\x04", b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x07"
_LATER, _UTF_8 = 0x8, 0x800  # flags: sizes follow the content; the name's encoding
_BIG, _UNICODE_PATH = 0x0001, 0x7075  # extra fields: zip64's sizes; another name (Info-ZIP)
_DESCRIPTORS = (0, 12, 16, 20, 24)  # lengths of what may follow a content
_LONGEST_COMMENT = 0xFFFF


def check(descriptor: int, archive: zipfile.ZipFile) -> None:
    """Raise ValueError where the open file and what zipfile read of it do not agree."""
    entries = archive.infolist()
    _check_end(descriptor, archive)
    if len({entry.filename for entry in entries}) != len(entries):
        seen: set[str] = set()
        twice = next(e.filename for e in entries if e.filename in seen or seen.add(e.filename))  # type: ignore[func-returns-value]
        raise ValueError(f"it has {twice!r} twice")
    in_place = sorted(entries, key=lambda entry: entry.header_offset)
    ends = [(0, 0), *((entry.header_offset, _checked(descriptor, entry)) for entry in in_place)]
    for (_, end), (begin, _) in pairwise([*ends, (archive.start_dir, archive.start_dir)]):
        if begin < end:
            raise ValueError("contents of its files overlap")
        gap = os.pread(descriptor, min(begin - end, _DESCRIPTORS[-1] + 4), end) if begin > end else b""
        if end == 0 and gap and entries:
            raise ValueError(f"its first file begins after {begin} other bytes")
        if any(gap[at : at + 4] == _BEGINS for at in _DESCRIPTORS):
            raise ValueError("it has a file that its directory does not list")


def _checked(descriptor: int, entry: zipfile.ZipInfo) -> int:
    """Return where the content of a file ends; ValueError where its own header says something else."""
    head = os.pread(descriptor, _LOCAL.size, entry.header_offset)
    if len(head) < _LOCAL.size or head[:4] != _BEGINS:
        raise ValueError(f"entry {entry.filename!r} has no local header")
    _, _, flags, method, _, _, crc, packed, size, names, extras = _LOCAL.unpack(head)
    rest = os.pread(descriptor, names + extras, entry.header_offset + _LOCAL.size)
    if len(rest) < names + extras:
        raise ValueError(f"entry {entry.filename!r} has no whole local header")
    encoding = "utf-8" if flags & _UTF_8 else "cp437"
    if rest[:names] != entry.orig_filename.encode(encoding, "replace"):
        other = rest[:names].decode(encoding, "replace")
        raise ValueError(f"entry {entry.filename!r} is named {other!r} in its own header")
    fields = dict(_extras(rest[names:]))
    for found in (fields, dict(_extras(entry.extra))):
        if found.get(_UNICODE_PATH, b"")[5:] not in {b"", entry.orig_filename.encode("utf-8", "replace")}:
            raise ValueError(f"entry {entry.filename!r} has another name beside that")
    if big := fields.get(_BIG):
        sizes = iter([big[at : at + 8] for at in range(0, len(big) - 7, 8)])
        size, packed = (_whole(value, sizes) for value in (size, packed))
    told = (method, crc, packed, size)
    known = (entry.compress_type, entry.CRC, entry.compress_size, entry.file_size)
    if told != known and not (flags & _LATER and method == known[0] and not any(told[1:])):
        raise ValueError(f"entry {entry.filename!r} has another size, checksum or method in its own header")
    return int(entry.header_offset + _LOCAL.size + names + extras + entry.compress_size)


def _whole(value: int, sizes: Iterator[bytes]) -> int:
    return int.from_bytes(next(sizes, b""), "little") if value == 0xFFFFFFFF else value


def _extras(data: bytes) -> Iterator[tuple[int, bytes]]:
    while len(data) >= 4:
        kind, length = struct.unpack_from("<HH", data)
        yield kind, data[4 : 4 + length]
        data = data[4 + length :]


def _check_end(descriptor: int, archive: zipfile.ZipFile) -> None:
    """Hold the end record against what it is the end of."""
    length = os.fstat(descriptor).st_size
    start = max(0, length - _END.size - _LONGEST_COMMENT)
    tail = os.pread(descriptor, length - start, start)
    ends = [at for at in _found(tail, _ENDS) if len(tail) - at >= _END.size]
    whole = [at for at in ends if at + _END.size + _END.unpack_from(tail, at)[-1] == len(tail)]
    if len(whole) != 1 or whole[0] != ends[-1]:
        raise ValueError("it has something after its end, or two ends")
    _, _, _, _, count, size, offset, _ = _END.unpack_from(tail, whole[0])
    place = start + whole[0]
    located = os.pread(descriptor, _LOCATOR.size, place - _LOCATOR.size) if place >= _LOCATOR.size else b""
    if located[:4] == _LOCATES:
        place = _LOCATOR.unpack(located)[2]
        record = os.pread(descriptor, _END_64.size, place)
        if len(record) < _END_64.size or record[:4] != _ENDS_64:
            raise ValueError("its zip64 end is not where it says")
        big = _END_64.unpack(record)[7:]
        if any(
            small not in (limit, wide)
            for small, limit, wide in zip(
                (count, size, offset), (0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF), big, strict=True
            )
        ):
            raise ValueError("its two ends do not agree")
        count, size, offset = big
    if (count, offset, offset + size) != (len(archive.infolist()), archive.start_dir, place):
        raise ValueError("its directory is not what its end says")


def _found(data: bytes, words: bytes) -> Iterator[int]:
    at = data.find(words)
    while at >= 0:
        yield at
        at = data.find(words, at + 1)
