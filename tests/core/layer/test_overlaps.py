"""Of two wheels with one path the later name's file is in the image, however the wheels are layered."""

from __future__ import annotations

from pathlib import Path

import pytest

from avabuild.layer.grouping import HEAVY, arrange
from avabuild.layer.overlaps import (
    Overlap,
    chosen,
    find_overlaps,
    known_overlaps,
    settling,
    source_of,
    told,
    write_settled,
)
from avabuild.layer.scheme import Scheme
from avabuild.resolve.lock import Package

SCHEME = Scheme(python="3.11")
SITE = "/opt/venv/lib/python3.11/site-packages"
BOTH = Overlap(path=f"{SITE}/both.py", names=("aaa", "zzz"))


def layers(*sizes: tuple[str, int], bytecode: bool = False):
    packages = [
        Package(name=name, version="1", sha256=name * 21, filename=f"{name}-1-py3-none-any.whl", size=size)
        for name, size in sizes
    ]
    return arrange(packages, {}, SCHEME, "/usr/bin/python3", bytecode=bytecode, compression="gzip")


@pytest.mark.parametrize(
    ("sizes", "wrong"),
    [
        ({"aaa": 1, "zzz": 1}, False),
        ({"aaa": HEAVY, "zzz": 1}, False),
        ({"aaa": 1, "zzz": HEAVY}, True),
        ({"aaa": HEAVY, "zzz": 2 * HEAVY}, True),
    ],
)
def test_a_layer_puts_right_what_sizes_get_wrong_and_nothing_else(sizes, wrong):
    made = settling(layers(*sizes.items()), [BOTH], SCHEME, "gzip")
    assert bool(made) == wrong
    if made:
        assert [package.name for package in made.packages] == ["zzz"]
        assert chosen(made, [BOTH]) == {"zzz": frozenset({BOTH.path})}


def test_every_input_of_the_layer_is_in_its_key():
    below = layers(("aaa", 1), ("zzz", HEAVY))
    other = BOTH.model_copy(update={"path": f"{SITE}/more.py"})
    keys = {
        settling(below, [BOTH], SCHEME, "gzip").key,
        settling(below, [BOTH], SCHEME, "zstd").key,
        settling(below, [other], SCHEME, "gzip").key,
        settling(below, [BOTH], Scheme(python="3.12"), "gzip").key,
        settling(layers(("aaa", 1), ("zzz", HEAVY), bytecode=True), [BOTH], SCHEME, "gzip").key,
    }
    assert len(keys) == 5


def test_what_was_found_is_remembered_for_these_wheels_alone(store, tmp_path: Path, make_wheel):
    files = {"both.py": b"WHO", "same.py": b"x"}
    wheels = {
        name: make_wheel(tmp_path, files | {"both.py": name.encode()}, name=f"{name}-1-py3-none-any.whl")
        for name in ("aaa", "zzz")
    }
    below = layers(("aaa", 1), ("zzz", 1))
    assert known_overlaps(store, below, SCHEME) is None
    assert find_overlaps(store, below, wheels, SCHEME) == (BOTH,)
    assert known_overlaps(store, below, SCHEME) == (BOTH,)
    assert known_overlaps(store, layers(("aaa", 1), ("zzz", 1), ("more", 1)), SCHEME) is None
    assert known_overlaps(store, layers(("aaa", 1)), SCHEME) == ()


def test_the_layer_holds_the_winners_file(tmp_path: Path, make_wheel, files_of):
    wheel = make_wheel(tmp_path, {"both.py": b"zzz", "own.py": b"x"}, name="zzz-1-py3-none-any.whl")
    out = tmp_path / "out"
    write_settled(out, {"zzz": frozenset({BOTH.path})}, lambda _: wheel, None, SCHEME, "gzip")
    assert {path: data for path, (_, data) in files_of(out).items()} == {BOTH.path: b"zzz"}


def test_compiled_modules_are_known_by_their_sources():
    assert source_of(f"{SITE}/a/__pycache__/b.cpython-311.pyc", SCHEME) == f"{SITE}/a/b.py"
    assert source_of("/usr/local/lib/python2.7/dist-packages/a.pyc", Scheme(python="2.7")).endswith("a.py")
    assert source_of(f"{SITE}/a.pyc", SCHEME) == ""


def test_many_overlaps_are_counted():
    lines = told([BOTH] * 12)
    assert lines[0] == f"aaa and zzz all have {SITE}/both.py; the one of zzz is in the image"
    assert len(lines) == 11
    assert lines[-1] == "and 2 more files are in several wheels"
    assert told([BOTH]) == lines[:1]
