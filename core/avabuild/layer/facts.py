"""Facts: what a base's files say of it: distribution, C library, interpreters. Read from the layers' tars."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from avabuild.common import damage
from avabuild.common.errors import StoreError
from avabuild.common.tars import Bounds, passing
from avabuild.common.value import Value
from avabuild.layer.merged import Merged, plain

# What a fresh Debian will turn out to hold: lets a plan be made before the base is.
_DEBIAN: dict[str, tuple[str, tuple[str, ...]]] = {
    "bullseye": ("2.31", ("3.9", "2.7")),
    "bookworm": ("2.36", ("3.11",)),
    "trixie": ("2.41", ("3.13",)),
}
# Ubuntu comes as an image. By number, as images are tagged: its code name, and what its packages offer.
_UBUNTU: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "16.04": ("xenial", "2.23", ("3.5", "2.7")),
    "18.04": ("bionic", "2.27", ("3.6", "2.7")),
    "20.04": ("focal", "2.31", ("3.8",)),
    "22.04": ("jammy", "2.35", ("3.10",)),
    "24.04": ("noble", "2.39", ("3.12",)),
}
# How images of others name what they stand on: ubuntu:22.04, debian:12-slim, cuda:12.4-ubuntu22.04, x:jammy
_NUMBERED = re.compile(r"(?<![a-z])(ubuntu|debian)[:-]?(\d\d(?:\.\d\d)?)(?![\d.])")
_DEBIANS = {"11": "bullseye", "12": "bookworm", "13": "trixie"}
_INTERPRETED = re.compile(r"(?:^|/)python:(\d\.\d+)(?![\d])")
_PYTHON = re.compile(r"python(\d\.\d+)")
_HOMES = ("usr/bin", "usr/local/bin")  # of interpreters; the last one with it counts
_PROGRAMS = ("bin", "usr/bin")  # where programs are that tell for which machine the base is
_LIBC = re.compile(r"libc-(\d+\.\d+)\.so")
_INTERPRETER = re.compile(
    r"^Package: python(\d\.\d+)-minimal\n(?:.+\n)*?Version: (\d+\.\d+\.\d+)", re.MULTILINE
)
_READ = ("etc/os-release", "usr/lib/os-release", "var/lib/dpkg/status")
_OLDEST = "2.17"
READ_AT_MOST = 64 << 20  # bytes of a file of a base that is read into memory
_HOPS = 40  # links on one path, as Linux allows (path_resolution(7))
# e_machine of ELF headers, elf(5), by the names that image configs have (GOARCH)
_MACHINES = {3: "386", 8: "mips", 20: "ppc", 21: "ppc64le", 22: "s390x", 40: "arm", 62: "amd64", 183: "arm64",
             243: "riscv64", 258: "loong64"}  # fmt: skip


class Facts(Value):
    """What can be built on a base.

    Attributes:
        distribution: os-release's VERSION_CODENAME, else ID, else `unknown`.
        glibc: `MAJOR.MINOR`; the oldest that wheels are made for when unknown.
        pythons: `MAJOR.MINOR` and absolute path of every interpreter.
        patches: `MAJOR.MINOR` and whole version of those that Debian packages brought.
        apt: whether Debian packages can be installed.
        installable: the Pythons that the distribution's packages offer, its own `python3` first.
        closed: `MAJOR.MINOR` of interpreters that only root may use, and why.
        arch: the machine that it is for, as image configs name it; empty where nothing says.
        format: of these facts: what an avabuild that knew others wrote down is not believed.
    """

    distribution: str = "unknown"
    glibc: str = _OLDEST
    pythons: tuple[tuple[str, str], ...] = ()
    patches: tuple[tuple[str, str], ...] = ()
    apt: bool = False
    installable: tuple[str, ...] = ()
    closed: tuple[tuple[str, str], ...] = ()
    arch: str = ""
    format: Literal[2] = 2

    def interpreter(self, python: str) -> str | None:
        """Return the path of the interpreter of `python`, there already or to be installed; else None."""
        found = dict(self.pythons).get(python)
        if found is None and python in self.installable:
            return f"/usr/bin/python{python}"
        return found

    @property
    def offered(self) -> tuple[str, ...]:
        """Every Python that an image on this base can have, the one that is there first."""
        names = [name for name, _ in self.pythons]
        return tuple(dict.fromkeys([*names, *self.installable]))


def assumed(suite: str) -> Facts:
    """Return the facts of a Debian release that is yet to be bootstrapped."""
    glibc, pythons = _DEBIAN[suite]
    return Facts(distribution=suite, glibc=glibc, apt=True, installable=pythons)


def assumed_image(reference: str) -> Facts | None:
    """Return what an image that can't be had will hold, by its name; None where that does not tell.

    The name tells by a Debian or Ubuntu in it, by number or code name; images of Python say whose that is.
    """
    name = reference.partition("@")[0].lower()
    facts = _assumed_release(name)
    if facts and (found := _INTERPRETED.search(name)):
        pythons = ((found[1], f"/usr/local/bin/python{found[1]}"),)
        return facts.model_copy(update={"pythons": pythons})
    return facts


def _assumed_release(name: str) -> Facts | None:
    found = _NUMBERED.search(name)
    number = found[2] if found else ""
    suite = _DEBIANS.get(number, "") if found and found[1] == "debian" else ""
    words = re.split(r"[^a-z]+", name)
    suite = suite or next((suite for suite in _DEBIAN if suite in words), "")
    if suite:
        return assumed(suite)
    for version, (codename, glibc, pythons) in _UBUNTU.items():
        if codename in words or (found and found[1] == "ubuntu" and number == version):
            return Facts(distribution=codename, glibc=glibc, apt=True, installable=pythons)
    return None


def is_debian(distribution: str) -> bool:
    """Whether the code name is one of Debian's releases."""
    return distribution in _DEBIAN


