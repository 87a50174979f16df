from __future__ import annotations

import gzip
import hashlib
import os
import random
import tempfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from avabuild.common.errors import DiskFullError
from avabuild.layer.blob import BLOCK, MTIME, SPLICE, BlobWriter, Compression
from avabuild.layer.deflate import inflated

NOISE = random.Random(1).randbytes(BLOCK)  # incompressible: its deflate stream is longer than itself


def deflate(data: bytes) -> bytes:
    stream = zlib.compressobj(6, zlib.DEFLATED, -15)
    return stream.compress(data) + stream.flush()


def chunks(data: bytes, size: int = 10_000) -> list[bytes]:
    return [data[i : i + size] for i in range(0, len(data), size)]


def add_deflated(writer: BlobWriter, name: str, data: bytes, mode: int = 0o644) -> None:
    raw = deflate(data)
    writer.deflated(name, len(data), chunks(raw), mode, packed=len(raw), crc32=zlib.crc32(data))


component = st.text(
    st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=120
)
names = st.lists(component.filter(lambda part: part not in (".", "..")), min_size=1, max_size=4).map("/".join)
sizes = st.one_of(
    st.integers(0, 2000),
    st.integers(SPLICE - 100, SPLICE + 100),
    st.sampled_from([511, 512, BLOCK - 1, BLOCK]),
)
files = st.tuples(
    sizes, st.booleans(), st.sampled_from(["file", "stream", "deflated"]), st.sampled_from([0o644, 0o755])
)


@settings(max_examples=40, deadline=None)
@given(content=st.dictionaries(names, files, max_size=8), compression=st.sampled_from(["gzip", "zstd"]))
def test_a_blob_reads_back_as_what_was_written(
    content: dict[str, tuple[int, bool, str, int]], compression: Compression, entries: Callable
) -> None:
    expected, written = {}, []
    with tempfile.TemporaryDirectory() as directory:
        for attempt in ("first", "second"):
            out = Path(directory, attempt)
            with BlobWriter(out, compression) as writer:
                for name, (size, noisy, way, mode) in content.items():
                    data = NOISE[:size] if noisy else bytes(size)
                    expected[name] = (mode, data)
                    if way == "file":
                        writer.file(name, data, mode)
                    elif way == "stream":
                        writer.stream(name, size, chunks(data), mode)
                    else:
                        add_deflated(writer, name, data, mode)
                blob = writer.finish()
            written.append(blob)
        packed = out.read_bytes()
        tar = (
            gzip.decompress(packed)
            if compression == "gzip"
            else zstandard.ZstdDecompressor().stream_reader(packed).read()
        )
        assert {info.name: (info.mode, data) for info, data in entries(out)} == expected
    assert written[0] == written[1]
    assert blob.digest == "sha256:" + hashlib.sha256(packed).hexdigest()
    assert blob.diff_id == "sha256:" + hashlib.sha256(tar).hexdigest()
    assert (blob.size, blob.unpacked) == (len(packed), len(tar))
    assert blob.media_type == f"application/vnd.oci.image.layer.v1.tar+{compression}"


