"""What steps leave that means something else in a layer."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from avabuild.layer.diff import ChangeError, main

from ..core.layer.diff.conftest import BEGAN, Overlay


@pytest.fixture
def overlay(tmp_path: Path) -> Overlay:
    return Overlay(tmp_path)


def refused(overlay: Overlay, name: str) -> None:
    with pytest.raises(ChangeError, match=f"'/{name}' has the name of a whiteout"):
        overlay.write()
    assert not overlay.out.exists()


@pytest.mark.parametrize("name", [".wh.passwd", ".wh..wh..opq", ".wh..wh.plnk"])
def test_a_file_that_a_step_names_as_a_whiteout_is_refused(overlay, name):
    overlay.base_file("etc/passwd")
    overlay.copied_up("etc")
    overlay.file(f"etc/{name}")
    refused(overlay, f"etc/{name}")


def test_a_directory_of_that_name_is_refused_too(overlay):
    overlay.file(".wh.d/x")
    refused(overlay, ".wh.d")


def test_and_a_link(overlay):
    overlay.both(lambda root: (root / ".wh.x").symlink_to("y"))
    refused(overlay, ".wh.x")


def test_and_what_comes_with_a_directory_that_replaces_another(overlay):
    overlay.base_directory("srv")
    overlay.directory("srv")
    os.setxattr(overlay.diff / "srv", "trusted.overlay.opaque", b"y")
    overlay.base_file("srv/.wh.x")  # seen through the mount alone
    refused(overlay, "srv/.wh.x")


def vfs(tmp_path: Path) -> tuple[Path, Path]:
    """A container of the vfs driver: the copy that it has, and the one that it was started from."""
    places = [tmp_path / "vfs" / "dir" / name for name in ("UPPER", "LOWER")]
    for place in places:
        place.mkdir(parents=True)
    lists = tmp_path / "vfs-layers"
    lists.mkdir()
    (lists / "layers.json").write_text('[{"id": "LOWER"}, {"id": "UPPER", "parent": "LOWER"}]')
    return places[0], places[1]


@pytest.mark.parametrize("kind", ["file", "device"])
def test_whole_copies_are_held_to_the_same(tmp_path, capsys, kind):
    upper, _ = vfs(tmp_path)
    if kind == "file":
        (upper / ".wh.x").touch()
    else:
        os.mknod(upper / "x", stat.S_IFCHR | 0o644, os.makedev(0, 0))
    assert main([str(upper), str(tmp_path / "out"), repr(BEGAN), "gzip"]) == 0
    assert "whiteout" in capsys.readouterr().out
    assert not (tmp_path / "out").exists()
