"""Wheels that say one thing in two places, or name files that mean something else in a layer."""

from __future__ import annotations

import io
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from avabuild.common import zips
from avabuild.common.errors import WheelError
from avabuild.layer.blob import SPLICE, BlobWriter
from avabuild.layer.bytecode import compile_wheels
from avabuild.layer.scheme import Scheme
from avabuild.layer.wheel import modules, overlapping, write_wheels

from ..core.conftest import write_wheel

SCHEME = Scheme(python="3.11")
INFO = "demo-1.0.dist-info"
WAYS = {
    "layer": lambda path, out: write_wheels([path], out, SCHEME),
    "modules": lambda path, out: modules(path, SCHEME),
    "overlapping": lambda path, out: overlapping({"demo": path}, SCHEME),
    "bytecode": lambda path, out: compile_wheels({path: out}, SCHEME, ("python3",), jobs=1),
}


class _Stream(io.BytesIO):
    """What can't go back to where it has been."""

    def seekable(self) -> bool:
        return False

    def tell(self) -> int:
        raise AttributeError

    def seek(self, *where: int) -> int:
        raise OSError


def wheel(directory: Path, files: dict[str, bytes], comment: bytes = b"", later: bool = False) -> Path:
    """Write a wheel; with `later` the sizes follow the contents, as of a writer that can't seek."""
    path = directory / "demo-1.0-py3-none-any.whl"
    everything = {
        **files,
        f"{INFO}/METADATA": b"Metadata-Version: 2.1\nName: demo\nVersion: 1.0\n",
        f"{INFO}/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{INFO}/RECORD": b"",
    }
    sink = _Stream() if later else io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in everything.items():
            archive.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)
        archive.comment = comment
    path.write_bytes(sink.getvalue())
    return path


@pytest.fixture
def made(tmp_path: Path) -> Callable[..., Path]:
    return lambda files, **options: wheel(tmp_path, files, **options)


def damaged(path: Path, act: Callable[[bytearray, int], object], name: bytes = b"demo/a.py") -> Path:
    """Change the bytes of a wheel; `act` is given them and where the local header of `name` is."""
    data = bytearray(path.read_bytes())
    act(data, data.index(name) - 30)
    path.write_bytes(data)
    return path


def put(offset: int, form: str, *values: object) -> Callable[[bytearray, int], None]:
    return lambda data, at: struct.pack_into(form, data, at + offset, *values)


def refused(path: Path, words: str, way: str = "layer") -> None:
    with pytest.raises(WheelError, match=words) as caught:
        WAYS[way](path, path.with_name("out"))
    assert caught.value.place == path.name
    assert not path.with_name("out").exists()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("size", [10, 3 * SPLICE], ids=["small", "spliced"])
def test_a_header_that_names_another_file_is_refused_on_every_way(made, way, size):
    content = bytes(bytearray(range(256)) * (size // 256 + 1))
    path = made({"demo/a.py": content, "demo/b.py": b""})
    data = path.read_bytes().replace(b"demo/a.py", b"demo/x.py", 1)  # the first is the header's own
    path.write_bytes(data)
    refused(path, r"'demo/a.py' is named 'demo/x.py' in its own header", way)


@pytest.mark.parametrize(
    "act",
    [put(8, "<H", 0), put(14, "<L", 7), put(18, "<L", 7), put(22, "<L", 7), put(18, "<L", 0xFFFFFFFF)],
    ids=["method", "checksum", "packed size", "size", "zip64 without a field"],
)
def test_a_header_that_says_another_size_method_or_checksum_is_refused(made, act):
    refused(
        damaged(made({"demo/a.py": b"a" * 100}), act), "another size, checksum or method in its own header"
    )


def test_sizes_that_follow_the_content_are_fine(made):
    write_wheels([made({"demo/a.py": b"x" * 100}, later=True)], Path(made({}).with_name("out")), SCHEME)


def test_a_name_twice_is_refused(tmp_path):
    path = wheel(tmp_path, {})
    with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(path, "a") as archive:
        archive.writestr(f"{INFO}/RECORD", b"other")
    refused(path, "RECORD' twice")


def test_contents_that_overlap_are_refused(made):
    path = made({"demo/a.py": b"a" * 100, "demo/b.py": b"a" * 100})
    data = bytearray(path.read_bytes())
    directory = data.rindex(b"PK\x01\x02", 0, data.rindex(b"demo/b.py"))
    with zipfile.ZipFile(path) as archive:
        first, second = archive.infolist()[:2]
    assert (first.CRC, first.compress_size) == (second.CRC, second.compress_size)
    struct.pack_into("<L", data, directory + 42, first.header_offset)
    data = data.replace(b"demo/b.py", b"demo/a.py")
    path.write_bytes(data)
    refused(path, "twice")
    path = made({"demo/a.py": made({"in": b"1" * 500}).read_bytes()})
    with zipfile.ZipFile(path) as archive:
        entry = archive.getinfo("demo/a.py")
    with path.open("rb") as file, zipfile.ZipFile(file) as archive:
        archive.infolist()[1].header_offset = entry.header_offset
        archive.infolist()[1].orig_filename = "demo/a.py"
        for field in ("CRC", "compress_size", "file_size"):
            setattr(archive.infolist()[1], field, getattr(entry, field))
        with pytest.raises(ValueError, match="overlap"):
            zips.check(file.fileno(), archive)


@pytest.mark.parametrize("prefix", [b"#!/bin/sh\n", b"PK\x03\x04" + bytes(100)])
def test_something_before_the_first_file_is_refused(made, prefix):
    path = made({})
    path.write_bytes(prefix + path.read_bytes())
    refused(path, "other bytes|not what its end says")


@pytest.mark.parametrize("suffix", [b"\n", wheel])
def test_something_after_the_end_is_refused(made, suffix, tmp_path):
    path = made({})
    more = suffix if isinstance(suffix, bytes) else path.read_bytes()
    path.write_bytes(path.read_bytes() + more)
    refused(path, "after its end|not what its end says|other bytes|zip")


def test_a_comment_that_is_an_end_itself_is_refused(made):
    end = made({}).read_bytes()[-22:]
    refused(made({}, comment=end), "two ends|magic number")


def test_a_file_that_the_directory_does_not_list_is_refused(made):
    path = made({"demo/a.py": b"", "demo/b.py": b""})
    data = bytearray(path.read_bytes())
    entry = data.rindex(b"PK\x01\x02", 0, data.rindex(b"demo/a.py"))
    end = data.rindex(b"PK\x05\x06")
    length = 46 + len("demo/a.py")
    count, size = struct.unpack_from("<HL", data, end + 10)
    struct.pack_into("<HHL", data, end + 8, count - 1, count - 1, size - length)
    del data[entry : entry + length]
    path.write_bytes(data)
    refused(path, "other bytes|does not list")


def test_a_hidden_file_between_two_others_is_refused(made):
    path = made({"demo/a.py": b"a", "demo/b.py": b"b", "demo/c.py": b"c"})
    data = bytearray(path.read_bytes())
    entry = data.rindex(b"PK\x01\x02", 0, data.rindex(b"demo/b.py"))
    end = data.rindex(b"PK\x05\x06")
    length = 46 + len("demo/b.py")
    count, size = struct.unpack_from("<HL", data, end + 10)
    struct.pack_into("<HHL", data, end + 8, count - 1, count - 1, size - length)
    del data[entry : entry + length]
    path.write_bytes(data)
    refused(path, "does not list")


def test_an_end_that_counts_otherwise_is_refused(made):
    path = made({"demo/a.py": b""})
    data = bytearray(path.read_bytes())
    struct.pack_into("<H", data, data.rindex(b"PK\x05\x06") + 10, 9)
    path.write_bytes(data)
    refused(path, "not what its end says")


@pytest.mark.parametrize("honest", [True, False])
def test_the_two_ends_of_a_zip64_agree(made, honest):
    path = made({"demo/a.py": b""})
    data = path.read_bytes()
    end = data.rindex(b"PK\x05\x06")
    count, size, offset = struct.unpack_from("<HLL", data, end + 10)
    record = struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, count, count, size, offset)
    locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, end, 1)
    small = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, count, count + (not honest), size, offset, 0)
    path.write_bytes(data[:end] + record + locator + small)
    if honest:
        write_wheels([path], path.with_name("out"), SCHEME)
    else:
        refused(path, "two ends do not agree")


