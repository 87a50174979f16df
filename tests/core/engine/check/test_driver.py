"""What checks get of a driver: this host's where there is a GPU; else the package's library, out of its archive."""

from __future__ import annotations

import io
import lzma
import tarfile
from pathlib import Path

import pytest

from avabuild.common.errors import StoreError
from avabuild.engine.check.driver import _library, driver_of_host


def deb(path: Path, names: dict[str, bytes]) -> Path:
    inner = io.BytesIO()
    with tarfile.open(fileobj=inner, mode="w") as tar:
        for name, data in names.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    members = (
        ("debian-binary", b"2.0\n"),
        ("control.tar.xz", b"odd"),
        ("data.tar.xz", lzma.compress(inner.getvalue())),
    )
    body = b"!<arch>\n"
    for name, data in members:
        body += (
            f"{name:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(data):<10}`\n".encode()
            + data
            + b"\n" * (len(data) % 2)
        )
    path.write_bytes(body)
    return path


def test_the_library_is_taken_out_of_the_package(tmp_path):
    names = {
        "./usr/share/doc/libcuda1/copyright": b"c",
        "./usr/lib/x/nvidia/current/libcuda.so.535.261.03": b"driver",
    }
    assert _library(deb(tmp_path / "libcuda1.deb", names)) == b"driver"
    assert [path.name for path in tmp_path.iterdir()] == ["libcuda1.deb"]


@pytest.mark.parametrize("data", [b"", b"!<arch>\n", b"no package at all"])
def test_what_is_no_package_is_said_to_be_none(tmp_path, data):
    path = tmp_path / "x.deb"
    path.write_bytes(data)
    with pytest.raises(StoreError, match="is no Debian package"):
        _library(path)


def test_a_package_without_the_library_is_refused(tmp_path):
    with pytest.raises(StoreError, match=r"holds no libcuda\.so"):
        _library(deb(tmp_path / "x.deb", {"./usr/lib/libother.so.1": b"x"}))


def test_the_hosts_driver_is_used_where_there_is_a_gpu(tmp_path):
    lib = tmp_path / "usr" / "lib" / "x86_64-linux-gnu"
    lib.mkdir(parents=True)
    (lib / "libcuda.so.1").write_text("driver")
    assert driver_of_host("x86_64", tmp_path) == ()
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev" / "nvidiactl").write_text("")
    assert driver_of_host("x86_64", tmp_path) == (lib / "libcuda.so.1",)
