"""Facts: what a base's files say of it: distribution, C library, interpreters. Read from the layers' tars."""

from __future__ import annotations

import gzip
import io
import lzma
import re
import tarfile
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO, cast

import zstandard
from isal import igzip

from avabuild.errors import StoreError
from avabuild.value import Value

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
_TAGGED = re.compile(r"(?:^|/)ubuntu:(\d\d\.\d\d)$|ubuntu-?(\d\d\.\d\d)$")
_PYTHON = re.compile(r"(usr|usr/local)/bin/python(\d\.\d+)")
_LIBC = re.compile(r"(^|.*/)libc-(\d+\.\d+)\.so$")
_INTERPRETER = re.compile(
    r"^Package: python(\d\.\d+)-minimal\n(?:.+\n)*?Version: (\d+\.\d+\.\d+)", re.MULTILINE
)
_READ = ("etc/os-release", "usr/lib/os-release", "var/lib/dpkg/status")
_OLDEST = "2.17"
# What reading a damaged layer may raise.
DAMAGE = (
    tarfile.TarError,
    EOFError,
    zlib.error,
    lzma.LZMAError,
    zstandard.ZstdError,
    gzip.BadGzipFile,
    ValueError,
)


class Facts(Value):
    """What can be built on a base.

    Attributes:
        distribution: os-release's VERSION_CODENAME, else ID, else `unknown`.
        glibc: `MAJOR.MINOR`; the oldest that wheels are made for when unknown.
        pythons: `MAJOR.MINOR` and absolute path of every interpreter.
        patches: `MAJOR.MINOR` and whole version of those that Debian packages brought.
        apt: whether Debian packages can be installed.
        installable: the Pythons that the distribution's packages offer, its own `python3` first.
    """

    distribution: str = "unknown"
    glibc: str = _OLDEST
    pythons: tuple[tuple[str, str], ...] = ()
    patches: tuple[tuple[str, str], ...] = ()
    apt: bool = False
    installable: tuple[str, ...] = ()

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
    """Return what an image that can't be had will hold, by the Ubuntu of its tag; None without one."""
    found = _TAGGED.search(reference.partition("@")[0])
    known = _UBUNTU.get(found[1] or found[2]) if found else None
    if known is None:
        return None
    name, glibc, pythons = known
    return Facts(distribution=name, glibc=glibc, apt=True, installable=pythons)


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
    except DAMAGE as error:
        raise StoreError(
            f"a layer of the base is damaged: {error}", hint="fetch or make the base again"
        ) from error


def _read_facts(layers: Iterable[Path]) -> Facts:
    texts: dict[str, str] = {}
    pythons: dict[str, str] = {}
    glibc = None
    apt = False
    for layer in layers:
        with opened(layer) as raw, tarfile.open(fileobj=raw, mode="r|") as tar:
            for member in tar:
                name = member.name.removeprefix("./").lstrip("/")
                if name in _READ and member.isreg():
                    file = tar.extractfile(member)
                    texts[name] = file.read().decode(errors="replace") if file else ""
                if found := _PYTHON.fullmatch(name):
                    pythons[found[2]] = f"/{name}"
                if found := _LIBC.match(name):
                    glibc = found[2]
                apt = apt or name == "usr/bin/apt-get"
    release = _os_release(texts.get("etc/os-release") or texts.get("usr/lib/os-release") or "")
    distribution = release.get("VERSION_CODENAME") or release.get("ID") or "unknown"
    offered = _packaged(release.get("ID"), distribution) if apt else ()
    status = texts.get("var/lib/dpkg/status", "")
    packaged = re.search(
        r"^Package: libc6\n(?:.+\n)*?Version: (\d+\.\d+)", texts.get("var/lib/dpkg/status", ""), re.MULTILINE
    )
    return Facts(
        distribution=distribution,
        glibc=packaged[1] if packaged else glibc or _OLDEST,
        pythons=tuple(sorted(pythons.items(), key=lambda item: _order(item[0]), reverse=True)),
        patches=tuple(_INTERPRETER.findall(status)),
        apt=apt,
        installable=offered,
    )


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


def opened(path: Path) -> BinaryIO:
    """Open a tar for reading, whatever its compression: gzip, zstd, xz or none."""
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
