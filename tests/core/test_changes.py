"""What a step changed, read from a directory that looks as the overlay driver's does."""

from __future__ import annotations

import json
import os
import stat
import struct
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from avabuild.blob import MTIME, Blob
from avabuild.changes import APT, ENGINE, write_changes
from avabuild.errors import HostError

BEGAN = 1_700_000_000.5
OLD, NEW = 1_600_000_000, 1_700_000_100

Entries = dict[str, tuple[tarfile.TarInfo, bytes]]


class Overlay:
    """A container's layer: `diff` holds changes, `merged` what the container sees, below it is one layer."""

    def __init__(self, root: Path) -> None:
        self.layer = root / "overlay" / "UPPER"
        self.diff, self.merged = self.layer / "diff", self.layer / "merged"
        self.lower = root / "overlay" / "LOWER" / "diff"
        links = root / "overlay" / "l"
        for path in (self.diff, self.merged, self.lower, links):
            path.mkdir(parents=True)
        (links / "SHORT").symlink_to("../LOWER/diff")
        (self.layer / "lower").write_text("l/SHORT")
        self.out = root / "layer"

    def both(self, act: Callable[[Path], object]) -> None:
        """Do in the container what the driver keeps in `diff`."""
        act(self.diff)
        act(self.merged)

    def base_directory(self, name: str, mode: int = 0o755) -> None:
        for root in (self.lower, self.merged):
            make_directory(root, name, mode)

    def base_file(self, name: str, text: str = "base") -> None:
        for root in (self.lower, self.merged):
            make_file(root, name, text.encode(), 0o644, OLD)

    def copied_up(self, name: str) -> None:
        """A directory that is in `diff` for what is below it; its mode is the base's."""
        make_directory(self.diff, name, stat.S_IMODE((self.lower / name).stat().st_mode))

    def directory(self, name: str, mode: int = 0o755) -> None:
        self.both(lambda root: make_directory(root, name, mode))

    def file(self, name: str, data: bytes = b"new", mode: int = 0o644, mtime: float = NEW) -> None:
        self.both(lambda root: make_file(root, name, data, mode, mtime))

    def whiteout(self, name: str) -> None:
        try:
            os.mknod(self.diff / name, stat.S_IFCHR, 0)
        except PermissionError:
            pytest.skip("this kernel lets only root make whiteouts")

    def write(self, *drop: str, out: Path | None = None, compression: str = "gzip") -> Blob:
        return write_changes(self.merged, out or self.out, BEGAN, drop, compression)


def make_directory(root: Path, name: str, mode: int) -> None:
    (root / name).mkdir(parents=True, exist_ok=True)
    (root / name).chmod(mode)


def make_file(root: Path, name: str, data: bytes, mode: int, mtime: float) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    path.chmod(mode)
    os.utime(path, (mtime, mtime))


@pytest.fixture
def overlay(tmp_path: Path) -> Overlay:
    return Overlay(tmp_path)


@pytest.fixture
def changed(overlay: Overlay, entries) -> Callable[..., Entries]:
    def read(*drop: str) -> Entries:
        overlay.write(*drop)
        found = entries(overlay.out)
        assert len({info.name for info, _ in found}) == len(found), "an entry comes twice"
        return {info.name: (info, data) for info, data in found}

    return read


# -- files, directories, links -----------------------------------------------------------------------------


def test_a_new_file_comes_with_its_new_directories_once_each(overlay, changed):
    overlay.directory("srv/app", 0o750)
    overlay.file("srv/app/run", b"#!/bin/sh\n", 0o755)
    overlay.file("srv/app/two")
    found = changed()
    assert list(found) == ["srv", "srv/app", "srv/app/run", "srv/app/two"]
    assert found["srv/app"][0].mode == 0o750
    assert (found["srv/app/run"][0].mode, found["srv/app/run"][1]) == (0o755, b"#!/bin/sh\n")


def test_the_owner_is_kept(overlay, changed):
    overlay.file("file")
    if os.geteuid() == 0:
        overlay.both(lambda root: os.chown(root / "file", 1000, 100))
    status = (overlay.merged / "file").stat()
    info = changed()["file"][0]
    assert (info.uid, info.gid) == (status.st_uid, status.st_gid)
    assert (info.uname, info.gname) == ("", "")


def test_a_directory_that_was_only_copied_up_is_not_written(overlay, changed):
    overlay.base_directory("usr/lib")
    overlay.copied_up("usr")
    overlay.copied_up("usr/lib")
    assert changed() == {}


def test_a_copied_up_directory_is_written_as_the_parent_of_what_changed(overlay, changed):
    overlay.base_directory("usr/lib", 0o711)
    overlay.copied_up("usr")
    overlay.copied_up("usr/lib")
    overlay.file("usr/lib/libx.so")
    found = changed()
    assert list(found) == ["usr", "usr/lib", "usr/lib/libx.so"]
    assert found["usr/lib"][0].mode == 0o711


def test_a_directory_whose_mode_changed_is_written(overlay, changed):
    overlay.base_directory("srv")
    overlay.directory("srv", 0o700)
    assert [(name, info.mode) for name, (info, _) in changed().items()] == [("srv", 0o700)]


def test_a_directory_in_place_of_a_file_is_written(overlay, changed):
    make_file(overlay.lower, "srv", b"", 0o644, OLD)
    overlay.directory("srv/app")
    assert list(changed()) == ["srv", "srv/app"]


def test_what_a_file_holds_is_read_through_the_mount(overlay, changed):
    """With metacopy the driver's own directory has a file of the right name and no content."""
    overlay.file("file", b"whole")
    (overlay.diff / "file").write_bytes(b"")
    assert changed()["file"][1] == b"whole"


