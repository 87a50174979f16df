"""Tars: what a stranger's may have, whoever reads it and whatever its compression."""

from __future__ import annotations

import gzip
import io
import tarfile
import tracemalloc
from functools import partial
from pathlib import Path

import pytest

from avabuild.common import tars
from avabuild.common.tars import Bounds, Tar, passing

HUGE = 1 << 30


def header(kind: bytes, size: int, name: str = "x") -> bytes:
    info = tarfile.TarInfo(name)
    info.type, info.size = kind, size
    return info.tobuf(tarfile.GNU_FORMAT)


def zeros(size: int) -> bytes:
    return bytes(size + -size % tarfile.BLOCKSIZE)


def sparse(blocks: int) -> bytes:
    """Return an old GNU file whose map of holes has so many blocks more (tar(5), "GNU tar archives")."""
    first = bytearray(header(tarfile.GNUTYPE_SPARSE, 0))
    first[482] = 1
    checksum = sum(first[:148]) + sum(b" " * 8) + sum(first[156:512])
    first[148:156] = b"%06o\0 " % checksum
    return bytes(first) + (bytes(504) + b"\1" + bytes(7)) * blocks


def pax_sparse(entries: int) -> bytes:
    """Return a file whose map of holes is before its content (GNU tar, "PAX Format, Version 1.0")."""
    info = tarfile.TarInfo("x")
    info.size = 1 << 24
    info.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": "1"}
    return info.tobuf(tarfile.PAX_FORMAT) + b"%d\n" % entries + b"0\n" * (1 << 23)


DAMAGE = {
    "pax": header(tarfile.XHDTYPE, HUGE) + zeros(HUGE >> 5),
    "global": header(tarfile.XGLTYPE, HUGE) + zeros(HUGE >> 5),
    "globals": (header(tarfile.XGLTYPE, 512) + b"500 a=" + b"b" * 493 + b"\n" + bytes(12)) * 40,
    "long name": header(tarfile.GNUTYPE_LONGNAME, HUGE) + zeros(HUGE >> 5),
    "long link": header(tarfile.GNUTYPE_LONGLINK, HUGE) + zeros(HUGE >> 5),
    "holes": sparse(1 << 14),
    "holes of pax": pax_sparse(1 << 40),
    "headers of headers": (header(tarfile.XHDTYPE, 512) + b"12 a=b\n" + bytes(505)) * 5000,
}


@pytest.fixture(params=["plain", "gzip"])
def written(request, tmp_path):
    def write(data: bytes) -> Path:
        path = tmp_path / "layer"
        path.write_bytes(gzip.compress(data, 1) if request.param == "gzip" else data)
        return path

    return write


def whole(path: Path) -> list[str]:
    with Tar.open(path) as tar:
        return tar.getnames()


def in_turn(path: Path) -> list[str]:
    with passing(path) as tar:
        return [member.name for member in tar]


@pytest.mark.parametrize("read", [whole, in_turn])
@pytest.mark.parametrize("kind", DAMAGE)
def test_headers_have_bounds(written, read, kind):
    ok = header(tarfile.DIRTYPE, 0, "first")
    path = written(ok + DAMAGE[kind] + header(tarfile.REGTYPE, 0, "last") + bytes(1024))
    tracemalloc.start()
    try:
        with pytest.raises(tarfile.ReadError):
            read(path)
        assert tracemalloc.get_traced_memory()[1] < 16 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("read", [whole, in_turn])
def test_entries_and_their_names_have_bounds(written, monkeypatch, read):
    monkeypatch.setattr(tars, "Bounds", partial(Bounds, entries=10))
    path = written(b"".join(header(tarfile.DIRTYPE, 0, f"d{i}") for i in range(20)) + bytes(1024))
    with pytest.raises(tarfile.ReadError, match="more entries"):
        read(path)


def test_layers_of_one_image_share_their_bounds(written):
    path = written(b"".join(header(tarfile.DIRTYPE, 0, f"d{i}") for i in range(20)) + bytes(1024))
    for bounds in (Bounds(entries=30), Bounds(names=80)):
        with passing(path, bounds) as tar:
            assert len(list(tar)) == 20
        with passing(path, bounds) as tar, pytest.raises(tarfile.ReadError, match="more entries"):
            list(tar)


def test_what_passes_is_not_kept(written):
    path = written(b"".join(header(tarfile.REGTYPE, 0, f"f{i}") for i in range(20_000)) + bytes(1024))
    tracemalloc.start()
    try:
        with passing(path) as tar:
            assert sum(1 for _ in tar) == 20_000
            assert tracemalloc.get_traced_memory()[0] < 6 << 20
    finally:
        tracemalloc.stop()


def test_an_ordinary_tar_reads_as_python_reads_it(written):
    buffer = io.BytesIO()
    with tarfile.open(
        fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT, pax_headers={"comment": "all"}
    ) as tar:
        for name in ("etc", "a" * 300, "ümlaut", "x/" * 90 + "y"):
            info = tarfile.TarInfo(name)
            info.size = len(name)
            tar.addfile(info, io.BytesIO(name.encode()[: len(name)]))
        link = tarfile.TarInfo("link")
        link.type, link.linkname = tarfile.SYMTYPE, "b" * 300
        tar.addfile(link)
    path = written(buffer.getvalue())
    with tarfile.open(path) as tar:
        expected = [(member.name, member.type, member.size, member.linkname) for member in tar]
    with passing(path) as tar:
        found, texts = [], []
        for member in tar:
            found.append((member.name, member.type, member.size, member.linkname))
            file = tar.extractfile(member) if member.isreg() else None
            texts.append(file.read() if file else b"")
    assert found == expected
    assert texts[0] == b"etc"