def releases_with(python: str) -> tuple[str, ...]:
    """Return the code names of the Debian releases whose packages offer `python`."""
    return tuple(suite for suite, (_, pythons) in _DEBIAN.items() if python in pythons)


def homes() -> dict[str, tuple[str, ...]]:
    """Return the Debian releases that a recipe can name, newest first, with the Pythons that each one has."""
    return {suite: pythons for suite, (_, pythons) in reversed(_DEBIAN.items())}


def read_facts(layers: Iterable[Path]) -> Facts:
    """Return the facts of the file system that the layer blobs `layers`, lowest first, make.

    Raises StoreError for a layer that is damaged.
    """
    try:
        return _read_facts(layers)
    except damage.TAR as error:
        raise StoreError(
            f"a layer of the base is damaged: {error}", hint="fetch or make the base again"
        ) from error


@dataclass(frozen=True, slots=True)
class _Entry:
    """What a layer has of one name; `text` of a file that is read, `machine` of a program."""

    kind: Literal["directory", "file", "link", "other"]
    mode: int = 0o755
    link: str = ""
    text: str = ""
    machine: str = ""


@dataclass(frozen=True, slots=True)
class _Found:
    """Where a path leads: a name without links, what is there, and why others than root can't go there."""

    name: str
    entry: _Entry
    why: str


def _read_facts(layers: Iterable[Path]) -> Facts:
    merged: Merged[_Entry] = Merged(lambda entry: entry.kind == "directory")
    bounds = Bounds()
    for layer in layers:
        merged.add(_entries(layer, bounds))
    release = _os_release(_text(merged, "etc/os-release") or _text(merged, "usr/lib/os-release"))
    distribution = release.get("VERSION_CODENAME") or release.get("ID") or "unknown"
    apt = _follow(merged, "usr/bin/apt-get") is not None
    status = _text(merged, "var/lib/dpkg/status")
    packaged = re.search(r"^Package: libc6\n(?:.+\n)*?Version: (\d+\.\d+)", status, re.MULTILINE)
    found = [(name, _LIBC.fullmatch(name.rpartition("/")[2])) for name, _ in merged.items()]
    glibcs = sorted((match[1] for _, match in found if match), key=_order)
    pythons, closed = _pythons(merged)
    return Facts(
        distribution=distribution,
        glibc=packaged[1] if packaged else glibcs[-1] if glibcs else _OLDEST,
        pythons=pythons,
        patches=tuple(_INTERPRETER.findall(status)),
        apt=apt,
        installable=_packaged(release.get("ID"), distribution) if apt else (),
        closed=closed,
        arch=_machine(merged),
    )


