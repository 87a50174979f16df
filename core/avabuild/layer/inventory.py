"""Inventory: what one layer says of linkage: its ELF files, links, removals and Python distributions.

It is gathered from the tar as a stream, once per layer: nothing is unpacked, and of a big file no more is in
memory than its beginning.
"""

from __future__ import annotations

import csv
import posixpath
import tarfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from email.parser import HeaderParser
from pathlib import Path
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from avabuild.common.tars import passing
from avabuild.layer.blob import OPAQUE
from avabuild.layer.elf import MAGIC, Elf, Range, Reader
from avabuild.layer.merged import is_whiteout
from avabuild.plugins.kinds import WHITEOUT
from avabuild.store import Store
from avabuild.store.blob import Blob

FORMAT = 1
_CHUNK = 1 << 20
_PASSES = 3  # more can't come of a file that a linker wrote
_TEXT = (".py", ".pyc", ".pyi", ".txt", ".h", ".hpp", ".js", ".json", ".map", ".html", ".css", ".svg", ".md",
         ".a", ".o", ".gz", ".xz", ".png", ".proto", ".pxd", ".pyx", ".typed", ".yaml", ".list")  # fmt: skip
_HEADERS = 52  # bytes of the smallest ELF header


@dataclass(frozen=True, slots=True)
class Distribution:
    """An installed Python distribution: normalised name, version, names that it requires, its ELF files."""

    name: str
    version: str
    requires: tuple[str, ...] = ()
    files: tuple[str, ...] = ()


