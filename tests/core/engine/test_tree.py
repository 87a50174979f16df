from __future__ import annotations

import io
import tarfile
from typing import TYPE_CHECKING

import pytest

from avabuild.common.errors import RecipeError
from avabuild.layer.blob import BlobWriter
from avabuild.layer.files import files_key, write_files
from avabuild.layer.tree import Node, Tree, read_tree
from avabuild.plugins.kinds import File
from avabuild.store import Store

if TYPE_CHECKING:
    from pathlib import Path

    from avabuild.store.blob import Blob


def layer(store: Store, place: Path, *members: tuple[str, int, int, str]) -> Blob:
    """Keep a layer of (name, mode, uid, link); a link's text makes it a link."""
    path = place / "layer"
    with BlobWriter(path) as writer:
        for name, mode, uid, link in members:
            info = tarfile.TarInfo(name)
            info.mode, info.uid, info.gid, info.linkname = mode, uid, uid, link
            info.type = tarfile.SYMTYPE if link else tarfile.DIRTYPE
            above, _, last = name.rpartition("/")
            if last == ".wh..wh..opq":
                writer.opaque(above)
            elif last.startswith(".wh."):
                writer.whiteout(above, last.removeprefix(".wh."))
            else:
                writer.add(info, ())
        blob = writer.finish()
    store.adopt(path, blob.digest)
    return blob


@pytest.fixture
def own_store(tmp_path: Path) -> Store:
    return Store(tmp_path / "cache")


def test_parents_keep_the_rights_they_have_below(own_store: Store, tmp_path: Path) -> None:
    below = layer(
        own_store, tmp_path, ("tmp", 0o1777, 0, ""), ("home", 0o755, 0, ""), ("home/u", 0o700, 1000, "")
    )
    tree = read_tree(own_store, [below])
    (tmp_path / "x").write_text("x")
    files = (File(source="x", target="/tmp/x"), File(source="x", target="/home/u/new/x"))
    write_files(tmp_path / "made", files, tmp_path, "gzip", tree)
    with tarfile.open(fileobj=io.BytesIO((tmp_path / "made").read_bytes())) as tar:
        seen = {member.name: (oct(member.mode), member.uid) for member in tar if member.isdir()}
    assert seen == {
        "tmp": ("0o1777", 0),
        "home": ("0o755", 0),
        "home/u": ("0o700", 1000),
        "home/u/new": ("0o755", 0),
    }


def test_links_on_the_way_are_followed_and_stay(own_store: Store, tmp_path: Path) -> None:
    below = layer(
        own_store, tmp_path, ("usr", 0o755, 0, ""), ("usr/bin", 0o755, 0, ""), ("bin", 0o777, 0, "usr/bin")
    )
    (tmp_path / "x").write_text("x")
    write_files(
        tmp_path / "made",
        (File(source="x", target="/bin/x"),),
        tmp_path,
        "gzip",
        read_tree(own_store, [below]),
    )
    with tarfile.open(fileobj=io.BytesIO((tmp_path / "made").read_bytes())) as tar:
        assert tar.getnames() == ["usr", "usr/bin", "usr/bin/x"]


def test_links_never_lead_out_of_the_image() -> None:
    tree = Tree({"out": Node(link="../../../etc"), "up": Node(link="/a/../../b")})
    assert tree.place("out/passwd") == "etc/passwd"
    assert tree.place("up/x") == "b/x"


def test_links_in_a_circle_are_refused() -> None:
    tree = Tree({"a": Node(link="b"), "b": Node(link="a")})
    with pytest.raises(RecipeError, match="circle"):
        tree.place("a/x")


def test_upper_layers_win_and_whiteouts_remove(own_store: Store, tmp_path: Path) -> None:
    lower = layer(own_store, tmp_path, ("a", 0o700, 1, ""), ("b", 0o700, 2, ""))
    upper = layer(own_store, tmp_path, ("a", 0o750, 3, ""), (".wh.b", 0o644, 0, ""))
    tree = read_tree(own_store, [lower, upper])
    assert tree.directory("a") == Node(0o750, 3, 3)
    assert tree.directory("b") == Node()


def test_another_parent_makes_another_key(own_store: Store, tmp_path: Path) -> None:
    (tmp_path / "x").write_text("x")
    files = (File(source="x", target="/tmp/x"),)
    keys = {
        files_key(own_store, files, tmp_path, "gzip", Tree({"tmp": Node(mode)})) for mode in (0o1777, 0o755)
    } | {files_key(own_store, files, tmp_path, "gzip", Tree({"tmp": Node(link="var/tmp")}))}
    assert len(keys) == 3


def test_a_layer_is_read_once(own_store: Store, tmp_path: Path) -> None:
    below = layer(own_store, tmp_path, ("tmp", 0o1777, 0, ""))
    first = read_tree(own_store, [below])
    own_store.blob_path(below.digest).unlink()
    assert read_tree(own_store, [below]) == first


def test_what_a_whiteout_or_an_opaque_directory_hides_is_gone(own_store: Store, tmp_path: Path) -> None:
    lower = layer(
        own_store,
        tmp_path,
        ("a", 0o700, 1, ""),
        ("a/b", 0o700, 1, ""),
        ("c", 0o700, 2, ""),
        ("c/d", 0o700, 2, ""),
    )
    upper = layer(
        own_store, tmp_path, (".wh.a", 0o644, 0, ""), ("c", 0o755, 3, ""), ("c/.wh..wh..opq", 0o644, 0, "")
    )
    tree = read_tree(own_store, [lower, upper])
    assert tree.directory("a/b") == Node()
    assert tree.directory("c/d") == Node()
    assert tree.directory("c") == Node(0o755, 3, 3)
