"""A store of others beside the own: what is taken from it, and what a hostile or damaged one can't do."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from avabuild.common.errors import SettingsError
from avabuild.host.settings import settings_of
from avabuild.host.sharing import Sharing, sharing
from avabuild.layer.blob import BlobWriter
from avabuild.store import Store
from avabuild.store.blob import Blob

KEY = "sha256:" + "1" * 64
DATA = b"a manifest"
DIGEST = "sha256:" + hashlib.sha256(DATA).hexdigest()
BLOB = f"blobs/sha256/{DIGEST.removeprefix('sha256:')}"


@pytest.fixture
def theirs(tmp_path: Path) -> Store:
    return Store(tmp_path / "theirs")


@pytest.fixture
def trusting(tmp_path: Path, theirs: Store) -> Store:
    return Store(tmp_path / "mine", Sharing(directory=theirs.root, users=(os.geteuid(),)))


@pytest.fixture
def wary(tmp_path: Path, theirs: Store) -> Store:
    """A store whose owner trusts nobody: not even who wrote the other one."""
    return Store(tmp_path / "mine", Sharing(directory=theirs.root))


def chosen(environ: dict[str, str], uid: int) -> Sharing | None:
    return sharing(settings_of(environ), uid)


def make(path: Path) -> Blob:
    with BlobWriter(path) as writer:
        writer.file("file", b"content")
        return writer.finish()


def refuse(path: Path) -> Blob:
    raise AssertionError(path)


def files(root: Path, part: str) -> list[str]:
    return sorted(path.name for path in (root / part).rglob("*") if path.is_file())


@contextmanager
def unmoved(root: Path) -> Iterator[None]:
    """Nothing below `root` is written, made or removed meanwhile."""

    def state() -> dict[str, tuple[int, int]]:
        return {str(p): (p.lstat().st_mtime_ns, p.lstat().st_mode) for p in (root, *root.rglob("*"))}

    before = state()
    yield
    assert state() == before


def test_a_layer_made_by_a_trusted_colleague_is_not_made_again_and_used_where_it_is(theirs, trusting):
    blob, _ = theirs.make_layer(KEY, theirs.root / "tmp", make)
    with unmoved(theirs.root):
        found, made = trusting.make_layer(KEY, trusting.root / "tmp", refuse)
    assert (found, made) == (blob, False)
    assert trusting.blob_path(blob.digest) == theirs.blob_path(blob.digest)
    assert files(trusting.root, "blobs") == []


def test_the_own_store_comes_first(theirs, trusting):
    theirs.record("base-name", "debian", "theirs")
    assert trusting.recall("base-name", "debian") == "theirs"
    trusting.record("base-name", "debian", "")
    assert trusting.recall("base-name", "debian") == ""
    theirs.put(DATA)
    trusting.put(DATA)
    assert trusting.blob_path(DIGEST) == trusting.root / BLOB


def test_what_is_a_users_own_affair_is_not_taken_from_others(theirs, trusting):
    for kind in ("file", "parts", "apt", "driver"):
        theirs.record(kind, "key", "theirs")
        assert trusting.recall(kind, "key") is None


def test_a_blob_is_read_once_and_then_known_by_its_state(theirs, trusting, monkeypatch):
    theirs.put(DATA)
    assert trusting.has(DIGEST)
    monkeypatch.setattr("avabuild.store.shared.Found.digest", refuse)
    later = Store(trusting.root, Sharing(directory=theirs.root, users=(os.geteuid(),)))
    assert later.has(DIGEST, len(DATA))
    assert later.blob_path(DIGEST).read_bytes() == DATA


def test_a_blob_that_changed_after_it_was_read_is_read_again(theirs, trusting):
    theirs.put(DATA)
    assert trusting.has(DIGEST)
    before = (theirs.root / BLOB).stat()
    (theirs.root / BLOB).write_bytes(DATA[::-1])
    os.utime(theirs.root / BLOB, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert not trusting.has(DIGEST)
    assert trusting.blob_path(DIGEST) == trusting.root / BLOB


def test_of_the_untrusted_nothing_is_believed_and_content_is_copied_as_it_is_compared(theirs, wary):
    blob, _ = theirs.make_layer(KEY, theirs.root / "tmp", make)
    theirs.record("compiled", "c", "tools")
    theirs.record("base-name", "debian", blob.digest)
    assert wary.layer(KEY) is None
    assert wary.recall("compiled", "c") is None
    assert wary.recall("base-name", "debian") is None
    assert wary.has(blob.digest, blob.size)
    assert wary.blob_path(blob.digest) == wary.root / "blobs/sha256" / blob.digest.removeprefix("sha256:")
    theirs.blob_path(blob.digest).write_bytes(b"something else")
    assert hashlib.sha256(wary.blob_path(blob.digest).read_bytes()).hexdigest() in blob.digest
    assert files(wary.root, "tmp") == []


def test_untrusted_content_that_is_not_what_it_is_called_leaves_nothing(theirs, wary):
    (theirs.root / BLOB).write_bytes(DATA[::-1])
    assert not wary.has(DIGEST, len(DATA))
    assert not wary.has(DIGEST, len(DATA))
    assert files(wary.root, "blobs") == files(wary.root, "tmp") == []


@pytest.mark.parametrize("store", ["trusting", "wary"])
@pytest.mark.parametrize(
    "spoil",
    [
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(DATA[:-1]),
        lambda path: path.write_bytes(DATA + b"x"),
        lambda path: (path.unlink(), path.mkdir()),
        lambda path: (path.unlink(), os.mkfifo(path)),
        lambda path: (path.unlink(), path.symlink_to("/dev/zero")),
        lambda path: (path.rename(path.with_name("real")), path.symlink_to("real")),
        lambda path: (path.unlink(), os.truncate(os.open(path, os.O_CREAT | os.O_WRONLY), 1 << 42)),
        lambda path: (path.parent.rename(path.parents[1] / "x"), path.parent.symlink_to("x")),
    ],
    ids=["empty", "cut off", "longer", "directory", "fifo", "device", "link", "huge", "linked directory"],
)
def test_an_entry_that_is_not_a_whole_plain_file_counts_as_absent(request, theirs, store, spoil):
    theirs.put(DATA)
    spoil(theirs.root / BLOB)
    mine, began = request.getfixturevalue(store), time.monotonic()
    assert not mine.has(DIGEST, len(DATA))
    assert store == "trusting" or not mine.has(DIGEST)
    assert time.monotonic() - began < 5


def test_a_socket_counts_as_absent(theirs, wary, monkeypatch):
    monkeypatch.chdir((theirs.root / BLOB).parent)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("s")
        Path("s").rename(theirs.root / BLOB)
        assert not wary.has(DIGEST)


@pytest.mark.parametrize("name", ["../secret", "blobs/../../secret", "/etc/passwd", "blobs//sha256", "."])
def test_a_name_never_leads_out_of_the_shared_store(theirs, trusting, name):
    (theirs.root.parent / "secret").write_bytes(DATA)
    assert trusting.shared.read(name) is None


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "1", '{"digest": 3}', "[" * 100_000, '"\xff'])
def test_a_layers_entry_that_is_no_such_counts_as_absent(theirs, trusting, text):
    blob, _ = theirs.make_layer(KEY, theirs.root / "tmp", make)
    (entry,) = (theirs.root / "index/layer").iterdir()
    entry.write_text(text, encoding="latin-1")
    assert trusting.layer(KEY) is None
    mine, made = trusting.make_layer(KEY, trusting.root / "tmp", make)
    assert made
    assert mine == blob


def test_an_entry_that_names_a_blob_which_is_another_counts_as_absent(theirs, trusting):
    blob, _ = theirs.make_layer(KEY, theirs.root / "tmp", make)
    path = theirs.blob_path(blob.digest)
    path.write_bytes(os.urandom(blob.size))
    assert trusting.layer(KEY) is None


@pytest.mark.parametrize("part", ["", "index", "index/layer", "entry"])
@pytest.mark.parametrize("mode", [stat.S_IWOTH, stat.S_IWGRP], ids=["others", "group"])
def test_an_entry_that_others_may_write_is_not_believed(theirs, trusting, part, mode):
    theirs.make_layer(KEY, theirs.root / "tmp", make)
    assert trusting.layer(KEY) is not None
    (entry,) = (theirs.root / "index/layer").iterdir()
    path = entry if part == "entry" else theirs.root / part
    if mode == stat.S_IWGRP and os.geteuid() == 0:
        os.chown(path, -1, 54321)
    path.chmod(stat.S_IMODE(path.stat().st_mode) | mode)
    trusted_group = mode == stat.S_IWGRP and path.stat().st_gid == 0
    assert (trusting.layer(KEY) is not None) == trusted_group


@pytest.mark.skipif(os.geteuid() != 0, reason="gives files to another user")
def test_an_entry_of_another_user_is_believed_when_that_one_is_named(tmp_path, theirs):
    theirs.make_layer(KEY, theirs.root / "tmp", make)
    for path in (theirs.root, *theirs.root.rglob("*")):
        os.chown(path, 54321, 54321)
    assert Store(tmp_path / "mine", Sharing(directory=theirs.root, users=(0,))).layer(KEY) is None
    named = chosen({"AVABUILD_SHARED_CACHE": str(theirs.root), "AVABUILD_SHARED_TRUST": "54321"}, 0)
    assert Store(tmp_path / "mine", named).layer(KEY) is not None


def test_what_a_module_compiles_to_is_the_word_of_the_trusted_only(tmp_path, theirs, trusting):
    theirs.record("pack", "pyc/x.zip", DIGEST)
    assert trusting.recall("pack", "pyc/x.zip") == DIGEST
    wary = Store(tmp_path / "wary", Sharing(directory=theirs.root))
    assert wary.recall("pack", "pyc/x.zip") is None


def test_what_a_build_needs_below_its_own_path_is_linked_or_copied(theirs, trusting):
    (theirs.root / "debs").mkdir()
    (theirs.root / "debs" / "tree.deb").write_bytes(DATA)
    taken = trusting.take("debs/tree.deb", DIGEST)
    assert taken == trusting.root / "debs" / "tree.deb"
    assert taken.read_bytes() == DATA
    assert trusting.take("debs/none.deb", DIGEST) is None
    assert files(trusting.root, "tmp") == []


def test_a_shared_store_that_is_the_own_one_changes_nothing(theirs):
    assert Store(theirs.root, Sharing(directory=theirs.root)).shared is None


def test_why_nothing_is_taken_is_said(tmp_path, theirs, trusting, wary):
    assert trusting.shared.problem() is None
    assert "AVABUILD_SHARED_TRUST=" in wary.shared.problem()
    gone = Store(tmp_path / "other", Sharing(directory=tmp_path / "gone")).shared
    assert "gone can't be read: No such file" in gone.problem()
    (tmp_path / "file").write_text("")
    assert (
        "file can't be read" in Store(tmp_path / "o", Sharing(directory=tmp_path / "file")).shared.problem()
    )


def test_the_environment_names_it_and_who_is_trusted():
    assert chosen({}, 7) is None
    found = chosen({"AVABUILD_SHARED_CACHE": "/lab", "AVABUILD_SHARED_TRUST": "daemon, 4711 @daemon"}, 7)
    assert found.directory == Path("/lab")
    assert {0, 1, 7, 4711} <= set(found.users)
    assert found.members == (1,)
    assert {0, 1} <= set(found.groups)


@pytest.mark.parametrize(
    ("named", "words"),
    [
        ("nosuchone", "AVABUILD_SHARED_TRUST: this host has no user nosuchone"),
        ("@nosuchone", "no group nosuchone"),
    ],
)
def test_a_name_that_the_host_does_not_know_is_an_error_that_says_how_to_write_it(named, words):
    with pytest.raises(SettingsError, match=words) as caught:
        chosen({"AVABUILD_SHARED_CACHE": "/lab", "AVABUILD_SHARED_TRUST": named}, 7)
    assert "@lab" in caught.value.hint


@pytest.fixture
def umask() -> Iterator[Callable[[int], None]]:
    before = os.umask(0o022)
    yield os.umask
    os.umask(before)


@pytest.mark.parametrize(
    ("mode", "directory", "file", "lock"),
    [(0o2775, 0o2775, 0o644, 0o664), (0o2770, 0o2770, 0o640, 0o660), (0o755, 0o755, 0o644, 0o644),
     (0o700, 0o700, 0o600, 0o600)],
)  # fmt: skip
def test_what_is_written_can_be_read_by_whoever_may_read_the_directory(
    tmp_path, umask, mode, directory, file, lock
):
    root = tmp_path / "lab"
    root.mkdir()
    root.chmod(mode)
    umask(0o077)
    store = Store(root)
    store.make_layer(KEY, root / "tmp", make)
    store.record("base", "b", {})
    made = [path for path in root.rglob("*") if path.parent.name != "tmp"]
    assert {stat.S_IMODE(path.stat().st_mode) for path in made if path.is_dir()} == {directory}
    locks = {path for path in made if path.parent.name in {"locks", "leases"}}
    assert {stat.S_IMODE(path.stat().st_mode) for path in locks} == {lock}
    assert {stat.S_IMODE(p.stat().st_mode) for p in made if p.is_file() and p not in locks} == {file}


def test_an_entry_is_what_it_was_when_it_is_read(theirs, trusting):
    theirs.record("layer", "k", {"a": 1})
    assert json.loads(trusting.shared.read("index/layer/k.json"))["data"] == {"a": 1}
