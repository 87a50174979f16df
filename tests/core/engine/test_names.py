"""Names of apt packages, held against a distribution's index."""

from __future__ import annotations

import gzip
import os
import threading
import time
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest

from avabuild.common.errors import ResolveError
from avabuild.engine import mirror_index
from avabuild.engine.names import looked_up, names_for, packages_of, parse, refuse_unknown
from avabuild.host.host import probe
from avabuild.layer.base import Base
from avabuild.plan.plan import Plan, Step
from avabuild.plugins.kinds import Apt, Repository, Run
from avabuild.plugins.target import Device, Target
from avabuild.recipe import ScratchBase
from avabuild.resolve.lock import AptLock

INDEX = b"""\
Package: git
Version: 1
Provides: git-completion, git-core (= 1)

Package: gawk
Provides: awk

Package: mawk
Description: x
Provides: awk

Package: imagemagick
"""
TARGET = Target(distribution="warty", arch="x86_64", python="3.11", device=Device(), glibc="2.36")
BASE = Base(digest="sha256:" + "b" * 64)
APT = Apt(packages=("git",))


def test_all_wrong_names_are_told_at_once_with_what_is_near_and_who_provides_them():
    wanted = ("git=1:2", "git-core", "gitt", "awk", "imagemagik", "zzz")
    assert parse([INDEX]).unknown(wanted) == (
        "gitt: there is no such package; near it: git",
        "awk is virtual: name one that provides it, gawk, mawk",
        "imagemagik: there is no such package; near it: imagemagick",
        "zzz: there is no such package",
    )
    with pytest.raises(ResolveError, match=r"(?s)warty does not have all.*gitt: .*awk is.*zzz: "):
        refuse_unknown(parse([INDEX]), wanted, "warty")
    refuse_unknown(parse([INDEX]), ("git", "git-core"), "warty")
    refuse_unknown(None, ("gitt",), "warty")


@pytest.fixture
def ask(store):
    """Return a function that looks an index up as a build on BASE does."""
    host = probe(os.environ | {"AVABUILD_CACHE": str(store.root)})

    def asked(*, base=BASE, apt=APT, mirror=""):
        return names_for(store, host, base, TARGET, apt, mirror)

    return asked


@pytest.fixture
def lists(store):
    """Lists that APT fetched for BASE."""
    place = store.root / "apt-lists" / ("b" * 16) / "lists"
    place.mkdir(parents=True)
    path = place / "mirror_dists_warty_main_binary-amd64_Packages"
    path.write_bytes(INDEX)
    return path


def test_lists_of_an_earlier_build_are_looked_into_and_known_to_be_old_after_a_day(ask, lists):
    found = ask()
    assert "mawk" in found.packages
    assert not found.old
    lists.write_bytes(INDEX + b"\nPackage: new\n")
    os.utime(lists, (time.time() - 90_000,) * 2)
    assert "new" in ask().packages
    assert ask().old


def test_of_other_repositories_only_what_apt_fetched_is_known(ask, lists):
    other = Repository(name="mine", suite="warty", components=("contrib",))
    assert ask(apt=Apt(packages=("x",), repositories=(other,))) is None


def test_without_any_index_nothing_is_known(ask):
    assert ask(base=None) is None
    assert ask(base=None, mirror="http://127.0.0.1:9/debian") is None


def test_a_mirror_is_asked_once_a_day(ask, tmp_path):
    place = tmp_path / "web/dists/warty/main/binary-amd64"
    place.mkdir(parents=True)
    (place / "Packages.gz").write_bytes(gzip.compress(INDEX))
    asked = []

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, *args):
            asked.append(self.path)

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(tmp_path / "web")))
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    mirror = f"http://127.0.0.1:{server.server_port}"
    try:
        assert "git" in ask(base=None, mirror=mirror).packages
    finally:
        server.shutdown()
        server.server_close()
    assert ask(base=None, mirror=mirror).providers["awk"] == ("gawk", "mawk")
    assert asked == ["/dists/warty/main/binary-amd64/Packages.gz"]


