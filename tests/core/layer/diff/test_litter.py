"""What is left out of a layer, and the times and attributes of what is in it."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import pytest

from avabuild.layer.blob import MTIME
from avabuild.layer.diff import APT, ENGINE

BEGAN = 1_700_000_000.5
OLD, NEW = 1_600_000_000, 1_700_000_100


def test_dropped_paths_are_left_out_with_all_below_them(overlay, changed):
    overlay.file("run/avabuild/secret")
    overlay.file("tmp/deep/er/file")
    overlay.file("kept")
    assert list(changed("run/avabuild", "tmp/*")) == ["kept", "run", "tmp"]


def test_the_removal_of_what_is_dropped_is_left_out_too(overlay, changed):
    overlay.whiteout("cache")
    assert changed("cache") == {}


@pytest.mark.parametrize(
    "litter",
    [
        "var/log/dpkg.log",
        "var/log/apt/history.log",
        "var/log/apt/term.log.1.xz",
        "var/log/lastlog",
        "var/log/btmp",
        "var/cache/apt/pkgcache.bin",
        "var/cache/apt/archives/git_1_amd64.deb",
        "var/lib/apt/lists/some_Packages",
        "var/lib/dpkg/status-old",
        "var/lib/dpkg/lock-frontend",
        "var/cache/ldconfig/aux-cache",
        "etc/passwd-",
        "etc/shadow-",
        "etc/resolv.conf",
        "etc/hosts",
        "run/avabuild/ca.pem",
        "tmp/apt.conf.x",
        "dev/null",
    ],
)
def test_the_litter_of_packages_and_engine_is_left_out(overlay, changed, litter):
    overlay.base_directory(str(Path(litter).parent))
    overlay.file(litter)
    assert changed(*ENGINE, *APT) == {}


@pytest.mark.parametrize(
    "kept",
    [
        "var/lib/dpkg/status",
        "var/lib/apt/extended_states",
        "etc/alternatives/vi",
        "etc/app/backup-",
        "etc/ld.so.cache",
        "usr/share/doc/git/copyright",
        "opt/tmp/file",
        "home/run/file",
    ],
)
def test_what_packages_bring_is_kept(overlay, changed, kept):
    overlay.file(kept)
    assert kept in changed(*ENGINE, *APT)


def test_a_packages_own_directory_of_logs_is_kept_with_its_mode(overlay, changed):
    overlay.base_directory("var/log")
    overlay.directory("var/log/nginx", 0o2750)
    overlay.file("var/log/nginx/error.log")
    found = changed(*ENGINE, *APT)
    assert list(found) == ["var", "var/log", "var/log/nginx"]
    assert found["var/log/nginx"][0].mode == 0o2750


def test_times_since_the_step_began_become_fixed_and_older_ones_stay(overlay, changed):
    overlay.file("new", mtime=NEW)
    overlay.file("shipped", mtime=OLD)
    overlay.file("ancient", mtime=-1000)
    times = {name: info.mtime for name, (info, _) in changed().items()}
    assert times == {"new": MTIME, "shipped": OLD, "ancient": -1000}


PYC = struct.Struct("<4sIII")


@pytest.mark.parametrize(
    ("time", "flags", "written"),
    [(NEW, 0, MTIME), (int(BEGAN), 0, MTIME), (OLD, 0, OLD), (NEW, 1, NEW), (NEW, 3, NEW)],
    ids=["new", "in the same second", "shipped", "checked hash", "unchecked hash"],
)
def test_a_compiled_modules_own_time_follows_its_sources(overlay, changed, time, flags, written):
    overlay.file("__pycache__/m.cpython-311.pyc", PYC.pack(b"\xa7\r\r\n", flags, time, 7) + b"code")
    data = changed()["__pycache__/m.cpython-311.pyc"][1]
    assert PYC.unpack(data[:16]) == (b"\xa7\r\r\n", flags, written, 7)
    assert data[16:] == b"code"


@pytest.mark.parametrize("data", [b"", b"short", b"x" * 15])
def test_what_is_called_pyc_and_is_none_is_kept_as_it_is(overlay, changed, data):
    overlay.file("odd.pyc", data)
    assert changed()["odd.pyc"][1] == data


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give a file capabilities")
def test_the_capabilities_of_a_program_are_kept(overlay, changed):
    value = struct.pack("<IIIII", 0x02000001, 1 << 13, 0, 0, 0)  # cap_net_raw+ep
    overlay.file("bin/ping", mode=0o755)
    try:
        overlay.both(lambda root: os.setxattr(root / "bin/ping", "security.capability", value))
    except OSError:
        pytest.skip("this file system has no security attributes")
    headers = changed()["bin/ping"][0].pax_headers
    assert headers["SCHILY.xattr.security.capability"].encode(errors="surrogateescape") == value


def test_the_drivers_own_attributes_are_never_in_a_layer(overlay, changed):
    overlay.file("file")
    try:
        overlay.both(lambda root: os.setxattr(root / "file", "user.overlay.origin", b"x"))
    except OSError:
        pytest.skip("this file system has no user attributes")
    assert changed()["file"][0].pax_headers == {}
