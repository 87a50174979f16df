"""Elf: what a shared object or program says of its linkage, gathered from its bytes as they pass.

A file may have a gigabyte, and comes as a stream. Only its beginning is kept, and what pyelftools asks for
further on; what has passed by the time it is asked for is read in another pass over the file.

Source: System V ABI (gABI), "Dynamic Section".
"""

from __future__ import annotations

import io
from dataclasses import dataclass

from elftools.common.exceptions import ELFError
from elftools.construct import ConstructError
from elftools.elf.dynamic import DynamicSegment
from elftools.elf.elffile import ELFFile

MAGIC = b"\x7fELF"
KEPT = 32 << 20  # bytes of a file's beginning: in all but the biggest libraries the names are there
_HEADERS = 64 << 10  # bytes after which it is asked where the rest is
_MORE = 4096  # bytes taken around what is asked for: a dynamic section, a name, a search path

Range = tuple[int, int]  # of bytes: the first, and the one behind the last


@dataclass(frozen=True, slots=True)
class Elf:
    """A dynamically linked file.

    Attributes:
        machine: what it runs on, with the bits of its addresses: `EM_X86_64/64`.
        soname: its own name, or empty.
        needed: the sonames that it asks the loader for.
        rpath: directories, `:` between, for what it and its dependencies need.
        runpath: directories for what it needs itself; where there is one, `rpath` is not looked at.
        size: bytes of the file.
    """

    machine: str
    soname: str = ""
    needed: tuple[str, ...] = ()
    rpath: str = ""
    runpath: str = ""
    size: int = 0


class _Pieces(io.BytesIO):
    """A file of which some ranges are there. What else is read is zeros, and noted in `absent`."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self._size = size
        self._at = 0
        self._pieces: list[tuple[int, bytearray]] = []
        self.absent: list[Range] = []

    def keep(self, start: int, data: bytes | memoryview) -> None:
        """Add a range; ranges come in the order of the file."""
        last = self._pieces[-1] if self._pieces else None
        if last and last[0] + len(last[1]) == start:
            last[1].extend(data)
        else:
            self._pieces.append((start, bytearray(data)))

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        return self._at

    def tell(self) -> int:
        return self._at

    def read(self, size: int | None = -1) -> bytes:
        size = max(0, min(size if size is not None and size >= 0 else self._size, self._size - self._at))
        at, first = self._at, self._at
        self._at += size
        for start, data in self._pieces:
            if start <= at < start + len(data):
                found = bytes(data[at - start : at - start + size])
                if len(found) == size:
                    return found
                first = at + len(found)
        if size:
            self.absent.append((first, min(first + _MORE, self._size)))
        return bytes(size)


class Reader:
    """Takes the bytes of a file in order, as many as it `wants`.

    Args:
        size: of the whole file.
        ranges: what to keep besides the beginning: the `lacks` of a first pass.

    Attributes:
        elf: what the file says; None for one that is damaged, static or not read yet.
        lacks: ranges that have passed without being kept: they take another pass.
    """

    def __init__(self, size: int, ranges: tuple[Range, ...] = ()) -> None:
        self._size = size
        self._pieces = _Pieces(size)
        self._wanted: list[Range] = [(0, min(size, KEPT)), *ranges]
        self._at = 0
        self._again = min(size, max(_HEADERS, *(end for _, end in ranges))) if ranges else min(size, _HEADERS)
        self.elf: Elf | None = None
        self.lacks: tuple[Range, ...] = ()

    @property
    def wants(self) -> bool:
        """Whether more bytes can tell anything."""
        return self._again > self._at

    def feed(self, data: bytes) -> None:
        """Take the next bytes."""
        start, end, view = self._at, self._at + len(data), memoryview(data)
        reading = end >= self._again > 0
        # When a question is due, what it is asked of is all in hand: names are often just behind it.
        for low, high in [(start, end)] if reading else sorted(self._wanted):
            low, high = max(low, start), min(high, end)  # noqa: PLW2901 - what of the range is here
            if low < high:
                self._pieces.keep(low, view[low - start : high - start])
                start_of_rest = high
                view, start = view[start_of_rest - start :], start_of_rest
        self._at = end
        if reading:
            self._again = 0
            self._read()

    def _read(self) -> None:
        self._pieces.absent = []
        try:
            elf = _elf(self._pieces, self._size)
        except (ELFError, ConstructError, ValueError, TypeError, AssertionError, LookupError):
            elf = None
        absent = self._pieces.absent
        behind = [wanted for wanted in absent if wanted[0] < self._at]
        self.lacks = tuple(sorted({*behind, *self._wanted[1:]})) if behind else ()
        ahead = [wanted for wanted in absent if wanted[0] >= self._at]
        if ahead:
            self._wanted += ahead
            self._again = max(end for _, end in ahead)
        elif not absent:
            self.elf = elf


def _elf(file: _Pieces, size: int) -> Elf | None:
    """Read what `file` says; None for a program that no loader links."""
    read = ELFFile(file)
    read.header["e_shoff"] = read.header["e_shnum"] = 0  # sections are for linkers, and behind everything
    found: dict[str, list[str]] = {}
    dynamic = False
    for segment in read.iter_segments("PT_DYNAMIC"):
        dynamic = True
        assert isinstance(segment, DynamicSegment)  # noqa: S101 - of its type there is no other
        for tag in segment.iter_tags():
            for name in ("needed", "soname", "rpath", "runpath"):
                if tag.entry.d_tag == f"DT_{name.upper()}":
                    found.setdefault(name, []).append(getattr(tag, name))
    if not dynamic:
        return None
    return Elf(
        machine=f"{read['e_machine']}/{read.elfclass}",
        soname="".join(found.get("soname", [])),
        needed=tuple(found.get("needed", ())),
        rpath=":".join(found.get("rpath", ())),
        runpath=":".join(found.get("runpath", ())),
        size=size,
    )
