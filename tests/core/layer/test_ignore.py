"""Patterns leave out what Docker's own leave out."""

from __future__ import annotations

from pathlib import Path

import pytest

from avabuild.layer.ignore import Ignore, read_ignore


@pytest.mark.parametrize(
    ("lines", "out", "kept"),
    [
        (["*.pyc"], ["a.pyc"], ["b/a.pyc", "a.py"]),
        (["**/*.pyc"], ["a.pyc", "b/c/a.pyc"], ["a.py"]),
        (["node_modules"], ["node_modules", "node_modules/a/b"], ["b/node_modules", "node_modules2"]),
        (["/data/", "./tmp/../out"], ["data/x", "out"], ["a/data", "tmp"]),
        (["a/**"], ["a/b", "a/b/c"], ["a", "ab"]),
        (["a/**/z"], ["a/z", "a/b/c/z"], ["az", "a/zz"]),
        (["*", "!src", "src/*.log"], ["x", "src/a.log"], ["src/a.py", "src"]),
        (["secret*", "!secret.pub"], ["secret", "secret.key/x"], ["secret.pub"]),
        (["!kept", "kept"], ["kept"], []),
        (["file?.[ch]", "[^a]x"], ["file1.c", "bx"], ["file10.c", "file1.o", "ax"]),
        ([r"a\*b", "c.d"], ["a*b", "c.d"], ["axb", "cxd"]),
        (["# a", "", "  ", "!", "/"], [], ["# a", "a"]),
        (["[z-a]"], ["[z-a]"], ["z"]),
        (["a+b(c)"], ["a+b(c)"], ["aab(c)"]),
    ],
)
def test_a_pattern_is_docker_s(lines: list[str], out: list[str], kept: list[str]) -> None:
    ignore = Ignore.of(lines)
    assert [path for path in [*out, *kept] if ignore.leaves_out(path)] == out


def test_the_container_s_own_file_goes_before_docker_s(tmp_path: Path) -> None:
    assert not read_ignore(tmp_path).leaves_out("a")
    (tmp_path / ".dockerignore").write_text("a\n")
    assert read_ignore(tmp_path).leaves_out("a")
    (tmp_path / ".containerignore").write_text("b\r\n")
    assert (read_ignore(tmp_path).leaves_out("a"), read_ignore(tmp_path).leaves_out("b")) == (False, True)
