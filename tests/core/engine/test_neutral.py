from __future__ import annotations

import io
import subprocess
import tarfile
from datetime import UTC as ZONE
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from avabuild.engine.neutral import UTC, make_neutral

LONG = "usr/share/" + "long-" * 60 + "ä"


def write(path: Path, entries: dict[str, bytes | str], prefix: str = "./") -> Path:
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
        for name, content in entries.items():
            info = tarfile.TarInfo(prefix + name)
            info.mtime = 1000
            if name == LONG:
                info.pax_headers = {"SCHILY.xattr.security.capability": "x"}
            if isinstance(content, str):
                info.type, info.linkname = tarfile.SYMTYPE, content
                tar.addfile(info)
            else:
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
    return path


def read(path: Path) -> dict[str, bytes | str]:
    found: dict[str, bytes | str] = {}
    with tarfile.open(path) as tar:
        for member in tar:
            assert member.name not in found, "each once"
            file = tar.extractfile(member) if member.isreg() else None
            found[member.name] = file.read() if file else member.linkname
    return found


@pytest.mark.parametrize("prefix", ["./", ""])
def test_names_and_resolvers_of_the_builder_are_empty_and_all_else_is_as_it_was(
    tmp_path: Path, prefix: str
) -> None:
    kept: dict[str, bytes | str] = {"bin/sh": b"x" * 70000, LONG: b"long", "etc/debian_version": b"12"}
    host: dict[str, bytes | str] = {"etc/hostname": b"mine", "etc/resolv.conf": b"nameserver 1"}
    tar = write(tmp_path / "a.tar", {**host, **kept, "etc/machine-id": b"0123"}, prefix)
    make_neutral(tar, tmp_path / "b.tar")
    emptied = dict.fromkeys(("etc/hostname", "etc/hosts", "etc/resolv.conf", "etc/machine-id"), b"")
    wanted = {**kept, **emptied, "etc/localtime": UTC}
    assert read(tmp_path / "b.tar") == {prefix + name: content for name, content in wanted.items()}
    with tarfile.open(tmp_path / "b.tar") as made:
        assert made.getmember(prefix + LONG).pax_headers["SCHILY.xattr.security.capability"] == "x"
    make_neutral(write(tmp_path / "c.tar", {**kept, "etc/machine-id": b"45"}, prefix), tmp_path / "d.tar")
    assert (tmp_path / "d.tar").read_bytes() == (tmp_path / "b.tar").read_bytes(), "whatever the mode left"


def test_a_zone_that_packages_brought_stays(tmp_path: Path) -> None:
    make_neutral(write(tmp_path / "a.tar", {"etc/localtime": "/usr/share/zoneinfo/Etc/UTC"}), tmp_path / "b")
    assert read(tmp_path / "b")["./etc/localtime"] == "/usr/share/zoneinfo/Etc/UTC"


def test_the_zone_is_utc_for_python_and_for_the_c_library(tmp_path: Path) -> None:
    path = tmp_path / "utc"
    path.write_bytes(UTC)
    with path.open("rb") as file:
        zone = ZoneInfo.from_file(file)
    assert datetime(2030, 7, 1, tzinfo=zone) == datetime(2030, 7, 1, tzinfo=ZONE)
    shown = subprocess.run(
        ["date", "-d", "@0", "+%H:%M%Z"], env={"TZ": f":{path}"}, capture_output=True, text=True, check=True
    )
    assert shown.stdout == "00:00UTC\n"
