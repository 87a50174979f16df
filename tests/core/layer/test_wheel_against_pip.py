"""The layer of a real wheel holds what `pip install` puts on disk: same files, modes, RECORD and scripts."""

from __future__ import annotations

import ast
import csv
import subprocess
import sys
import venv
from collections.abc import Callable
from pathlib import Path

import pytest

from avabuild.layer.wheel import Scheme, write_wheels

pytestmark = pytest.mark.network

WHEELS = [
    "cython",  # commands, a top-level module, big shared objects
    "debugpy",  # executable bits, shared objects for other architectures
    "greenlet",  # .data/headers
    "ipykernel",  # .data/data
    "jedi",  # thousands of small files
    "jsonpointer",  # .data/scripts
    "jupyterlab-widgets",  # .data/data with long paths
    "notebook-shim",  # .data/data in etc
    "numpy",  # libraries beside the package
    "pip",  # commands that carry Python's version
    "pyzmq",
    "requests",
    "six",  # a single module
    "tornado",  # an abi3 shared object
    "wheel",
]

Content = dict[str, tuple[int, bytes]]
Rows = set[tuple[str, ...]]


@pytest.fixture(scope="module")
def pip(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    """The pip that Python itself brings."""
    home = tmp_path_factory.mktemp("pip")
    venv.create(home, with_pip=True, symlinks=True)
    return (f"{home}/bin/python", "-m", "pip", "--disable-pip-version-check", "--quiet")


@pytest.fixture(scope="module")
def downloads(pip: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory) -> Path:
    cache = tmp_path_factory.mktemp("wheels")
    subprocess.run(
        [*pip, "download", "--no-deps", "--only-binary=:all:", "--dest", cache, *WHEELS], check=True
    )
    return cache


def on_disk(root: Path) -> Content:
    files = (path for path in root.rglob("*") if path.is_file() and not path.is_symlink())
    return {str(path): (path.stat().st_mode & 0o7777, path.read_bytes()) for path in files}


def installed_by_pip(pip: tuple[str, ...], name: str, wheels: Path, home: Path) -> Content:
    venv.create(home, with_pip=False, symlinks=True)
    before = on_disk(home)
    install = ("install", "--no-deps", "--no-compile", "--no-index", "--find-links", str(wheels), name)
    target = ("--isolated", "--python", f"{home}/bin/python")
    subprocess.run([*pip, *target, *install], check=True, umask=0o022)
    return {path: found for path, found in on_disk(home).items() if path not in before}


def meaning(script: bytes) -> tuple[bytes, list[str]]:
    """Return a generated script's first line and its statements, without how it cuts `.exe` off its name."""
    statements = [ast.unparse(node) for node in ast.walk(ast.parse(script)) if isinstance(node, ast.stmt)]
    skipped = ("import re", "sys.argv[0] =", "if ")
    return script.split(b"\n")[0], [text for text in statements if not text.startswith(skipped)]


def record(content: Content, generated: set[str]) -> Rows:
    """Return RECORD's rows; of generated scripts only the path, for every pip words those anew."""
    (text,) = [data for path, (_, data) in content.items() if path.endswith(".dist-info/RECORD")]
    rows = {tuple(row) for row in csv.reader(text.decode().splitlines())}
    names = {f"../../../bin/{name}" for name in generated}
    return {row[:1] if row[0] in names else row for row in rows}


@pytest.mark.parametrize("name", WHEELS)
def test_a_layer_is_what_pip_installs(
    name: str, pip: tuple[str, ...], downloads: Path, tmp_path: Path, files_of: Callable[[Path], Content]
) -> None:
    home = tmp_path / "v"
    scheme = Scheme(prefix=str(home), python=f"{sys.version_info.major}.{sys.version_info.minor}")
    (wheel,) = downloads.glob(f"{name.replace('-', '_')}-*.whl")
    theirs = installed_by_pip(pip, name, downloads, home)
    write_wheels([wheel], tmp_path / "layer", scheme, requested=frozenset({name}))
    ours = files_of(tmp_path / "layer")

    assert {path: mode for path, (mode, _) in ours.items()} == {
        path: mode for path, (mode, _) in theirs.items()
    }
    scripts = {
        path for path, (_, data) in theirs.items() if path.startswith(scheme.scripts) and b"sys.exit(" in data
    }
    generated = {path.rpartition("/")[2] for path in scripts if ours[path] != theirs[path]}
    for path, (_, data) in theirs.items():
        if path.rpartition("/")[2] in generated and path in scripts:
            assert meaning(ours[path][1]) == meaning(data)
        elif not path.endswith(".dist-info/RECORD"):
            assert ours[path][1] == data, path
    assert record(ours, generated) == record(theirs, generated)