def test_another_name_in_an_extra_field_is_refused(tmp_path):
    path = wheel(tmp_path, {})
    with zipfile.ZipFile(path, "a") as archive:
        entry = zipfile.ZipInfo("demo/a.py")
        entry.extra = struct.pack("<HHBL", 0x7075, 5 + 9, 1, 0) + b"demo/x.py"
        archive.writestr(entry, b"")
    refused(path, "another name beside that")


# -- names ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "demo-1.0.data/data/etc/.wh.passwd",
        "demo-1.0.data/data/.wh..wh..opq",
        "demo-1.0.data/scripts/.wh.python",
        "demo/.wh.d/x.py",
        "../../../../etc/passwd",
        "/etc/passwd",
        "demo/./x",
        "demo//x",
    ],
)
def test_no_file_of_a_wheel_is_a_whiteout_or_leaves_the_environment(made, name):
    refused(made({name: b""}), "whiteout|not a plain path")


def test_no_command_of_a_wheel_is_a_whiteout(made):
    refused(made({f"{INFO}/entry_points.txt": b"[console_scripts]\n.wh.python = demo:main\n"}), "entry point")


def test_a_file_and_something_below_it_are_refused(made):
    refused(made({"demo": b"", "demo/a.py": b""}), "both as a file and as a directory")


def test_two_wheels_of_which_one_has_a_file_where_the_other_has_a_directory_are_refused(tmp_path):
    one = write_wheel(tmp_path, {"demo": b""}, name="one-1.0-py3-none-any.whl")
    two = write_wheel(tmp_path, {"demo/a.py": b""}, name="two-1.0-py3-none-any.whl")
    for order in ([one, two], [two, one]):
        with pytest.raises(WheelError, match="both as a file and as a directory"):
            write_wheels(order, tmp_path / "out", SCHEME)


# -- what is below all layers --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [".wh.x", "a/.wh..wh..opq", ".wh.d/x", "../x", "/x", "a/../x", "a//x", ""])
def test_no_layer_that_is_written_here_has_such_a_name(tmp_path, name):
    with pytest.raises(ValueError, match=r"whiteout|plain path"), BlobWriter(tmp_path / "blob") as writer:
        writer.file(name, b"")


def test_no_layer_that_is_written_here_has_a_name_twice(tmp_path):
    def written(*entries: tuple[str, bytes]) -> None:
        with BlobWriter(tmp_path / "blob") as writer:
            for name, kind in entries:
                info = tarfile.TarInfo(name)
                info.type = kind
                writer.add(info, ())

    def refused(*entries: tuple[str, bytes]) -> None:
        with pytest.raises(ValueError, match=r"twice|both as"):
            written(*entries)

    file, directory, link = tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE
    refused(("a", file), ("a", file))
    refused(("a", directory), ("a", directory))
    refused(("a", file), ("a/b/c", file))
    refused(("a/b/c", file), ("a", file))
    refused(("a", link), ("a/b", file))
    refused(("a", file), ("a", directory))
