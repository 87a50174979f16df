"""What changed in a container of the vfs driver, which keeps whole copies: the same entries as an overlay's."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from avabuild.common.errors import HostError
from avabuild.layer.diff import write_changes

Read = Callable[[Callable[[Path], object]], dict[str, bytes]]


def write_lists(root: Path, lasting: list[str], volatile: list[str] | None = None) -> None:
    """Write the layer store's lists; containers of newer releases are in one of their own."""
    known = {"BASE": {"id": "BASE"}, "CONTAINER": {"id": "CONTAINER", "parent": "BASE"}}
    (root / "vfs-layers").mkdir(exist_ok=True)
    for name, listed in (("layers", lasting), ("volatile-layers", volatile)):
        if listed is not None:
            text = json.dumps([known[identity] for identity in listed])
            (root / "vfs-layers" / f"{name}.json").write_text(text)


@pytest.fixture
def changed(tmp_path: Path, entries) -> Read:
    """A function that does something in a container, and returns the layer's entries: names and contents."""
    directory = tmp_path / "vfs" / "dir"
    base, container = directory / "BASE", directory / "CONTAINER"
    (base / "usr" / "lib").mkdir(parents=True)
    for name in ("file", "other", "usr/lib/a", "usr/lib/b"):
        (base / name).write_text("base")
    (base / "link").symlink_to("file")
    shutil.copytree(base, container, symlinks=True)
    write_lists(tmp_path, ["BASE", "CONTAINER"])

    def read(act: Callable[[Path], object], *drop: str) -> dict[str, bytes]:
        act(container)
        write_changes(container, tmp_path / "layer", time.time(), drop, "gzip")
        return {info.name: data for info, data in entries(tmp_path / "layer")}

    return read


def test_nothing_was_done(changed: Read) -> None:
    assert changed(lambda root: None) == {}


def test_a_container_in_the_list_of_volatile_layers_has_a_parent_too(changed: Read, tmp_path: Path) -> None:
    write_lists(tmp_path, ["BASE"], ["CONTAINER"])
    assert list(changed(lambda root: (root / "new").touch())) == ["new"]


def test_a_container_in_no_list_is_refused_rather_than_written_whole(changed: Read, tmp_path: Path) -> None:
    write_lists(tmp_path, ["BASE"])
    with pytest.raises(HostError, match="does not list the layer"):
        changed(lambda root: None)


def test_what_is_new_comes_with_its_directories(changed: Read) -> None:
    def act(root: Path) -> None:
        (root / "srv" / "app").mkdir(parents=True)
        (root / "srv" / "app" / "run").write_text("new")

    assert list(changed(act)) == ["srv", "srv/app", "srv/app/run"]


def test_what_was_written_comes_with_the_directory_that_holds_it(changed: Read) -> None:
    assert changed(lambda root: (root / "usr/lib/a").write_text("changed")) == {
        "usr": b"",
        "usr/lib": b"",
        "usr/lib/a": b"changed",
    }


def test_what_was_removed_leaves_a_whiteout(changed: Read) -> None:
    def act(root: Path) -> None:
        (root / "file").unlink()
        shutil.rmtree(root / "usr" / "lib")

    assert list(changed(act)) == [".wh.file", "usr", "usr/.wh.lib"]


def test_a_file_in_place_of_a_directory_and_the_other_way_round(changed: Read) -> None:
    def act(root: Path) -> None:
        shutil.rmtree(root / "usr")
        (root / "usr").write_text("file")
        (root / "file").unlink()
        (root / "file").mkdir()
        (root / "file" / "in").write_text("x")

    assert changed(act) == {"file": b"", "file/in": b"x", "usr": b"file"}


def test_a_directory_in_place_of_a_link_is_written_whole(changed: Read) -> None:
    def act(root: Path) -> None:
        (root / "link").unlink()
        (root / "link").mkdir()
        (root / "link" / "in").write_text("x")

    assert list(changed(act)) == ["link", "link/in"]


def test_a_mode_is_a_change(changed: Read) -> None:
    def act(root: Path) -> None:
        (root / "other").chmod(0o600)
        (root / "usr").chmod(0o700)

    assert list(changed(act)) == ["other", "usr"]


def test_what_is_dropped_is_neither_written_nor_removed(changed: Read) -> None:
    def act(root: Path) -> None:
        (root / "file").unlink()
        (root / "other").write_text("new")

    assert changed(act, "file", "other") == {}  # type: ignore[call-arg]
