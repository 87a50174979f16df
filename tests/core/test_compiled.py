"""Compiles: what may be asked for, what decides whether one is made again, and what its stage is told."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from avabuild.build.compiled import environment_script, script
from avabuild.build.originals import source_script
from avabuild.compiled import Ground, asked, compiled_layer, tools_of
from avabuild.layers import Compile, DebianSource, Download, Sdist, SourceFile
from avabuild.lock import Deb

A, B = "a" * 64, "b" * 64
SOURCE = DebianSource(
    name="demo", version="1.0-1", suite="bullseye", files=(SourceFile(filename="demo_1.0-1.dsc", sha256=A),)
)
COMPILE = Compile(
    name="demo",
    shell="make",
    packages=("gcc", "make"),
    requirements=("numpy==2.2.6",),
    sources=(SOURCE, Download(url="https://example.invalid/demo.tar.gz", sha256=B)),
    env=(("CFLAGS", "-O2"),),
)
GROUND = Ground(
    image="sha256:1",
    stage="sha256:1",
    python="/usr/bin/python3.11",
    site="/opt/venv/lib/python3.11/site-packages",
)
DEBS = (
    Deb(name="gcc", version="4:12.2.0-3", arch="amd64", sha256=A, size=5),
    Deb(name="make", version="4.3-4.1", arch="amd64", sha256=B, size=5),
)


def key(compiled: Compile = COMPILE, ground: Ground = GROUND, compression: str = "gzip", debs=DEBS) -> str:
    return compiled_layer("compile: demo", asked(compiled, ground, compression), tools_of(debs)).key


@pytest.mark.parametrize(
    "changes",
    [
        {"shell": "make all"},
        {"packages": ("gcc", "make", "cmake")},
        {"requirements": ("numpy==2.2.5",)},
        {"requirements": ()},
        {"env": (("CFLAGS", "-O3"),)},
        {"sources": (SOURCE,)},
        {"sources": (SOURCE, Download(url="https://example.invalid/demo.tar.gz", sha256=A))},
        {"sources": (SOURCE, Download(url="https://example.invalid/renamed.tar.gz", sha256=B))},
    ],
    ids=str,
)
def test_what_is_compiled_decides_the_key(changes):
    assert key(COMPILE.model_copy(update=changes)) != key()


@pytest.mark.parametrize("field", list(Ground.model_fields))
def test_what_a_compile_stands_on_decides_the_key(field):
    assert key(ground=GROUND.model_copy(update={field: "another"})) != key()


def test_a_stage_without_python_is_another_than_one_with_it():
    assert key(ground=GROUND.model_copy(update={"python": None, "site": None})) != key()


def test_compression_and_the_build_packages_decide_the_key():
    assert key(compression="zstd") != key()
    assert key(debs=DEBS[:1]) != key()
    for field in ("name", "version", "arch", "sha256"):
        newer = (DEBS[0].model_copy(update={field: "newer"}), DEBS[1])
        assert key(debs=newer) != key(), field


def test_names_orders_and_places_of_equal_things_do_not_decide_the_key():
    moved = Download(url="http://mirror.invalid/elsewhere/demo.tar.gz", sha256=B)
    alike = COMPILE.model_copy(
        update={"name": "other", "packages": ("make", "gcc"), "sources": (moved, SOURCE)}
    )
    assert key(alike) == key()
    assert key(debs=DEBS[::-1]) == key()


def test_every_field_of_a_compile_is_in_its_key_or_known_to_be_no_content():
    assert {*Compile.model_fields} - {"kind", "name", "distribution"} == {
        "shell", "packages", "requirements", "sources", "env"
    }  # fmt: skip


def test_the_reasons_of_a_new_compile_have_names():
    names = [name for name, _ in compiled_layer("compile: demo", asked(COMPILE, GROUND, "gzip"), "x").parts]
    assert names[2:10] == [
        "base", "stage", "python", "site-packages", "shell", "env", "packages", "requirements"
    ]  # fmt: skip
    assert names[10:] == ["source demo.tar.gz", "source demo_1.0-1.dsc", "build packages"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"shell": ""}, "at least 1 character"),
        ({"name": "two words"}, "pattern"),
        ({"requirements": ("numpy>=2",)}, "no exact pin"),
        ({"requirements": ("numpy==2.*",)}, "no exact pin"),
        ({"requirements": ("numpy",)}, "no exact pin"),
        ({"requirements": ("==",)}, "numpy|Expected"),
        ({"env": (("OUT", "/"),)}, "OUT is what the stage sets"),
        ({"env": (("A B", "x"),)}, "pattern"),
        ({"distribution": "stretch"}, "bullseye"),
        ({"sources": (SOURCE, SOURCE)}, "two sources have a file demo_1.0-1.dsc"),
    ],
    ids=str,
)
def test_a_compile_that_cannot_work_is_refused(changes, words):
    with pytest.raises(ValidationError, match=words):
        Compile(**{**COMPILE.model_dump(), **changes})


@pytest.mark.parametrize(
    "url",
    ["ftp://example.invalid/x", "https://example.invalid/", "https://example.invalid/a%2F..%2Fb/.x", "x"],
)
def test_an_address_without_a_plain_file_name_is_refused(url):
    with pytest.raises(ValidationError):
        Download(url=url, sha256=A)


@pytest.mark.parametrize("name", ["../x", "/x", ".x", "a b", "it's", "", "x\n"])
def test_a_file_name_that_leads_elsewhere_is_refused(name):
    with pytest.raises(ValidationError):
        SourceFile(filename=name, sha256=A)
    with pytest.raises(ValidationError):
        Sdist(name="demo", version="1.0", filename=name, sha256=A)


@pytest.mark.parametrize("sha256", ["", "A" * 64, "a" * 63, f"sha256:{A}"])
def test_a_hash_that_is_none_is_refused(sha256):
    with pytest.raises(ValidationError):
        SourceFile(filename="x", sha256=sha256)


def test_the_scripts_of_a_stage(golden):
    texts = {
        "compile": script(COMPILE),
        "environment": environment_script("/usr/bin/python3.11", ["/stage/wheels/numpy-2.2.6-x.whl"]),
        "source from the host's mirror": source_script(SOURCE, "http://mirror.invalid/debian"),
        "source from the stage's mirror": source_script(SOURCE, None),
    }
    golden("stage.scripts.txt", "\n".join(f"# {name}\n{text}" for name, text in texts.items()))