def test_links_are_kept(overlay, changed):
    overlay.file("a", b"data")

    def link(root: Path) -> None:
        os.link(root / "a", root / "b")
        (root / "c").symlink_to("../nowhere")

    overlay.both(link)
    found = changed()
    assert (found["a"][0].type, found["a"][1]) == (tarfile.REGTYPE, b"data")
    assert (found["b"][0].type, found["b"][0].linkname) == (tarfile.LNKTYPE, "a")
    assert (found["c"][0].type, found["c"][0].linkname) == (tarfile.SYMTYPE, "../nowhere")


def test_a_hard_link_to_what_is_dropped_is_a_file(overlay, changed):
    overlay.file("cache", b"data")
    overlay.both(lambda root: os.link(root / "cache", root / "kept"))
    found = changed("cache")
    assert (list(found), found["kept"][1]) == (["kept"], b"data")


def test_sockets_are_left_out_and_pipes_kept(overlay, changed, monkeypatch):
    import socket

    overlay.both(lambda root: os.mkfifo(root / "pipe"))
    monkeypatch.chdir(overlay.diff)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket")
    found = changed()
    assert [(name, info.type) for name, (info, _) in found.items()] == [("pipe", tarfile.FIFOTYPE)]


def test_names_beyond_ascii_and_a_hundred_letters_are_kept(overlay, changed):
    names = [f"{'d' * 120}/{'f' * 120}", "Größe", b"caf\xe9".decode(errors="surrogateescape")]
    for name in names:
        overlay.file(name, name.encode(errors="surrogateescape"))
    found = changed()
    assert {name: found[name][1] for name in names} == {
        name: name.encode(errors="surrogateescape") for name in names
    }


# -- what was removed --------------------------------------------------------------------------------------


def test_a_removed_file_leaves_a_whiteout(overlay, changed):
    overlay.base_file("etc/motd")
    overlay.copied_up("etc")
    overlay.whiteout("etc/motd")
    (overlay.merged / "etc" / "motd").unlink()
    found = changed()
    assert list(found) == ["etc", "etc/.wh.motd"]
    assert (found["etc/.wh.motd"][0].size, found["etc/.wh.motd"][0].mtime) == (0, MTIME)


def test_a_whiteout_at_the_root_has_no_directory_before_it(overlay, changed):
    overlay.whiteout("gone")
    assert list(changed()) == [".wh.gone"]


def mark(path: Path, name: str) -> None:
    for space in ("trusted", "user"):
        try:
            os.setxattr(path, f"{space}.overlay.{name}", b"y")
        except OSError:
            continue
        return
    pytest.skip("this file system has neither trusted nor user attributes")


@pytest.mark.parametrize("attribute", ["opaque", "redirect"])
def test_a_directory_that_replaces_another_hides_it_and_comes_whole(overlay, changed, attribute):
    overlay.base_directory("srv")
    overlay.base_directory("srv/sub")
    overlay.copied_up("srv")
    overlay.file("srv/file")
    overlay.base_file("srv/sub/elsewhere", "seen through the mount")
    mark(overlay.diff / "srv", attribute)
    found = changed()
    assert list(found) == ["srv", "srv/.wh..wh..opq", "srv/file", "srv/sub", "srv/sub/elsewhere"]
    assert found["srv/sub/elsewhere"][1] == b"seen through the mount"


# -- what is left out --------------------------------------------------------------------------------------


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


# -- times and attributes ----------------------------------------------------------------------------------


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


# -- the whole ---------------------------------------------------------------------------------------------


def some_changes(overlay: Overlay) -> None:
    overlay.base_directory("usr")
    overlay.copied_up("usr")
    for name in ("usr/b", "usr/a", "z/y/x"):
        overlay.file(name, name.encode() * 1000)
    overlay.both(lambda root: os.link(root / "usr/a", root / "usr/c"))


@pytest.mark.parametrize("compression", ["gzip", "zstd"])
def test_two_containers_with_the_same_changes_give_the_same_bytes(tmp_path, compression):
    blobs = []
    for name in ("one", "two"):
        overlay = Overlay(tmp_path / name)
        some_changes(overlay)
        blobs.append(overlay.write(compression=compression))
        assert blobs[-1].media_type.endswith(compression)
    assert blobs[0] == blobs[1]
    assert (tmp_path / "one" / "layer").read_bytes() == (tmp_path / "two" / "layer").read_bytes()


def test_the_program_prints_the_blob_that_it_wrote(overlay, tmp_path):
    some_changes(overlay)
    expected = overlay.write("usr/b")
    argv = [overlay.merged, tmp_path / "again", repr(BEGAN), "gzip", "usr/b"]
    run = subprocess.run(
        [sys.executable, "-m", "avabuild.changes", *argv], check=True, capture_output=True, text=True
    )
    assert Blob.model_validate(json.loads(run.stdout)) == expected
    assert (tmp_path / "again").read_bytes() == overlay.out.read_bytes()


def test_a_storage_driver_without_a_directory_of_changes_is_refused(tmp_path):
    (tmp_path / "vfs" / "dir").mkdir(parents=True)
    with pytest.raises(HostError, match="need the overlay storage driver") as caught:
        write_changes(tmp_path / "vfs" / "dir", tmp_path / "out", BEGAN, (), "gzip")
    assert "storage.conf" in caught.value.hint
    assert not (tmp_path / "out").exists()


def test_a_container_on_nothing_has_no_layers_below(overlay, changed):
    (overlay.layer / "lower").unlink()
    overlay.directory("srv")
    assert list(changed()) == ["srv"]
