"""Packages that no index has as wheels: sdists, with and without C, and git; built in a container, layered as wheels."""

from __future__ import annotations

import io
import shutil
import subprocess
import tarfile
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from .origins import Index
    from .user import User

pytestmark = [pytest.mark.build, pytest.mark.one_builder]

SETUP = """
from setuptools import Extension, setup
setup(name="{name}", version="1.0", py_modules=["{name}"], ext_modules=[{extensions}])
"""
C = """
#include <Python.h>
static PyObject *answer(PyObject *self, PyObject *args) { return PyLong_FromLong(42); }
static PyMethodDef methods[] = {{"answer", answer, METH_NOARGS, ""}, {0}};
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "_native", "", -1, methods};
PyMODINIT_FUNC PyInit__native(void) { return PyModule_Create(&module); }
"""


def project(name: str, *, native: bool) -> dict[str, str]:
    extensions = 'Extension("_native", ["native.c"])' if native else ""
    files = {
        "setup.py": SETUP.format(name=name, extensions=extensions),
        "pyproject.toml": '[build-system]\nrequires = ["setuptools"]\nbuild-backend = "setuptools.build_meta"\n',
        f"{name}.py": "from _native import answer\n" if native else "def answer(): return 42\n",
    }
    return {**files, "native.c": C} if native else files


def sdist(directory: Path, name: str, *, native: bool) -> Path:
    path = directory / f"{name}-1.0.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        files = {
            **project(name, native=native),
            "PKG-INFO": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n",
        }
        for inner, text in files.items():
            info = tarfile.TarInfo(f"{name}-1.0/{inner}")
            info.size = len(text)
            tar.addfile(info, io.BytesIO(text.encode()))
    return path


def test_sdists_are_built_once_and_their_tools_stay_out_of_the_image(
    builder: User, index: Index, tmp_path: Path
) -> None:
    for name, native in (("avatestpure", False), ("avatestnative", True)):
        index.add(name, sdist(tmp_path, name, native=native))
    builder.env["PIP_EXTRA_INDEX_URL"] = index.url
    text = """
        name = "ava-test-sdist"
        base = { debian = "bookworm" }
        [packages]
        pip = ["avatestpure", "avatestnative"]
    """
    outcome = builder.avabuild("recipe", builder.recipe(text), "--json")
    assert outcome.code == 0, outcome.err
    program = "import avatestpure, avatestnative; print(avatestpure.answer(), avatestnative.answer())"
    said = builder.inside(
        str(outcome.image["reference"]), f"python -c '{program}'; command -v gcc; pip list; true"
    )
    assert said.startswith("42 42\nPackage")
    assert "avatestnative 1.0" in said
    lock = (builder.home / "recipe.lock").read_text()
    assert "127.0.0.1" not in lock, "a lock names files by hash, never by host"
    shutil.rmtree(builder.cache / "stamps")
    index.requests.clear()
    again = builder.avabuild("recipe", builder.home / "recipe.toml", "--json")
    assert again.image["made"] == []
    assert index.requests == []
    assert builder.leftovers() == []


def test_a_commit_of_a_git_repository_is_built(builder: User, index: Index, tmp_path: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()
    for name, text in project("avatestgit", native=False).items():
        (work / name).write_text(text)
    identity = ["-c", "user.name=test", "-c", "user.email=test@example.invalid"]
    for argv in (["init", "--quiet"], ["add", "."], [*identity, "commit", "--quiet", "-m", "one"]):
        subprocess.run(["git", *argv], cwd=work, check=True)
    bare = index.directory / "avatestgit.git"
    subprocess.run(["git", "clone", "--quiet", "--bare", str(work), str(bare)], check=True)
    subprocess.run(["git", "update-server-info"], cwd=bare, check=True)
    address = index.url.replace("/simple", "/avatestgit.git")
    recipe = builder.recipe(f"""
        name = "ava-test-git"
        base = {{ debian = "bookworm" }}
        [packages]
        pip = ["git+{address}"]
    """)
    outcome = builder.avabuild("recipe", recipe, "--json")
    assert outcome.code == 0, outcome.err
    said = builder.inside(
        str(outcome.image["reference"]), "python -c 'import avatestgit; print(avatestgit.answer())'"
    )
    assert said == "42\n"
    commit = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=work, capture_output=True, text=True, check=True
    )
    assert commit.stdout.strip() in (builder.home / "recipe.lock").read_text()


def test_a_wheel_beside_the_recipe_is_installed(builder: User, tmp_path: Path) -> None:
    subprocess.run(["pip", "--version"], capture_output=True, check=False)
    import zipfile

    wheel = builder.home / "avatestmine-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("avatestmine.py", "answer = 42\n")
        archive.writestr(
            "avatestmine-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: avatestmine\nVersion: 1.0\n"
        )
        archive.writestr(
            "avatestmine-1.0.dist-info/WHEEL",
            "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        )
        archive.writestr("avatestmine-1.0.dist-info/RECORD", "avatestmine-1.0.dist-info/RECORD,,\n")
    recipe = builder.recipe("""
        name = "ava-test-mine"
        base = { debian = "bookworm" }
        [packages]
        pip = ["./avatestmine-1.0-py3-none-any.whl"]
    """)
    outcome = builder.avabuild("recipe", recipe, "--json")
    assert outcome.code == 0, outcome.err
    said = builder.inside(
        str(outcome.image["reference"]), "python -c 'import avatestmine; print(avatestmine.answer)'"
    )
    assert said == "42\n"


def test_two_wheels_that_install_one_path_are_reported(builder: User, index: Index, tmp_path: Path) -> None:
    import zipfile

    for name in ("avatesta", "avatestb"):
        wheel = tmp_path / f"{name}-1.0-py3-none-any.whl"
        with zipfile.ZipFile(wheel, "w") as archive:
            archive.writestr("shared_module.py", f"owner = {name!r}\n")
            archive.writestr(
                f"{name}-1.0.dist-info/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n"
            )
            archive.writestr(
                f"{name}-1.0.dist-info/WHEEL",
                "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
            )
            archive.writestr(f"{name}-1.0.dist-info/RECORD", "")
        index.add(name, wheel)
    builder.env["PIP_EXTRA_INDEX_URL"] = index.url
    recipe = builder.recipe("""
        name = "ava-test-clash"
        base = { debian = "bookworm" }
        [packages]
        pip = ["avatesta", "avatestb"]
    """)
    outcome = builder.avabuild("recipe", recipe, "--output", "oci:out")
    assert outcome.code == 0, outcome.err
    assert "avatesta and avatestb all have" in outcome.err
    assert "shared_module.py" in outcome.err
