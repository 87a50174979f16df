"""Compiles: a small C library and a Python module on it, made in a stage whose tools reach no image."""

from __future__ import annotations

import hashlib
import json
import secrets
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .origins import Index, Repo
    from .user import User

pytestmark = [pytest.mark.build, pytest.mark.one_builder]

LIBRARY = "int answer(void) { return ANSWER; }\n"
MODULE = """
#include <Python.h>
int answer(void);
static PyObject *ask(PyObject *self, PyObject *args) { return PyLong_FromLong(answer()); }
static PyMethodDef methods[] = {{"answer", ask, METH_NOARGS, ""}, {0}};
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "avatestlib", "", -1, methods};
PyMODINIT_FUNC PyInit_avatestlib(void) { return PyModule_Create(&module); }
"""
SHELL = """
lib=$OUT/lib/$(gcc -print-multiarch)
mkdir -p $lib $OUT$SITE
gcc -shared -fPIC -DANSWER=$ANSWER -Wl,-soname,libavatest.so.1 -o $lib/libavatest.so.1 $SOURCES/library.c
include=$($PYTHON -c 'import sysconfig, toolz; print(sysconfig.get_path("include"))')
gcc -shared -fPIC -I$include -o $OUT$SITE/avatestlib.so $SOURCES/module.c -L$lib -l:libavatest.so.1
gcc --version > $OUT/compiler
test $JOBS -gt 0
"""
TOOLS = ("gcc", "libc6-dev", "python3-dev")
PLUGIN = """
from avabuild.api import Compile, Download, Framework, Release, Repository, hookimpl

def layers(request):
    return [Compile(
        name="avatest", shell={shell!r}, env=(("ANSWER", "42"),),
        packages={packages!r}, repositories=({repositories}),
        requirements={requirements!r}, sources=tuple(Download(url=u, sha256=s) for u, s in {sources!r}),
    )]

@hookimpl
def avabuild_frameworks():
    return [Framework(
        name="avatest", summary="", releases=(Release(version="1.0", pythons=("3.11",)),), layers=layers,
        check=lambda _: "import avatestlib; assert avatestlib.answer() == 42; print('answers 42')",
    )]
"""
RECIPE = """
    name = "ava-test-compile"
    base = {{ debian = "bookworm" }}
    [frameworks]
    avatest = "*"
    [packages]
    apt = [{apt}]
"""


@pytest.fixture
def sources(index: Index) -> list[tuple[str, str]]:
    """Serve the C files; return address and hash of each."""
    found = []
    for name, text in (("library.c", LIBRARY), ("module.c", MODULE)):
        (index.directory / name).write_text(text)
        address = index.url.replace("/simple", f"/{name}")
        found.append((address, hashlib.sha256(text.encode()).hexdigest()))
    return found