def _entries(layer: Path, bounds: Bounds) -> Iterator[tuple[str, _Entry]]:
    """Yield what one layer has, its whiteouts among it."""
    seen: dict[str, _Entry] = {}
    with passing(layer, bounds) as tar:
        for member in tar:
            name, mode = plain(member.name), member.mode & 0o7777
            entry = _Entry("other", mode)
            if member.isdir():
                entry = _Entry("directory", mode)
            elif member.issym():
                entry = _Entry("link", link=member.linkname)
            elif member.islnk():
                entry = seen.get(plain(member.linkname), _Entry("file", mode))
            elif member.isreg():
                file = tar.extractfile(member) if name in _READ else None
                text = file.read(READ_AT_MOST).decode(errors="replace") if file else ""
                machine = ""
                if name.rpartition("/")[0] in _PROGRAMS and (program := tar.extractfile(member)):
                    machine = _machine_of(program.read(20))
                entry = _Entry("file", mode, text=text, machine=machine)
            if entry.kind == "file":
                seen[name] = entry
            yield name, entry


def _machine_of(header: bytes) -> str:
    """Return the machine that an ELF header names, else nothing."""
    if len(header) < 20 or not header.startswith(b"\x7fELF"):
        return ""
    (number,) = struct.unpack_from("<H" if header[5] == 1 else ">H", header, 18)
    return _MACHINES.get(number, "")


def _machine(merged: Merged[_Entry]) -> str:
    """Return the machine that most of the base's programs are for."""
    entries = (merged.get(f"{place}/{name}") for place in _PROGRAMS for name in merged.names(place))
    machines = [entry.machine for entry in entries if entry and entry.machine]
    return max(sorted(set(machines)), key=machines.count, default="")


def _text(merged: Merged[_Entry], path: str) -> str:
    found = _follow(merged, path)
    return found.entry.text if found else ""


def _pythons(merged: Merged[_Entry]) -> tuple[tuple[tuple[str, str], ...], tuple[tuple[str, str], ...]]:
    """Return the interpreters that anybody may use, newest first, and those that only root may, with why."""
    usable, closed = dict[str, str](), dict[str, str]()
    for home in _HOMES:
        place = _follow(merged, home)
        for name in merged.names(place.name) if place else ():
            found = _PYTHON.fullmatch(name) and _follow(merged, f"{home}/{name}")
            if not found or found.entry.kind != "file":
                continue
            python, path = name.removeprefix("python"), f"/{home}/{name}"
            why = found.why or ("" if found.entry.mode & 0o5 else f"/{found.name} is its owner's alone")
            if why:
                closed[python] = why if path == f"/{found.name}" else f"{path} leads to /{found.name}: {why}"
            else:
                usable[python] = path
    for python in usable:
        closed.pop(python, None)
    return _newest_first(usable), _newest_first(closed)


def _newest_first(pairs: dict[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(pairs.items(), key=lambda item: _order(item[0]), reverse=True))


def _follow(merged: Merged[_Entry], path: str) -> _Found | None:
    """Return where a path leads, links followed; None where nothing is there."""
    left, done, why = path.split("/"), list[str](), ""
    for _ in range(_HOPS + len(left) * _HOPS):
        if not left:
            name = "/".join(done)
            return _Found(name, merged.get(name) or _Entry("directory"), why) if merged.has(name) else None
        part = left.pop(0)
        if part in {"", "."}:
            continue
        if part == "..":
            done = done[:-1]
            continue
        entry = merged.get("/".join([*done, part]))
        if entry and entry.kind == "link":
            done = [] if entry.link.startswith("/") else done
            left = [*entry.link.split("/"), *left]
            continue
        done.append(part)
        if left and entry and not entry.mode & 0o1:
            why = why or f"/{'/'.join(done)} lets only its owner in"
    return None


def _packaged(system: str | None, codename: str) -> tuple[str, ...]:
    """Return the Pythons that the packages of a release offer."""
    if system == "debian":
        return _DEBIAN.get(codename, ("", ()))[1]
    return next(
        (pythons for name, _, pythons in _UBUNTU.values() if system == "ubuntu" and name == codename), ()
    )


def _order(python: str) -> tuple[int, ...]:
    return tuple(int(part) for part in python.split("."))


def _os_release(text: str) -> dict[str, str]:
    """Read os-release(5): NAME=value lines, values maybe quoted."""
    pairs = (line.split("=", 1) for line in text.splitlines() if "=" in line and not line.startswith("#"))
    return {name.strip(): value.strip().strip("\"'") for name, value in pairs}