@dataclass
class Inventory:
    """What a layer holds; names are relative to the root, without a leading slash.

    Attributes:
        elves: ELF files that a loader links.
        links: symbolic links with their texts; hard links with an absolute one.
        gone: what the layer removes of those below; a trailing `/` leaves the directory itself.
        search: the texts of `ld.so.conf` and its parts.
        metadata: METADATA of distributions, by `.dist-info` directory: name, version, requires.
        records: the shared objects that RECORD names, by `.dist-info` directory.
    """

    elves: dict[str, Elf] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)
    gone: list[str] = field(default_factory=list)
    search: dict[str, str] = field(default_factory=dict)
    metadata: dict[str, tuple[str, str, tuple[str, ...]]] = field(default_factory=dict)
    records: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def dump(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {"format": FORMAT, **asdict(self), "elves": {n: list(_row(e)) for n, e in self.elves.items()}}

    @classmethod
    def load(cls, data: Any) -> Inventory | None:
        """Read what `dump` gave; None for anything else."""
        try:
            if data["format"] != FORMAT:
                return None
            return cls(
                elves={
                    name: Elf(machine, soname, tuple(needed), rpath, runpath, size)
                    for name, (machine, soname, needed, rpath, runpath, size) in data["elves"].items()
                },
                links=data["links"],
                gone=data["gone"],
                search=data["search"],
                metadata={d: (name, v, tuple(r)) for d, (name, v, r) in data["metadata"].items()},
                records={directory: tuple(names) for directory, names in data["records"].items()},
            )
        except (LookupError, TypeError, ValueError, AttributeError):
            return None


def _row(elf: Elf) -> tuple[str, str, tuple[str, ...], str, str, int]:
    return elf.machine, elf.soname, elf.needed, elf.rpath, elf.runpath, elf.size


class Collector:
    """Takes a tar's entries one after the other: `begin`, `feed` with the content in order, `end`.

    Args:
        ranges: what a first pass lacked, by name: only those files are read then.
    """

    def __init__(self, ranges: Mapping[str, tuple[Range, ...]] | None = None) -> None:
        self.inventory = Inventory()
        self.lacks: dict[str, tuple[Range, ...]] = {}
        self._ranges = ranges
        self._name = ""
        self._size = 0
        self._reader: Reader | None = None
        self._head: bytearray | None = None
        self._text: bytearray | None = None

    def begin(self, info: tarfile.TarInfo) -> None:
        """Take an entry's header."""
        self._name = info.name.removeprefix("./").strip("/")
        self._size = info.size
        self._reader = self._head = self._text = None
        if not info.isreg():
            self._other(info)
        elif self._ranges is not None:
            if self._name in self._ranges:
                self._reader = Reader(info.size, self._ranges[self._name])
        elif _is_text(self._name):
            self._text = bytearray()
        elif self._size >= _HEADERS and not self._name.endswith(_TEXT):
            self._head = bytearray()
        if info.isreg() and is_whiteout(self._name):
            self._removal()

    @property
    def wants(self) -> bool:
        """Whether more of this entry's content can tell anything."""
        if self._reader:
            return self._reader.wants
        return self._head is not None or self._text is not None

    def feed(self, data: bytes) -> None:
        """Take the next bytes of the entry's content."""
        if self._text is not None:
            self._text.extend(data)
        elif self._head is not None:
            self._head.extend(data)
            if len(self._head) >= len(MAGIC):
                if self._head.startswith(MAGIC):
                    self._reader = Reader(self._size)
                    self._reader.feed(bytes(self._head))
                self._head = None
        elif self._reader and self._reader.wants:
            self._reader.feed(data)

    def end(self) -> None:
        """Take note that the entry is complete, or that the rest of it can tell nothing."""
        if self._reader:
            if self._reader.elf:
                self.inventory.elves[self._name] = self._reader.elf
            elif self._reader.lacks:
                self.lacks[self._name] = self._reader.lacks
        elif self._text is not None:
            self._read_text(self._text.decode("utf-8", "replace"))
        self._reader = self._head = self._text = None

    def _other(self, info: tarfile.TarInfo) -> None:
        if info.issym():
            self.inventory.links[self._name] = info.linkname
        elif info.islnk():
            self.inventory.links[self._name] = "/" + info.linkname.removeprefix("./").lstrip("/")

    def _removal(self) -> None:
        head, _, last = self._name.rpartition("/")
        gone = f"{head}/" if last == OPAQUE else posixpath.join(head, last.removeprefix(WHITEOUT))
        self.inventory.gone.append(gone)
        self._head = self._text = None

    def _read_text(self, text: str) -> None:
        directory, _, last = self._name.rpartition("/")
        if last == "METADATA":
            self.inventory.metadata[directory] = _metadata(text)
        elif last == "RECORD":
            site = posixpath.dirname(directory)
            paths = (row[0] for row in csv.reader(line for line in text.splitlines() if ".so" in line) if row)
            found = (posixpath.normpath(posixpath.join(site, path)) for path in paths)
            self.inventory.records[directory] = tuple(found)
        else:
            self.inventory.search[self._name] = text


def _is_text(name: str) -> bool:
    if name.endswith((".dist-info/METADATA", ".dist-info/RECORD")):
        return True
    return name == "etc/ld.so.conf" or (name.startswith("etc/ld.so.conf.d/") and name.endswith(".conf"))


def _metadata(text: str) -> tuple[str, str, tuple[str, ...]]:
    """Read the core metadata's name, version and requirements, whatever their markers."""
    read = HeaderParser().parsestr(text.partition("\n\n")[0])
    requires = []
    for line in read.get_all("Requires-Dist") or []:
        try:
            requires.append(canonicalize_name(Requirement(line).name))
        except InvalidRequirement:
            continue
    name = canonicalize_name(str(read.get("Name") or ""))
    return name, str(read.get("Version") or ""), tuple(dict.fromkeys(requires))


def scan(blob: Path) -> Inventory:
    """Return the inventory of the layer in the file `blob`, whatever its compression."""
    collector = _pass(blob, Collector())
    for _ in range(_PASSES):
        if not collector.lacks:
            break
        again = _pass(blob, Collector(collector.lacks))
        collector.inventory.elves.update(again.inventory.elves)
        collector.lacks = again.lacks
    return collector.inventory


def _pass(blob: Path, collector: Collector) -> Collector:
    with passing(blob) as tar:
        for member in tar:
            collector.begin(member)
            file = tar.extractfile(member) if collector.wants and member.isreg() else None
            while file and collector.wants and (data := file.read(_CHUNK)):
                collector.feed(data)
            collector.end()
    return collector


def inventory(store: Store, blob: Blob) -> Inventory:
    """Return the inventory of a layer of the store; each is read once, ever."""
    if known := Inventory.load(store.recall("linkage", blob.digest)):
        return known
    with store.lock("linkage", blob.digest):
        if known := Inventory.load(store.recall("linkage", blob.digest)):
            return known
        known = scan(store.blob_path(blob.digest))
        store.record("linkage", blob.digest, known.dump())
        return known


def keep_inventory(store: Store, blob: Blob, collector: Collector) -> None:
    """Remember what `collector` saw of a layer while it was written, when that is all there is to know."""
    if not collector.lacks:
        store.record("linkage", blob.digest, collector.inventory.dump())


def distributions(layers: Iterable[Inventory]) -> tuple[Distribution, ...]:
    """Return the distributions that layers hold together, later ones over earlier ones."""
    metadata: dict[str, tuple[str, str, Sequence[str]]] = {}
    records: dict[str, tuple[str, ...]] = {}
    for layer in layers:
        for directory in [one for one in metadata if _is_gone(f"{one}/METADATA", layer.gone)]:
            del metadata[directory]
        metadata.update(layer.metadata)
        records.update(layer.records)
    return tuple(
        Distribution(name, version, tuple(requires), records.get(directory, ()))
        for directory, (name, version, requires) in metadata.items()
    )


def _is_gone(name: str, gone: Iterable[str]) -> bool:
    """Whether a layer that removes `gone` removes the file `name` of those below it."""
    return any(name == one or name.startswith(one if one.endswith("/") else f"{one}/") for one in gone)
