"""Wheels and layers made in memory, for the tests of file layers."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import zstandard

Files = dict[str, tuple[int, bytes]]


def digest(data: bytes) -> str:
    return "sha256=" + base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip("=")


def write_wheel(
    directory: Path,
    files: Mapping[str, bytes],
    *,
    name: str = "demo-1.0-py3-none-any.whl",
    modes: Mapping[str, int] | None = None,
    stored: tuple[str, ...] = (),
    unrecorded: tuple[str, ...] = (),
    replace: Mapping[str, bytes | None] | None = None,
) -> Path:
    """Write a wheel with `files`; `replace` overrides its own metadata (None leaves a file out)."""
    stem = "-".join(name.split("-")[:2])
    everything = {
        **files,
        f"{stem}.dist-info/METADATA": b"Metadata-Version: 2.1\nName: demo\nVersion: 1.0\n",
        f"{stem}.dist-info/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    rows = [
        f'"{path}",{digest(data)},{len(data)}' for path, data in everything.items() if path not in unrecorded
    ]
    everything[f"{stem}.dist-info/RECORD"] = "\n".join([*rows, f"{stem}.dist-info/RECORD,,"]).encode()
    for path, data in (replace or {}).items():
        everything.pop(path, None)
        if data is not None:
            everything[path] = data
    with zipfile.ZipFile(directory / name, "w") as archive:
        for path, data in everything.items():
            entry = zipfile.ZipInfo(path, (2020, 2, 2, 2, 2, 2))
            entry.external_attr = (0o100000 | (modes or {}).get(path, 0o644)) << 16
            entry.compress_type = zipfile.ZIP_STORED if path in stored else zipfile.ZIP_DEFLATED
            archive.writestr(entry, data)
    return directory / name


def unpack(layer: Path) -> list[tuple[tarfile.TarInfo, bytes]]:
    """Return every entry of a layer in its order, with the content of files."""
    packed = layer.read_bytes()
    if packed[:2] == b"\x1f\x8b":
        data = gzip.decompress(packed)
    else:
        data = zstandard.ZstdDecompressor().stream_reader(packed).read()
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return [(info, tar.extractfile(info).read() if info.isfile() else b"") for info in tar.getmembers()]  # type: ignore[union-attr]


@pytest.fixture(scope="session")
def make_wheel() -> Callable[..., Path]:
    return write_wheel


@pytest.fixture(scope="session")
def entries() -> Callable[[Path], list[tuple[tarfile.TarInfo, bytes]]]:
    return unpack


@pytest.fixture(scope="session")
def files_of() -> Callable[[Path], Files]:
    """Return a function from a layer to (mode, content) by absolute path, of its files alone."""
    return lambda layer: {f"/{i.name}": (i.mode, data) for i, data in unpack(layer) if i.isfile()}
