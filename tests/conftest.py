"""What tests everywhere share: golden files, a store, blobs and a host that is always the same."""

from __future__ import annotations

import hashlib
import io
import struct
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from avabuild.blob import Blob
from avabuild.host import Host
from avabuild.store import Store

GOLDEN = Path(__file__).parent / "golden"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write tests/golden anew; review the diff")


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """Return a function that holds a text against tests/golden/NAME."""

    def check(name: str, text: str) -> None:
        path = GOLDEN / name
        if request.config.getoption("--update-golden"):
            path.write_text(text)
        assert path.exists(), f"{path} is missing: run pytest --update-golden and review it"
        assert text == path.read_text(), f"{name} differs: if that is meant, run pytest --update-golden"

    return check


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "cache")


@pytest.fixture
def keep_blob(store: Store) -> Callable[..., Blob]:
    """Return a function that puts a layer's bytes into the store, claiming any unpacked size."""

    def keep(data: bytes, unpacked: int = 10_240) -> Blob:
        diff_id = "sha256:" + hashlib.sha256(b"tar of " + data).hexdigest()
        kind = "application/vnd.oci.image.layer.v1.tar+gzip"
        return Blob(
            digest=store.put(data), diff_id=diff_id, size=len(data), unpacked=unpacked, media_type=kind
        )

    return keep


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(
        uid=1000,
        arch="x86_64",
        cores=2,
        cache=tmp_path / "cache",
        variables=(),
        ca_bundle=None,
        mirror=None,
    )


def make_shared_object(
    soname: str = "",
    needed: tuple[str, ...] = (),
    *,
    rpath: str = "",
    runpath: str = "",
    machine: int = 62,
    padding: int = 0,
    names_last: bool = True,
) -> bytes:
    """Return a 64-bit shared object that a loader takes, with no code; `padding` bytes of zeros stand before its dynamic section.

    With `names_last` the names stand behind the dynamic section, as patchelf leaves them; else before the
    padding, as linkers write them.
    """
    names, strings = b"\0", {}
    for text in (soname, *needed, rpath, runpath):
        if text and text not in strings:
            strings[text] = len(names)
            names += text.encode() + b"\0"
    entries = [(1, strings[text]) for text in needed]
    entries += [(tag, strings[text]) for tag, text in ((14, soname), (15, rpath), (29, runpath)) if text]
    start = 64 + 3 * 56
    dynamic_size = 16 * (len(entries) + 6)
    fixed = 24 + 24  # a symbol table with its one null entry; a hash table without any
    before = b"" if names_last else names.ljust(-(-len(names) // 8) * 8, b"\0")
    names_at = start + fixed
    dynamic_at = start + fixed + len(before) + -(-padding // 8) * 8
    if names_last:
        names_at = dynamic_at + dynamic_size
    entries += [(5, names_at), (10, len(names)), (6, start), (11, 24), (4, start + 24), (0, 0)]
    dynamic = b"".join(struct.pack("<QQ", *entry) for entry in entries)
    symbols = bytes(24) + struct.pack("<IIIII", 1, 1, 0, 0, 0).ljust(24, b"\0")
    body = symbols + before
    body += bytes(dynamic_at - start - len(body)) + dynamic + (names if names_last else b"")
    size = start + len(body)
    header = b"\x7fELF\x02\x01\x01" + bytes(9)
    header += struct.pack("<HHIQQQIHHHHHH", 3, machine, 1, 0, 64, 0, 0, 64, 56, 3, 64, 0, 0)
    load = struct.pack("<IIQQQQQQ", 1, 6, 0, 0, 0, size, size, 0x1000)
    link = struct.pack("<IIQQQQQQ", 2, 6, dynamic_at, dynamic_at, dynamic_at, dynamic_size, dynamic_size, 8)
    stack = struct.pack("<IIQQQQQQ", 0x6474E551, 6, 0, 0, 0, 0, 0, 16)
    return header + load + link + stack + body


@pytest.fixture(scope="session")
def shared_object() -> Callable[..., bytes]:
    """Return a function that makes an ELF file of a soname, what it needs, and where it looks."""
    return make_shared_object


@pytest.fixture
def keep_layer(store: Store) -> Callable[..., Blob]:
    """Return a function that makes a layer of the store: bytes are files, texts are links, None a removal."""

    def keep(entries: dict[str, bytes | str | None]) -> Blob:
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as tar:
            for name, content in entries.items():
                head, _, last = name.rpartition("/")
                info = tarfile.TarInfo(name if content is not None else f"{head}/.wh.{last}".lstrip("/"))
                if isinstance(content, str):
                    info.type, info.linkname = tarfile.SYMTYPE, content
                data = content if isinstance(content, bytes) else b""
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
        data = buffer.getvalue()
        kind = "application/vnd.oci.image.layer.v1.tar"
        diff_id = "sha256:" + hashlib.sha256(data).hexdigest()
        return Blob(
            digest=store.put(data), diff_id=diff_id, size=len(data), unpacked=len(data), media_type=kind
        )

    return keep
