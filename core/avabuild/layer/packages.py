"""Packages: what is installed in an image, by dpkg's own record and by Python's, read from its layers.

Source: deb-control(5) and dpkg's `status`; PyPA's "Recording installed projects" and core metadata.
"""

from __future__ import annotations

import posixpath
import re
import tarfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from email.parser import HeaderParser
from pathlib import Path
from typing import Literal

from packaging.utils import canonicalize_name

from avabuild.common import damage
from avabuild.common.errors import StoreError
from avabuild.common.tars import passing
from avabuild.common.value import Value
from avabuild.layer.facts import READ_AT_MOST
from avabuild.layer.merged import Merged, is_whiteout, plain
from avabuild.store import Store

FORMAT = 1
_STATUS = re.compile(r"var/lib/dpkg/(status|status\.d/[^/]+)")
_RELEASE = ("etc/os-release", "usr/lib/os-release")
_METADATA = re.compile(r".*\.(dist-info/METADATA|egg-info/PKG-INFO|egg-info)")
_OF_DEBIAN = re.compile(r"usr/lib/python[\d.]+/dist-packages/")  # in packages of dpkg, which names those


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer: the digest of its tar, and the file that has it, compressed or not."""

    diff_id: str
    path: Path


class Installed(Value):
    """One installed package.

    Attributes:
        kind: `deb` or `pypi`.
        name: as its own world writes it; `version` likewise.
        arch: of a deb.
        source: of a deb, the name of its source package where that is another.
        license: an SPDX expression where the package says one, else its own words, or empty.
        home: its web page, or empty.
        supplier: who made it, or empty.
    """

    kind: Literal["deb", "pypi"]
    name: str
    version: str
    arch: str = ""
    source: str = ""
    license: str = ""
    home: str = ""
    supplier: str = ""


class Contents(Value):
    """What is installed, by kind and name, and the distribution: os-release's ID and code name."""

    packages: tuple[Installed, ...]
    distribution: str = ""
    codename: str = ""


def read_packages(store: Store, layers: Sequence[Layer]) -> Contents:
    """Return what is installed in the image that `layers`, lowest first, make; each is read once, ever.

    Raises:
        StoreError: a layer is damaged.
    """
    return _installed(_texts(store, layer) for layer in layers)


def recorded_packages(store: Store, diff_ids: Iterable[str]) -> Contents | None:
    """Return the same of the layers with these diff IDs, lowest first; None unless all were read before."""
    texts = [_recorded(store, diff_id) for diff_id in diff_ids]
    return _installed(text for text in texts if text is not None) if None not in texts else None


def _installed(texts: Iterable[Mapping[str, str]]) -> Contents:
    """Return what the files of layers, lowest first, say is installed in the image that they make."""
    layered: Merged[str] = Merged(lambda _: False)
    for layer in texts:
        layered.add(layer.items())
    merged = dict(layered.items())
    release = _pairs(next((merged[name] for name in _RELEASE if name in merged), ""))
    return Contents(
        packages=tuple(sorted({*_debs(merged), *_python(merged)}, key=lambda p: (p.kind, p.name, p.version))),
        distribution=release.get("ID", ""),
        codename=release.get("VERSION_CODENAME", ""),
    )


def _recorded(store: Store, diff_id: str) -> dict[str, str] | None:
    """Return what `_texts` found in the layer before, None for a layer that was not read yet."""
    known = store.recall("contents", diff_id)
    if not isinstance(known, dict) or known.get("format") != FORMAT:
        return None
    return {str(name): str(text) for name, text in known["texts"].items()}


def _texts(store: Store, layer: Layer) -> dict[str, str]:
    """Return the files of one layer that tell of packages, and its whiteouts."""
    if (known := _recorded(store, layer.diff_id)) is not None:
        return known
    texts: dict[str, str] = {}
    left = 4 * READ_AT_MOST
    try:
        with passing(layer.path) as tar:
            for member in tar:
                name = plain(member.name)
                if is_whiteout(name):
                    texts[name] = ""
                elif member.isreg() and _tells(name):
                    file = tar.extractfile(member)
                    text = file.read(READ_AT_MOST).decode(errors="replace") if file else ""
                    texts[name] = text.partition("\n\n")[0] if _METADATA.fullmatch(name) else text
                    left -= len(texts[name])
                    if left < 0:
                        raise tarfile.ReadError("its lists of packages are longer than any image's")
    except damage.TAR as error:
        raise StoreError(f"a layer of the image is damaged: {error}", place=str(layer.path)) from error
    store.record("contents", layer.diff_id, {"format": FORMAT, "texts": texts})
    return texts


def _tells(name: str) -> bool:
    return bool(name in _RELEASE or _STATUS.fullmatch(name) or _METADATA.fullmatch(name))


def _pairs(text: str) -> dict[str, str]:
    pairs = (line.split("=", 1) for line in text.splitlines() if "=" in line)
    return {name.strip(): value.strip().strip("\"'") for name, value in pairs}


def _debs(files: Mapping[str, str]) -> Iterator[Installed]:
    for name, text in files.items():
        if not _STATUS.fullmatch(name):
            continue
        for fields in map(_fields, re.split(r"\n\s*\n", text)):
            installed = fields.get("status", "install ok installed").endswith(" installed")
            if installed and {"package", "version"} <= fields.keys():
                yield Installed(
                    kind="deb",
                    name=fields["package"],
                    version=fields["version"],
                    arch=fields.get("architecture", ""),
                    source=fields.get("source", "").partition(" ")[0],
                    home=fields.get("homepage", ""),
                    supplier=fields.get("maintainer", ""),
                )


def _fields(stanza: str) -> dict[str, str]:
    """Read a stanza's single-line fields, names in lower case; the lines that go on are left out."""
    lines = (line.split(":", 1) for line in stanza.splitlines() if ":" in line and not line[:1].isspace())
    return {name.strip().lower(): value.strip() for name, value in lines}


def _python(files: Mapping[str, str]) -> Iterator[Installed]:
    for name, text in files.items():
        if not _METADATA.fullmatch(name) or _OF_DEBIAN.match(name) or not _is_top(name):
            continue
        said = HeaderParser().parsestr(text)
        if said["Name"] and said["Version"]:
            yield Installed(
                kind="pypi",
                name=canonicalize_name(str(said["Name"])),
                version=str(said["Version"]),
                license=_license(said.get("License-Expression"), said.get("License")),
                home=str(said.get("Home-page") or _page(said.get_all("Project-URL") or ())),
                supplier=str(said.get("Author") or ""),
            )


def _is_top(name: str) -> bool:
    """Whether it stands in a directory of modules, rather than inside of another package."""
    directory = name.rpartition(".dist-info/")[0] or name.rpartition(".egg-info")[0]
    return posixpath.basename(posixpath.dirname(directory)) in {"site-packages", "dist-packages"}


def _license(expression: str | None, words: str | None) -> str:
    """Return the expression, else what old metadata says when that is a word or two and not a whole text."""
    text = " ".join(str(expression or words or "").split())
    return text if len(text) <= 80 and text.lower() != "unknown" else ""


def _page(urls: Iterable[str]) -> str:
    pairs = [url.partition(",") for url in urls]
    named = {name.strip().lower(): url.strip() for name, _, url in pairs}
    return next((named[name] for name in ("homepage", "home", "source", "repository") if name in named), "")
