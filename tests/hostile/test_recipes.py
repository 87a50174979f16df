"""Recipes that would hang, fill the memory, or put into a layer what means something else there."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import pytest

from avabuild.common.errors import RecipeError
from avabuild.engine.directories import owner
from avabuild.layer.blob import BlobWriter
from avabuild.layer.files import write_files
from avabuild.plugins.kinds import File
from avabuild.recipe import load, variants
from avabuild.run.stamp import fresh, write_stamp

COMMAND = Path(sys.executable).with_name("avabuild")
NAMED = 'name = "mine"\n'


def problem(path: Path) -> str:
    """What is wrong with a recipe, which takes no time to say."""
    began = time.process_time()
    with pytest.raises(RecipeError) as caught:
        variants(load(path), load)
    assert time.process_time() - began < 5
    return str(caught.value)


@pytest.fixture
def written(tmp_path: Path):
    def write(text: str, name: str = "mine.toml") -> Path:
        path = tmp_path / name
        path.write_text(NAMED + text)
        return path

    return write


@pytest.fixture
def odd(tmp_path: Path, request) -> str:
    """The name of something in the recipe's directory that is no file with an end."""
    path = tmp_path / "odd"
    match request.param:
        case "pipe":
            os.mkfifo(path)
        case "link to a device":
            path.symlink_to("/dev/zero")
        case "socket":
            with socket.socket(socket.AF_UNIX) as one:
                one.bind(str(path))
        case kernels:
            path.symlink_to(kernels)
    return "./odd"


ODD = ("pipe", "link to a device", "socket", "/proc/kmsg", "/proc/self/maps", "/sys/kernel/mm")
WORDS = ("a named pipe", "a device", "a socket", "one of the kernel's own files")


@pytest.mark.parametrize("odd", ODD[:-1], indirect=True)
@pytest.mark.parametrize(
    "text",
    [
        'base = {{ archive = "{}" }}',
        'base = {{ recipe = "{}" }}',
        'base = [{{ device = "cpu", archive = "{}" }}, {{ debian = "bookworm" }}]',
        '[[files]]\nsource = "{}"\ntarget = "/x"',
        '[packages]\nrepositories = [{{ name = "r", suite = "/", components = [], uri = "file:/r", key = "{}" }}]',
    ],
    ids=["archive", "recipe", "one of several", "file", "key"],
)
def test_what_has_no_end_is_refused_wherever_a_recipe_names_a_file(written, odd, text):
    assert any(words in problem(written(text.format(odd))) for words in WORDS)


@pytest.mark.parametrize("odd", ODD, indirect=True)
def test_what_has_no_end_is_no_recipe(tmp_path, odd):
    found = problem(tmp_path / odd)
    assert any(words in found for words in WORDS) or "is a directory" in found


def test_the_command_says_so_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe.toml")
    for name in ("pipe.toml", "/dev/zero", "/proc/self/mountinfo"):
        ended = subprocess.run(
            [COMMAND, "plan", name],
            cwd=tmp_path,
            env={**os.environ, "AVABUILD_CACHE": str(tmp_path / "cache")},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert ended.returncode == 2
        assert "name a regular file" in ended.stderr


@pytest.mark.parametrize("odd", ["/sys/kernel/mm"], indirect=True)
def test_a_directory_of_the_kernel_is_neither_copied_nor_mounted(written, odd):
    assert "kernel's own" in problem(written(f'[[files]]\nsource = "{odd}"\ntarget = "/x"'))
    assert "kernel's own" in problem(written(f'[[run]]\nshell = "true"\nmounts = ["{odd}:/x"]'))


def test_a_socket_may_be_mounted(written, tmp_path):
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(tmp_path / "agent"))
        load(written('[[run]]\nshell = "true"\nmounts = ["./agent:/agent"]'))


@pytest.mark.parametrize("odd", ["pipe", "/proc/kmsg", "link to a device"], indirect=True)
def test_a_plugin_or_project_file_that_has_no_end_is_refused(written, tmp_path, odd):
    (tmp_path / "p.py").symlink_to("odd")
    assert any(words in problem(written('plugins = ["./p.py"]')) for words in WORDS)


def test_a_recipe_of_gigabytes_is_not_read(tmp_path):
    with (tmp_path / "big.toml").open("wb") as file:
        file.truncate(8 << 30)
    assert "it is larger than 1 mb" in problem(tmp_path / "big.toml")


def test_an_input_that_became_a_pipe_makes_a_stamp_void_and_is_not_waited_for(tmp_path):
    path = tmp_path / "input"
    path.write_text("x")
    write_stamp(tmp_path / "stamp.json", [path], {}, [])
    path.unlink()
    os.mkfifo(path)
    assert fresh(tmp_path / "stamp.json") is None


# -- nesting -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "a" + ".a" * 50_000 + " = 1",
        "[a" + ".a" * 50_000 + "]",
        "[[a" + " . 'b'" * 50_000 + "]]",
        'x = {a."' + '"."'.join("b" * 40) + '" = 1}',
        "x = " + "[" * 50_000,
        "x = " + "{a=" * 5_000 + "1" + "}" * 5_000,
        "x = " + ".".join("{a" for _ in range(30)) + "= 1",
        "[frameworks]\nx = " + "{a.b.c.d.e.f.g.h.i.j = " * 20 + "1" + "}" * 20,
    ],
    ids=["key", "header", "literal", "quoted", "arrays", "tables", "broken", "both"],
)
def test_what_is_nested_thousands_of_times_is_refused_without_gigabytes(written, text):
    assert "is nested too deeply" in problem(written(text)) or text.startswith("x = {a.")