@pytest.fixture
def served(tmp_path):
    """Return a function that has a mirror answer with these bytes, and returns its address."""
    place = tmp_path / "web/dists/warty/main/binary-amd64"
    place.mkdir(parents=True)
    server = ThreadingHTTPServer(
        ("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=str(tmp_path / "web"))
    )
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()

    def serve(data: bytes) -> str:
        (place / "Packages.gz").write_bytes(data)
        return f"http://127.0.0.1:{server.server_port}"

    yield serve
    server.shutdown()
    server.server_close()


PACKED = gzip.compress(INDEX)


@pytest.mark.parametrize(
    "answer",
    [
        b"<html>",
        PACKED[:-9],
        PACKED[:20] + b"\xff" * 40 + PACKED[60:],
        gzip.compress(b"Package: \xff\n"),
        gzip.compress(b""),
        gzip.compress(b"a" * (5 << 20)),
        gzip.compress(INDEX + b"\n" * (5 << 20)),
        PACKED + gzip.compress(b"") * 200_000,
    ],
    ids=["a page", "cut off", "damaged", "no text", "empty", "one line", "unpacks to more", "is more"],
)
def test_what_is_no_index_or_too_much_of_one_is_nothing_known(ask, store, served, monkeypatch, answer):
    monkeypatch.setattr(mirror_index, "_UNPACKED", 4 << 20)
    monkeypatch.setattr(mirror_index, "_FETCHED", 2 << 20)
    assert ask(base=None, mirror=served(answer)) is None
    assert not list(store.root.glob("apt-names/*"))


def test_an_index_that_never_ends_is_left(ask, served, monkeypatch):
    monkeypatch.setattr(mirror_index, "_WHOLE", -1)
    assert ask(base=None, mirror=served(PACKED)) is None


class Faulty(SimpleHTTPRequestHandler):
    """Answers with the next of `faults`: a status, or the number of bytes after which it breaks off."""

    faults: list[int]

    def do_GET(self):
        fault = self.faults.pop(0) if self.faults else 200
        self.send_response(max(fault, 200))
        self.send_header("Content-Length", str(len(PACKED)))
        self.end_headers()
        self.wfile.write(PACKED[: fault if fault < 200 else len(PACKED)])

    def log_message(self, *args):
        pass


@pytest.mark.parametrize(
    ("faults", "known", "asked"),
    [
        ([0], True, 2),
        ([90, 0], True, 3),
        ([503, 502], True, 3),
        ([0, 60, 500], False, 3),
        ([404], False, 1),
    ],
    ids=["silence", "broken off twice", "errors of a proxy", "never", "is not there"],
)
def test_a_mirror_that_fails_is_asked_again_from_the_start(ask, monkeypatch, faults, known, asked):
    monkeypatch.setattr(mirror_index, "_PAUSE", 0)
    left = [*faults, *[200] * 9]
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (Faulty,), {"faults": left}))
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        found = ask(base=None, mirror=f"http://127.0.0.1:{server.server_port}")
    finally:
        server.shutdown()
        server.server_close()
    assert (found is not None) is known
    assert len(faults) + 9 - len(left) == asked
    assert found is None or found.providers["awk"] == ("gawk", "mawk")


def test_a_name_across_two_pieces_is_read(ask, served, monkeypatch):
    monkeypatch.setattr(mirror_index, "_CHUNK", 16)
    monkeypatch.setattr(mirror_index, "_LONGEST", 64)
    assert ask(base=None, mirror=served(PACKED)).providers["awk"] == ("gawk", "mawk")


@pytest.mark.parametrize(
    ("upper", "asked"),
    [
        ({}, False),
        ({"etc/apt/sources.list.d/.wh.other.list": b""}, True),
        ({"etc/apt/.wh..wh..opq": b"", "etc/apt/sources.list": None}, True),
        ({"etc/apt/.wh.sources.list.d": b"", "etc/apt/.wh.sources.list": b""}, False),
    ],
    ids=["both", "the other is gone", "all is new", "all is gone"],
)
def test_a_base_says_its_sources_by_what_its_layers_leave(ask, served, keep_layer, upper, asked):
    line = f"deb {served(PACKED)} warty main\n".encode()
    lower = {"etc/apt/sources.list": line, "etc/apt/sources.list.d/other.list": b"deb x"}
    files = {name: line if data is None else data for name, data in upper.items()}
    base = Base(digest="sha256:" + "c" * 64, layers=(keep_layer(lower), keep_layer(files)))
    found = ask(base=base)
    assert (found is not None and "git" in found.packages) is asked


def test_what_avabuild_installs_what_a_lock_has_and_what_steps_may_add_is_not_looked_up():
    def plan(**fields):
        return Plan(name="x", tag="t", base=ScratchBase(), target=TARGET, **fields)

    own = Step(name="apt: frameworks", layer=Apt(packages=("python3",)), origins=("avabuild",))
    mine = Step(name="apt: packages", layer=APT, origins=("recipe",))
    assert looked_up(plan(apt=own, apt_extra=mine), ()) == (APT,)
    assert looked_up(plan(apt_extra=mine), [AptLock(base="", packages=("git",), debs=())]) == ()
    bare = Step(name="run 1", layer=Run(shell="true", stage="system"), origins=("recipe",))
    assert looked_up(plan(apt_extra=mine, system=(bare,)), ()) == ()


CONTENTS = b"""\
lib/x86_64-linux-gnu/libSM.so.6 libs/libsm6
usr/lib/x86_64-linux-gnu/libgthread-2.0.so.0            libs/libglib2.0-0
usr/lib/x86_64-linux-gnu/libgthread-2.0.so.0.7400.6     libs/libglib2.0-0
usr/lib/x86_64-linux-gnu/libmpi.so.40  universe/libs/libopenmpi3,libs/other
usr/lib/x86_64-linux-gnu/private/libgone.so.1 libs/private
usr/share/doc/libdoc.so.1 doc/libdoc
"""


def test_libraries_are_found_in_the_package_that_has_them_where_loaders_look(store, tmp_path):
    place = tmp_path / "web/dists/warty/main"
    place.mkdir(parents=True)
    (place / "Contents-amd64.gz").write_bytes(gzip.compress(CONTENTS))
    host = probe(os.environ | {"AVABUILD_CACHE": str(store.root)})
    sonames = ("libgthread-2.0.so.0", "libSM.so.6", "libmpi.so.40", "libgone.so.1", "libdoc.so.1")
    server = ThreadingHTTPServer(
        ("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=str(tmp_path / "web"))
    )
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        mirror = f"http://127.0.0.1:{server.server_port}"
        found = packages_of(store, host, BASE, TARGET, mirror, sonames)
    finally:
        server.shutdown()
        server.server_close()
    assert found == {
        "libgthread-2.0.so.0": "libglib2.0-0",
        "libSM.so.6": "libsm6",
        "libmpi.so.40": "libopenmpi3",
    }
    assert packages_of(store, host, BASE, TARGET, mirror, sonames) == found  # from what was kept