def install(
    user: User,
    sources: list[tuple[str, str]],
    shell: str = SHELL,
    repository: Path | None = None,
    *,
    tools: bool = True,
) -> None:
    """Put a plugin that compiles where the user's avabuild finds it: a module with its metadata.

    It also needs the package ava-tool where there is a `repository` with it, and no `tools` where none of
    them matters: installing a compiler takes most of a compile.
    """
    packages = (*(TOOLS if tools else ()), *(("ava-tool",) if repository else ()))
    requirements = ("toolz==1.0.0",) if tools else ()
    known = f"name='mine', uri='file:{repository}', suite='stable', key='ava-test.asc'"
    repositories = f"Repository({known})," if repository else ""
    place = user.home / "plugin"
    info = place / "avabuild_avatest-1.0.dist-info"
    info.mkdir(parents=True, exist_ok=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: avabuild-avatest\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[avabuild]\navatest = avabuild_avatest\n")
    (place / "avabuild_avatest.py").write_text(
        PLUGIN.format(
            shell=shell,
            sources=sources,
            packages=packages,
            requirements=requirements,
            repositories=repositories,
        )
    )
    for path in (place, info, *info.iterdir(), place / "avabuild_avatest.py"):
        user.own(path)
    if not user.env["PYTHONPATH"].startswith(str(place)):
        user.env["PYTHONPATH"] = f"{place}:{user.env['PYTHONPATH']}"


def logged(user: User, place: str) -> Path:
    """Return the log that an error names."""
    return next(path for path in (user.cache / "logs").iterdir() if str(path) in place)


def test_what_is_compiled_is_in_the_image_and_its_tools_are_not(
    builder: User, sources: list[tuple[str, str]], index: Index, repo: Repo
) -> None:
    repo.add("ava-tool", "1.0", {"/opt/tool/word": b"of another repository\n"})
    repo.publish()
    # A text that no kept cache has seen.
    install(builder, sources, f"{SHELL}cp /opt/tool/word $OUT/\n# {secrets.token_hex(8)}\n", repo.directory)
    outcome = builder.avabuild("recipe", builder.recipe(RECIPE.format(apt="")), "--json")
    assert outcome.code == 0, outcome.err
    assert "compile: avatest" in outcome.image["made"]
    said = builder.inside(
        str(outcome.image["reference"]),
        "python -c 'import avatestlib; print(avatestlib.answer())'; cat /compiler | head -n 1;"
        "stat -c '%u:%g %a %N' /lib /lib/*/libavatest.so.1 /opt/venv/lib/python3.11/site-packages;"
        "ls -d /usr/bin/gcc* /usr/bin/cc /usr/include/python3.11 /usr/include/stdio.h /stage 2>&1; pip list; true",
    )
    assert said.startswith("42\ngcc (Debian")
    assert (
        builder.inside(str(outcome.image["reference"]), "cat /word; ls /opt")
        == "of another repository\nvenv\n"
    )
    assert "0:0 777 '/lib' -> 'usr/lib'\n" in said, "the layer replaced a link of the image"
    assert said.count("No such file or directory") == 5, said
    assert "toolz" not in said
    assert builder.leftovers() == []

    # Other packages of the image move nothing: the compile doesn't stand on them.
    index.requests.clear()
    recipe = builder.recipe(RECIPE.format(apt='"tree"'))
    shown = json.loads(builder.avabuild("plan", recipe, "--json").out)[0]["forecast"]
    (row,) = [row for row in shown if row["name"] == "compile: avatest"]
    assert (row["state"], row["origins"], row["holds"]) == (
        "cached", ["avatest"], ["library.c", "module.c"]
    )  # fmt: skip
    again = builder.avabuild("recipe", recipe, "--json")
    assert again.code == 0, again.err
    assert "compile: avatest" in again.image["reused"]
    assert index.requests == []

    # Asked to upgrade, it looks for newer build packages; there are none, so nothing is compiled.
    shutil.rmtree(builder.cache / "stamps", ignore_errors=True)
    upgraded = builder.avabuild("recipe", recipe, "--upgrade", "apt", "--json")
    assert upgraded.code == 0, upgraded.err
    assert "compile: avatest" in upgraded.image["reused"]
    assert any("build packages are as they were" in str(event.get("text", "")) for event in upgraded.events)
    assert builder.leftovers() == []


@pytest.mark.slow
def test_a_user_with_a_range_compiles_too_and_gets_roots_bytes(
    make_user: Callable[[str, bool], User], root: User, sources: list[tuple[str, str]]
) -> None:
    ranged = make_user("avatestcompiler", True)
    images = []
    for user in (ranged, root):
        install(user, sources, SHELL + "chown 33:33 $OUT/compiler; chmod 600 $OUT/compiler\n")
        recipe = user.recipe(RECIPE.format(apt=""))
        if user is root:
            shutil.copy(ranged.home / "recipe.lock", root.home / "recipe.lock")
        outcome = user.avabuild("recipe", recipe, "--json")
        assert outcome.code == 0, outcome.err
        assert user.leftovers() == []
        images.append(outcome.image)
    said = ranged.inside(str(images[0]["reference"]), "stat -c '%u:%g %a' /compiler; command -v gcc; true")
    assert said == "0:0 600\n"
    assert images[0]["digest"] == images[1]["digest"]


def test_a_compile_that_fails_says_why_keeps_its_log_and_is_not_kept(
    builder: User, sources: list[tuple[str, str]]
) -> None:
    begun = "mkdir $OUT/begun; cp $SOURCES/library.c $OUT/begun\n"
    install(builder, sources, f"{begun}echo now it breaks >&2\nfalse\n", tools=False)
    recipe = builder.recipe(RECIPE.format(apt=""))
    outcome = builder.avabuild("recipe", recipe)
    assert outcome.code == 5
    assert "compile: avatest: the compile failed with exit code 1" in outcome.err
    assert "  | now it breaks\n" in outcome.err
    assert "look inside with --keep" in outcome.err
    assert "now it breaks" in logged(builder, outcome.err).read_text()
    assert builder.leftovers() == []
    assert builder.avabuild("recipe", recipe).code == 5, "a failure must not be kept"

    kept = builder.avabuild("recipe", recipe, "--keep")
    (line,) = [line for line in kept.err.splitlines() if "it was kept; look inside: avabuild enter" in line]
    container = line.split()[-1]
    found = builder.avabuild("enter", container, "--", "find", "/stage/out", "-type", "f")
    assert "/stage/out/begun/library.c" in found.out
    assert f"let it go: avabuild leave {container}" in kept.err
    assert builder.avabuild("leave", container).code == 0
    assert builder.leftovers() == []
    install(builder, sources, begun, tools=False)
    assert builder.avabuild("recipe", recipe, "--no-check").code == 0


@pytest.mark.parametrize(
    ("shell", "words"),
    [
        ("true", "it left nothing below $OUT"),
        ("touch /elsewhere", "it left nothing below $OUT"),
        ("mkfifo $OUT/pipe", "$OUT/pipe is neither a file, a directory nor a link"),
        ("ln -s $OUT/x $OUT/y", "$OUT/y is a link to /stage/out/x, which is in the stage"),
        ("mkdir $OUT/proc; touch $OUT/proc/x", "$OUT/proc is mounted in every container"),
    ],
)
def test_what_can_be_no_layer_is_refused(
    builder: User, sources: list[tuple[str, str]], shell: str, words: str
) -> None:
    install(builder, sources, shell, tools=False)
    outcome = builder.avabuild("recipe", builder.recipe(RECIPE.format(apt="")))
    assert outcome.code == 5
    assert words in outcome.err
    assert builder.leftovers() == []


def test_a_source_with_another_hash_is_refused_before_anything_reads_it(
    builder: User, sources: list[tuple[str, str]]
) -> None:
    (address, _), module = sources
    install(builder, [(address, "0" * 64), module], "echo it runs; touch $OUT/x", tools=False)
    outcome = builder.avabuild("recipe", builder.recipe(RECIPE.format(apt="")))
    assert outcome.code == 10, outcome.err
    assert f"library.c has another hash: expected sha256 {'0' * 64}, got" in outcome.err
    assert not list((builder.cache / "wheels").rglob("0" * 64 + "/library.c"))
    assert builder.leftovers() == []


def test_a_source_that_is_not_there_is_said_so(builder: User, sources: list[tuple[str, str]]) -> None:
    address, _ = sources[0]
    install(builder, [(address.replace("library", "gone"), "1" * 64)], "true", tools=False)
    outcome = builder.avabuild("recipe", builder.recipe(RECIPE.format(apt="")))
    assert outcome.code == 75, outcome.err
    assert "gone.c is refused" in outcome.err
    assert "404" in outcome.err