def test_dots_in_texts_and_comments_are_no_nesting(written):
    dots = "a" + ".a" * 100
    text = f'# {dots}\ntag = """\\\n x"""\n[image.labels]\nx = "{dots}"\ny = \'\'\'\n"{dots}\'\'\'\nz = """\n\\""{dots}"""\n'
    assert dict(load(written(text)).image.labels)["y"] == f'"{dots}'


def test_sixteen_recipes_each_standing_on_the_next_twice_plan_in_a_second(written):
    for level in range(16):
        inner = f'recipe = "r{level + 1}.toml"'
        text = f'base = [{{ device = "cpu", {inner} }}, {{ {inner} }}]\n'
        written(text if level < 15 else 'base = "scratch"', f"r{level}.toml")
    began = time.process_time()
    (one,) = variants(load(one := written('base = { recipe = "r0.toml" }')), load)
    assert time.process_time() - began < 1
    assert len(one.below) == 16


def test_bases_that_multiply_are_refused(written):
    for level in range(16):
        for name in "ab":
            inner = [f'recipe = "{other}{level + 1}.toml"' for other in "ab"]
            text = f'base = [{{ python = "3.{level}", {inner[0]} }}, {{ {inner[1]} }}]\n'
            written(text if level < 15 else 'base = "scratch"', f"{name}{level}.toml")
    path = written('matrix.python = ["3.11"]\nbase = { recipe = "a0.toml" }')
    assert "leads to a base in more than 200 ways" in problem(path)


def test_three_thousand_levels_of_bases_are_refused(written):
    for level in range(3000):
        written(f'base = {{ recipe = "r{level + 1}.toml" }}', f"r{level}.toml")
    written('base = "scratch"', "r3000.toml")
    assert "stands below 50 others" in problem(written('base = { recipe = "r0.toml" }'))


# -- owners and names ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("owner", ["4294967295", "4294967296", "0:4294967296", "9" * 5000, "\u0661", "1:-1"])
def test_an_owner_that_no_kernel_has_is_refused(written, tmp_path, owner):
    (tmp_path / "f").touch()
    text = f'[[files]]\nsource = "f"\ntarget = "/f"\nowner = "{owner}"'
    assert "owner" in problem(written(text))
    with pytest.raises(ValueError, match="owner"):
        File(target="/f", content="", owner=owner)


def test_the_highest_owner_is_in_the_layer(tmp_path):
    write_files(tmp_path / "blob", [File(target="/f", content="", owner="4294967294")], tmp_path, "gzip")
    with tarfile.open(tmp_path / "blob") as tar:
        assert tar.getmember("f").uid == 4294967294


@pytest.mark.parametrize("target", ["/.wh.x", "/etc/.wh.passwd", "/etc/.wh..wh..opq", "/.wh.d/x"])
def test_no_target_is_a_whiteout(written, tmp_path, target):
    (tmp_path / "f").touch()
    assert "whiteout" in problem(written(f'[[files]]\nsource = "f"\ntarget = "{target}"'))
    with pytest.raises(ValueError, match="whiteout"):
        File(target=target, content="")


@pytest.mark.parametrize("name", [".wh.passwd", ".wh..wh..opq", "sub/.wh.d/x"])
def test_no_file_of_a_directory_is_a_whiteout(tmp_path, name):
    path = tmp_path / "source" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    with pytest.raises(RecipeError, match="whiteout"):
        write_files(tmp_path / "blob", [File(source="source", target="/etc")], tmp_path, "gzip")
    if name.rpartition("/")[2].startswith(".wh."):
        with pytest.raises(RecipeError, match="whiteout"):
            write_files(tmp_path / "blob", [File(source=f"source/{name}", target="/etc/")], tmp_path, "gzip")


def test_a_file_and_something_below_it_are_refused(tmp_path):
    below = [File(target="/a", content=""), File(target="/a/b/c", content="")]
    for files in (below, below[::-1]):
        with pytest.raises(RecipeError, match="below /a, which is put into the image as a file"):
            write_files(tmp_path / "blob", files, tmp_path, "gzip")
    (tmp_path / "d" / "b").mkdir(parents=True)
    both = [File(target="/a/b", content=""), File(source="d", target="/a")]
    for files in (both, both[::-1]):
        with pytest.raises(RecipeError, match="directory"):
            write_files(tmp_path / "blob", files, tmp_path, "gzip")


def test_of_two_files_of_one_name_the_last_is_in_the_layer_once(tmp_path):
    files = [File(target="/a", content="first"), File(target="//a", content="last")]
    write_files(tmp_path / "blob", files, tmp_path, "gzip")
    with tarfile.open(tmp_path / "blob") as tar:
        assert tar.getnames() == ["a"]
        assert tar.extractfile("a").read() == b"last"


def test_a_user_of_a_passwd_that_no_kernel_has_owns_nothing(tmp_path, store):
    with BlobWriter(tmp_path / "layer") as writer:
        writer.file("etc/passwd", b"eve:x:4294967296:0::/:/bin/sh\n")
        blob = writer.finish()
    store.adopt(tmp_path / "layer", blob.digest)
    for user in ("eve", "4294967296:0", "0:4294967296"):
        assert owner(store, [blob], user) is None


def test_a_passwd_of_gigabytes_is_not_read_whole(tmp_path, store, monkeypatch):
    monkeypatch.setattr("avabuild.engine.directories.READ_AT_MOST", 40)
    with BlobWriter(tmp_path / "layer") as writer:
        writer.stream("etc/passwd", 50 << 20, (b"eve:x:5:6::/:/bin/sh\n".ljust(1 << 20) for _ in range(50)))
        blob = writer.finish()
    store.adopt(tmp_path / "layer", blob.digest)
    assert owner(store, [blob], "eve") == (5, 6)
    assert len(store.recall("accounts", blob.digest)["etc/passwd"]) == 40
