"""An image's workdir and volumes are there, and are its user's."""

from __future__ import annotations

import io
import tarfile
from typing import TYPE_CHECKING

import pytest

from avabuild.engine.directories import directories_parts, missing, owner, user_of, wanted, write_directories
from avabuild.layer.blob import BlobWriter
from avabuild.layer.tree import Node, Tree
from avabuild.store import Store
from avabuild.store.oci import Settings

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from avabuild.store.blob import Blob

PASSWD = "root:x:0:0:root:/root:/bin/sh\nada:x:1000:1001:Ada:/home/ada:/bin/sh\nbroken\n"
GROUP = "root:x:0:\nada:x:1001:\nusers:x:100:ada\n"


@pytest.fixture
def own_store(tmp_path: Path) -> Store:
    return Store(tmp_path / "cache")


def layer(store: Store, place: Path, files: Mapping[str, str]) -> Blob:
    with BlobWriter(place / "layer") as writer:
        for name, text in files.items():
            above, _, last = name.rpartition("/")
            if last.startswith(".wh."):
                writer.whiteout(above, last.removeprefix(".wh."))
            else:
                writer.file(name, text.encode())
        blob = writer.finish()
    store.adopt(place / "layer", blob.digest)
    return blob


@pytest.mark.parametrize(
    ("user", "ids"),
    [
        ("", (0, 0)),
        ("root", (0, 0)),
        ("1000:100", (1000, 100)),
        ("1000", (1000, 1001)),
        ("1000650000", (1000650000, 0)),
        ("1000650000:0", (1000650000, 0)),
        ("ada", (1000, 1001)),
        ("ada:users", (1000, 100)),
        ("ada:5", (1000, 5)),
        ("eve", None),
        ("ada:nobody", None),
    ],
)
def test_a_user_is_who_the_layers_say(own_store, tmp_path, user, ids):
    below = layer(own_store, tmp_path, {"etc/passwd": PASSWD, "etc/group": GROUP})
    for _ in range(2):  # read, then remembered
        assert owner(own_store, [below], user) == ids


def test_a_user_of_an_upper_layer_counts_and_one_that_it_deleted_does_not(own_store, tmp_path):
    below = layer(own_store, tmp_path, {"etc/passwd": PASSWD})
    above = layer(own_store, tmp_path, {"etc/passwd": "ada:x:7:8::/:/bin/sh\n"})
    gone = layer(own_store, tmp_path, {"etc/.wh.passwd": ""})
    assert owner(own_store, [below, above], "ada") == (7, 8)
    assert owner(own_store, [below, gone], "ada") is None
    assert owner(own_store, [below, layer(own_store, tmp_path, {".wh.etc": ""})], "ada") is None


def test_only_what_is_missing_is_made_and_its_parents_stay_as_they_are():
    nodes = {"home": Node(0o711, 5, 6), "srv": Node(link="/home"), "there": Node()}
    found = missing(Tree(nodes), ["/srv/ada/work", "/there", "/data"], (1000, 100))
    assert [(one.name, oct(one.mode), one.uid, one.gid) for one in found] == [
        ("data", "0o755", 1000, 100),
        ("home", "0o711", 5, 6),
        ("home/ada", "0o755", 0, 0),
        ("home/ada/work", "0o755", 1000, 100),
    ]
    assert missing(Tree(nodes), ["/there", "/srv"], (1, 1)) == ()


def test_a_directory_inside_of_another_that_is_wanted_is_the_user_s_too():
    found = missing(Tree(), ["/work/data", "/work"], (7, 7))
    assert [(one.name, one.uid) for one in found] == [("work", 7), ("work/data", 7)]


def test_the_environment_and_the_root_are_never_made():
    settings = Settings(workdir="/", volumes=("/opt/venv", "/opt/venv/share", "/opt/venv2", "/data", "/data"))
    assert wanted(settings) == ("/opt/venv2", "/data")
    assert wanted(Settings()) == ()


def test_the_recipe_s_user_counts_else_the_base_s():
    base = {"config": {"User": "ada"}}
    assert (user_of(Settings(), base), user_of(Settings(user="eve"), base), user_of(Settings(), {})) == (
        "ada", "eve", "")  # fmt: skip


def test_equal_directories_make_equal_layers_and_other_owners_others(tmp_path):
    one, same, other = (missing(Tree(), ["/work"], ids) for ids in ((1, 1), (1, 1), (1, 2)))
    assert directories_parts(one, "gzip") == directories_parts(same, "gzip")
    assert directories_parts(one, "gzip")[1] != directories_parts(other, "gzip")[1]
    assert directories_parts(one, "gzip")[1] != directories_parts(one, "zstd")[1]
    write_directories(tmp_path / "out", one, "gzip")
    with tarfile.open(fileobj=io.BytesIO((tmp_path / "out").read_bytes())) as tar:
        (entry,) = tar.getmembers()
    assert (entry.name, entry.isdir(), oct(entry.mode), entry.uid, entry.gid) == ("work", True, "0o755", 1, 1)
