"""A damaged cache: whatever becomes of its files, a build makes the same image, and says nothing is wrong."""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import traceback
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from ..builds.test_sharing import write_base
from ..builds.tiny import write_tiny

pytestmark = [pytest.mark.build, pytest.mark.skipif(os.geteuid() != 0, reason="builds as root")]

FILES = """
name = "ava-test-damage"
base = { archive = "base.tar" }
[packages]
pip = ["demo"]
[[files]]
source = "motd"
target = "/etc/motd"
[image]
labels = { "org.example" = "x" }
"""
STEP = """
name = "ava-test-damage-step"
base = { archive = "tiny.tar" }
[[run]]
shell = 'test -n "$TOKEN"; echo made > /made'
secrets = ["TOKEN"]
[[run]]
shell = "cat /made > /again"
[[files]]
source = "motd"
target = "/etc/motd"
"""


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def cut(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])


def zeroed(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


def flipped(path: Path) -> None:
    data = bytearray(path.read_bytes() or b"x")
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def replaced(path: Path) -> None:
    path.unlink()
    path.mkdir()
    (path / "garbage").write_bytes(b"\xff garbage")


WAYS = (emptied, cut, zeroed, flipped, replaced)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with recipes, what they need, and a cache; avabuild is told of it alone."""
    for name in [name for name in os.environ if name.startswith(("AVABUILD_", "UV_", "PIP_"))]:
        monkeypatch.delenv(name)
    (tmp_path / "links").mkdir()
    write_wheel(tmp_path / "links" / "demo-1.0-py3-none-any.whl")
    for name, value in {
        "AVABUILD_CACHE": tmp_path / "cache",
        "AVABUILD_ROOT": tmp_path / "images",
        "UV_CACHE_DIR": tmp_path / "uv",
        "UV_NO_INDEX": "1",
        "UV_FIND_LINKS": tmp_path / "links",
        "HOME": tmp_path,
        "TOKEN": "secret",
    }.items():
        monkeypatch.setenv(name, str(value))
    monkeypatch.chdir(tmp_path)
    write_base(tmp_path / "base.tar")
    write_tiny(tmp_path / "tiny.tar")
    (tmp_path / "motd").write_text("hello\n")
    return tmp_path


def write_wheel(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr("demo.py", "ANSWER = 42\n")
        wheel.writestr("demo-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: demo\nVersion: 1.0\n")
        wheel.writestr(
            "demo-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        names = [*wheel.namelist(), "demo-1.0.dist-info/RECORD"]
        wheel.writestr("demo-1.0.dist-info/RECORD", "".join(f"{name},,\n" for name in names))


def build(place: Path, recipe: str, *, fresh: bool = True) -> tuple[int, str]:
    """Build in a process that has imported everything; return how it ended and what it said."""
    if fresh:
        shutil.rmtree(place / "out", ignore_errors=True)
    with (place / "said").open("wb") as said:
        child = os.fork()
        if child == 0:
            code = 99
            try:
                os.dup2(said.fileno(), 1)
                os.dup2(said.fileno(), 2)
                sys.argv = ["avabuild", "recipe", recipe, "--output", f"oci:{place}/out"]
                sys.stdout = sys.stderr = os.fdopen(os.dup(1), "w")
                from avabuild.cli import main

                main()
            except SystemExit as end:
                code = end.code if isinstance(end.code, int) else 0
            except BaseException:  # noqa: BLE001
                traceback.print_exc()
            finally:
                sys.stdout.flush()
                os._exit(code)
        _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status), (place / "said").read_text(errors="replace")


def layout(place: Path) -> bytes:
    """Return the index of the layout, all of whose blobs have their digests."""
    for blob in (place / "out" / "blobs" / "sha256").iterdir():
        assert hashlib.sha256(blob.read_bytes()).hexdigest() == blob.name
    return (place / "out" / "index.json").read_bytes()


def files(place: Path) -> list[Path]:
    return sorted(path for path in (place / "cache").rglob("*") if path.is_file() and not path.is_symlink())


def kind_of(place: Path, path: Path) -> str:
    parts = path.relative_to(place / "cache").parts
    return "/".join(parts[: 2 if parts[0] == "index" else 1])


def test_a_build_on_a_cache_of_which_all_is_damaged_makes_the_same_image(place: Path) -> None:
    (place / "demo.toml").write_text("build = { bytecode = false }" + FILES)  # the next test has packs
    assert build(place, "demo.toml")[0] == 0, (place / "said").read_text()
    whole = layout(place)
    for way in WAYS:
        for path in files(place):
            way(path)
        code, said = build(place, "demo.toml")
        assert code == 0, f"{way.__name__}: {said}"
        assert layout(place) == whole, way.__name__


def test_a_build_makes_the_same_image_whichever_kind_of_file_is_damaged(place: Path) -> None:
    (place / "demo.toml").write_text(FILES)
    assert build(place, "demo.toml")[0] == 0, (place / "said").read_text()
    whole = layout(place)
    kinds = sorted({kind_of(place, path) for path in files(place)})
    assert {"blobs", "index/layer", "index/base", "index/base-name", "wheels", "pyc", "stamps"} <= {*kinds}
    for number, kind in enumerate(kinds):
        way: Callable[[Path], None] = WAYS[number % len(WAYS)]
        for path in files(place):
            if kind_of(place, path) == kind:
                way(path)
        code, said = build(place, "demo.toml")
        assert code == 0, f"{kind} {way.__name__}: {said}"
        assert layout(place) == whole, f"{kind} {way.__name__}"


def test_a_step_is_run_again_on_a_damaged_cache_and_makes_the_same_image(place: Path) -> None:
    (place / "step.toml").write_text(STEP)
    assert build(place, "step.toml")[0] == 0, (place / "said").read_text()
    whole = layout(place)
    for way in WAYS:
        for path in files(place):
            way(path)
        code, said = build(place, "step.toml")
        assert code == 0, f"{way.__name__}: {said}"
        assert layout(place) == whole, way.__name__
