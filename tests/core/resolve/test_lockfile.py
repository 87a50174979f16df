import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avabuild.common.errors import LockError
from avabuild.resolve.lock import (
    FORMAT,
    AptLock,
    Deb,
    Distribution,
    Lock,
    Package,
    TargetLock,
    lock_text,
    read_lock,
    write_lock,
)

words = st.text(max_size=8)
packages = st.builds(
    Package,
    name=words,
    version=words,
    filename=words,
    sha256=words,
    size=st.integers(0, 2**62),
    path=words,
    url=words,
)
debs = st.builds(Deb, name=words, version=words, arch=words, sha256=words, size=st.integers(0, 2**62))


def some(values):
    return st.lists(values, max_size=3).map(tuple)


apts = st.builds(AptLock, base=words, packages=some(words), debs=some(debs))
targets = st.builds(
    TargetLock, target=words, request=words, base=words, python=some(packages), apt=some(apts)
)
locks = st.builds(
    Lock,
    format=st.just(FORMAT),
    recipe=words,
    plugins=some(st.builds(Distribution, framework=words, name=words, version=words)),
    targets=some(targets),
)

SMALL = Lock(
    recipe="ava-keras",
    plugins=(Distribution(framework="keras", name="avabuild", version="0.1.0"),),
    targets=(
        TargetLock(
            target="py311-cpu",
            request="sha256:aa",
            base="sha256:bb",
            python=(
                Package(
                    name="keras",
                    version="3.1",
                    filename="keras-3.1-py3-none-any.whl",
                    sha256="cc",
                    size=12,
                    by=("keras", "mine"),
                ),
                Package(
                    name="mine",
                    version="1",
                    kind="git",
                    url="https://example.invalid/r",
                    commit="dd",
                ),
            ),
            apt=(AptLock(base="sha256:bb", packages=("git",), debs=()),),
        ),
    ),
)


@given(locks)
def test_any_lock_comes_back_as_it_was(tmp_path_factory, lock):
    path = tmp_path_factory.getbasetemp() / "any.lock"
    write_lock(path, lock)
    assert read_lock(path) == lock


def test_a_package_is_one_line():
    lines = lock_text(SMALL).splitlines()
    fields = (
        'name = "keras", version = "3.1", filename = "keras-3.1-py3-none-any.whl", sha256 = "cc", size = 12,'
        ' by = ["keras", "mine"]'
    )
    assert f"  {{ {fields} }}," in lines
    assert lines[0].startswith("#")


def test_no_lock_is_none(tmp_path):
    assert read_lock(tmp_path / "keras.lock") is None


def test_writing_replaces_the_file_and_leaves_nothing_else(tmp_path):
    path = tmp_path / "keras.lock"
    path.write_text("old")
    write_lock(path, SMALL)
    assert read_lock(path) == SMALL
    assert list(tmp_path.iterdir()) == [path]


def test_a_lock_that_cannot_be_written_leaves_the_old_one(tmp_path, monkeypatch):
    path = tmp_path / "keras.lock"
    write_lock(path, SMALL)

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(LockError, match="No space left"):
        write_lock(path, Lock(recipe="other"))
    assert read_lock(path) == SMALL
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("<<<<<<< HEAD\n", "can't be read"),
        ('recipe = "x"\n', "has no format"),
        ("format = 2\n", "recipe: Field required"),
        ('format = 2\nrecipe = "x"\nmirror = "y"\n', "mirror: Extra inputs"),
        ('format = 2\nrecipe = "x"\n[[targets]]\ntarget = 3\n', "targets.0.target"),
        ('format = 1\nrecipe = "x"\nolds = 1\n', "has format 1, of an older avabuild"),
        ('format = 99\nrecipe = "x"\nnews = 1\n', "has format 99"),
        ("\ufffe", "can't be read"),
    ],
)
def test_damage_is_described_and_the_way_out_named(tmp_path, text, reason):
    path = tmp_path / "keras.lock"
    path.write_text(text)
    with pytest.raises(LockError, match=reason) as caught:
        read_lock(path)
    assert caught.value.place == str(path)
    assert "remove" in caught.value.hint


def test_bytes_that_are_no_text_are_damage(tmp_path):
    path = tmp_path / "keras.lock"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(LockError):
        read_lock(path)
