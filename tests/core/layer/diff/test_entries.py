"""What changed in a container, as entries of a layer."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from avabuild.common.errors import HostError
from avabuild.layer.blob import MTIME
from avabuild.layer.diff import ChangeError, write_changes
from avabuild.store.blob import Blob


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
    (overlay.lower / "srv").write_text("a file")
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


def test_a_removed_file_leaves_a_whiteout(overlay, changed):
    overlay.base_file("etc/motd")
    overlay.copied_up("etc")
    overlay.whiteout("etc/motd")
    (overlay.merged / "etc" / "motd").unlink()
    found = changed()
    assert list(found) == ["etc", "etc/.wh.motd"]
    assert (found["etc/.wh.motd"][0].size, found["etc/.wh.motd"][0].mtime) == (0, MTIME)


def test_what_fuse_overlayfs_marks_with_files_is_marked(overlay, changed):
    overlay.base_file("srv/tree/old")
    overlay.base_file("etc/gone")
    overlay.copied_up("etc")
    overlay.copied_up("srv")
    (overlay.diff / "etc" / ".wh.gone").touch()
    overlay.directory("srv/tree")
    overlay.directory("srv/new")
    for name in ("srv/tree", "srv/new"):
        (overlay.diff / name / ".wh..wh..opq").touch()
    (overlay.merged / "srv" / "tree" / "old").unlink()
    overlay.file("srv/tree/young")
    overlay.file("srv/new/file")
    assert list(changed()) == [
        "etc", "etc/.wh.gone", "srv", "srv/new", "srv/new/file", "srv/tree", "srv/tree/.wh..wh..opq", "srv/tree/young",
    ]  # fmt: skip


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


def some_changes(overlay) -> None:
    overlay.base_directory("usr")
    overlay.copied_up("usr")
    for name in ("usr/b", "usr/a", "z/y/x"):
        overlay.file(name, name.encode() * 1000)
    overlay.both(lambda root: os.link(root / "usr/a", root / "usr/c"))


@pytest.mark.parametrize("compression", ["gzip", "zstd"])
def test_two_containers_with_the_same_changes_give_the_same_bytes(tmp_path, make_overlay, compression):
    blobs = []
    for name in ("one", "two"):
        overlay = make_overlay(tmp_path / name)
        some_changes(overlay)
        blobs.append(overlay.write(compression=compression))
        assert blobs[-1].media_type.endswith(compression)
    assert blobs[0] == blobs[1]
    assert (tmp_path / "one" / "layer").read_bytes() == (tmp_path / "two" / "layer").read_bytes()


def test_the_program_prints_the_blob_that_it_wrote(overlay, tmp_path):
    some_changes(overlay)
    expected = overlay.write("usr/b")
    argv = [overlay.merged, tmp_path / "again", "1700000000.5", "gzip", "usr/b"]
    run = subprocess.run(
        [sys.executable, "-m", "avabuild.layer.diff", *argv], check=True, capture_output=True, text=True
    )
    answer = json.loads(run.stdout)
    assert Blob.model_validate(answer["blob"]) == expected
    assert answer["told"] == ""
    assert (tmp_path / "again").read_bytes() == overlay.out.read_bytes()


def test_a_storage_driver_without_a_directory_of_changes_is_refused(tmp_path):
    (tmp_path / "vfs" / "dir").mkdir(parents=True)
    with pytest.raises(HostError, match="need a storage driver that is overlay or vfs") as caught:
        write_changes(tmp_path / "vfs" / "dir", tmp_path / "out", 0.0, (), "gzip")
    assert "storage.conf" in caught.value.hint
    assert not (tmp_path / "out").exists()


def test_a_container_on_nothing_has_no_layers_below(overlay, changed):
    (overlay.layer / "lower").unlink()
    overlay.directory("srv")
    assert list(changed()) == ["srv"]


def test_a_file_of_holes_fails_the_step_by_name(overlay):
    overlay.file("var/disk.img")
    for root in (overlay.diff, overlay.merged):
        os.truncate(root / "var" / "disk.img", 40 << 30)
    with pytest.raises(ChangeError, match=r"/var/disk.img is sparse: 43 of its 43 GB are holes"):
        overlay.write()
