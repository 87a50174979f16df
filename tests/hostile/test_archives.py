"""Archives that are damaged anywhere, encrypted, or packed in ways that nobody reads."""

from __future__ import annotations

import io
import re
import tarfile
import zipfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from avabuild.common.errors import AvabuildError, ResolveError, WheelError
from avabuild.engine.stages.workshop import needs_compiler, system_of
from avabuild.layer.facts import read_facts
from avabuild.resolve.requirements import project_name
from avabuild.resolve.stubs import light

FILES = {
    "mine-1.0/pyproject.toml": b'[build-system]\nrequires = ["x"]\n' + b"# long\n" * 4000,
    "mine-1.0/PKG-INFO": b"Metadata-Version: 2.1\nName: mine\nVersion: 1.0\n",
    "mine-1.0.dist-info/METADATA": b"Metadata-Version: 2.1\nName: mine\nVersion: 1.0\n" + b"word " * 9000,
    "etc/os-release": b"ID=debian\nVERSION_CODENAME=warty\n",
}


def zipped(method: int) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, data in FILES.items():
            archive.writestr(zipfile.ZipInfo(name), data, method)
    return out.getvalue()


def tarred(how: str) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=f"w:{how}") as tar:
        for name, data in FILES.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


def flagged(data: bytes) -> bytes:
    """Say of every file that it is encrypted (APPNOTE.TXT, 4.4.4: bit 0), in both its headers."""
    found = bytearray(data)
    for begins, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        for one in re.finditer(re.escape(begins), data):
            found[one.start() + at] |= 1
    return bytes(found)


ARCHIVES = {
    "mine-1.0.zip": zipped(zipfile.ZIP_DEFLATED),
    "mine-1.0-py3-none-any.whl": zipped(zipfile.ZIP_DEFLATED),
    "lzma-1.0.zip": zipped(zipfile.ZIP_LZMA),
    "encrypted-1.0.zip": flagged(zipped(zipfile.ZIP_DEFLATED)),
    "encrypted-1.0-py3-none-any.whl": flagged(zipped(zipfile.ZIP_DEFLATED)),
    "mine-1.0.tar.gz": tarred("gz"),
    "xz-1.0.tar.gz": tarred("xz"),
    "bz2-1.0.tar.gz": tarred("bz2"),
    "plain-1.0.tar.gz": tarred(""),
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("archives")


@pytest.mark.parametrize("name", ARCHIVES)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=st.integers(0, 1 << 20), bit=st.integers(0, 7), kept=st.integers(0, 1 << 20))
@example(at=0, bit=0, kept=0)
def test_no_damage_of_an_archive_is_anything_but_told(place, name, at, bit, kept):
    data = bytearray(ARCHIVES[name])
    data[at % len(data)] ^= 1 << bit
    path = place / name
    path.write_bytes(data[: kept % len(data)] if kept % 3 == 0 else data)
    line = f"mine @ {path.as_uri()}"
    readers = [
        lambda: project_name(path),
        lambda: system_of(path, ""),
        lambda: needs_compiler(path),
        lambda: light(line, place / "stubs"),
    ]
    if name.endswith(".tar.gz"):
        readers.append(lambda: read_facts([path]))
    for read in readers:
        try:
            read()
        except AvabuildError as error:
            assert error.message or str(error)  # noqa: PT017
    for stub in (place / "stubs").glob("*/*.whl"):
        stub.unlink()


def test_an_encrypted_archive_is_refused_by_its_name(place):
    for name in ("encrypted-1.0.zip", "encrypted-1.0-py3-none-any.whl"):
        (place / name).write_bytes(ARCHIVES[name])
        with pytest.raises(ResolveError, match=re.escape(name)):
            project_name(place / name)
    with pytest.raises(WheelError) as raised:
        light(f"encrypted @ {(place / name).as_uri()}", place / "stubs")
    assert raised.value.place == name