def test_a_big_deflated_entry_is_copied_and_a_small_one_is_not(tmp_path: Path) -> None:
    big, small = deflate(NOISE[: SPLICE + 1]), deflate(NOISE[: SPLICE // 2])
    with BlobWriter(tmp_path / "blob") as writer:
        add_deflated(writer, "big", NOISE[: SPLICE + 1])
        add_deflated(writer, "small", NOISE[: SPLICE // 2])
        writer.finish()
    packed = (tmp_path / "blob").read_bytes()
    assert big in packed
    assert small not in packed


def test_zstd_is_one_frame(tmp_path: Path) -> None:
    with BlobWriter(tmp_path / "blob", "zstd") as writer:
        writer.stream("big", 3 * BLOCK, [NOISE] * 3)
        writer.finish()
    stream = zstandard.ZstdDecompressor().decompressobj()  # stops at the end of the first frame
    stream.decompress((tmp_path / "blob").read_bytes())
    assert stream.eof
    assert stream.unused_data == b""


def test_entries_carry_a_fixed_date_and_the_owner_that_was_asked_for(
    tmp_path: Path, entries: Callable
) -> None:
    with BlobWriter(tmp_path / "blob") as writer:
        writer.directory("d", 0o750, uid=3, gid=4)
        writer.file("d/f", b"x", 0o600, uid=1, gid=2)
        writer.symlink("d/l", "../ünder/" + "long" * 40)
        writer.finish()
    found = [(i.name, i.mode, i.uid, i.gid, i.uname, i.gname, i.mtime) for i, _ in entries(tmp_path / "blob")]
    assert found == [
        ("d", 0o750, 3, 4, "", "", MTIME),
        ("d/f", 0o600, 1, 2, "", "", MTIME),
        ("d/l", 0o777, 0, 0, "", "", MTIME),
    ]
    assert entries(tmp_path / "blob")[2][0].linkname == "../ünder/" + "long" * 40


def test_parents_are_written_once_and_only_from_the_root_down(tmp_path: Path, entries: Callable) -> None:
    with BlobWriter(tmp_path / "blob") as writer:
        for name in ("opt/venv/a/b/one", "opt/venv/a/two", "opt/venv/c/three"):
            writer.parents(name)
        writer.finish()
    found = [info.name for info, _ in entries(tmp_path / "blob")]
    assert found == ["opt", "opt/venv", "opt/venv/a", "opt/venv/a/b", "opt/venv/c"]


@pytest.mark.parametrize("name", ["/etc/passwd", "../up", "a/../../b", "a//b", "./a", "", "a/", "a\0b"])
def test_a_name_that_could_leave_the_root_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not a plain path"), BlobWriter(tmp_path / "blob") as writer:
        writer.file(name, b"")
    assert not (tmp_path / "blob").exists()


@pytest.mark.parametrize("size", [100, SPLICE * 2])
@pytest.mark.parametrize(
    ("lie", "message"),
    [
        ("crc", "CRC-32"),
        ("short", "more than"),
        ("long", "CRC-32"),
        ("cut", "cut short|damaged"),
        ("trailing", "followed by"),
        ("empty", "cut short"),
        ("noise", "damaged|CRC-32|more than|cut short|followed"),
    ],
)
def test_a_deflate_stream_that_is_not_what_was_said_is_refused(
    lie: str, message: str, size: int, tmp_path: Path
) -> None:
    data = NOISE[:size]
    raw, said, crc = deflate(data), size, zlib.crc32(data)
    if lie == "crc":
        crc ^= 1
    said += {"short": -1, "long": 1}.get(lie, 0)
    raw = {"cut": raw[:-1], "trailing": raw + b"\0", "empty": b"", "noise": b"\xff" * size}.get(lie, raw)
    for parts in (chunks(raw), [raw]):
        with pytest.raises(ValueError, match=message), BlobWriter(tmp_path / "blob") as writer:
            writer.deflated("f", said, parts, packed=len(raw), crc32=crc)
        assert not (tmp_path / "blob").exists()


@pytest.mark.parametrize("size", [4, 6])
def test_a_stream_of_another_length_is_refused(size: int, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not the 5 bytes"), BlobWriter(tmp_path / "blob") as writer:
        writer.stream("f", 5, [bytes(size)])
    assert not (tmp_path / "blob").exists()


def test_inflating_yields_bounded_pieces_however_small_the_stream_is() -> None:
    zeros = bytes(20 * BLOCK)
    sizes = [len(piece) for piece in inflated([deflate(zeros)], len(zeros), zlib.crc32(zeros), BLOCK)]
    assert max(sizes) <= BLOCK
    assert sum(sizes) == len(zeros)


def test_a_full_disk_is_named(tmp_path: Path) -> None:
    (tmp_path / "blob").symlink_to("/dev/full")

    def write() -> None:
        with BlobWriter(tmp_path / "blob") as writer:
            for number in range(30):
                writer.file(f"f{number}", NOISE)
            writer.finish()

    with pytest.raises(DiskFullError, match=str(tmp_path)):
        write()
    assert not os.path.lexists(tmp_path / "blob")


def test_a_blob_that_was_not_finished_leaves_no_file(tmp_path: Path) -> None:
    with BlobWriter(tmp_path / "blob") as writer:
        writer.file("f", b"x")
    assert not (tmp_path / "blob").exists()


def test_the_callers_own_error_passes_and_leaves_no_file(tmp_path: Path) -> None:
    def write() -> None:
        with BlobWriter(tmp_path / "blob") as writer:
            writer.file("f", NOISE)
            raise KeyError

    with pytest.raises(KeyError):
        write()
    assert not (tmp_path / "blob").exists()
