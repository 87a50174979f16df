"""Compiles: what may be asked for, what decides whether one is made again, and what its stage is told."""

from __future__ import annotations

import subprocess

import pytest
from pydantic import ValidationError

from avabuild.common.errors import ResolveError, StepError, UnavailableError
from avabuild.engine.stages.compile import environment_script, script
from avabuild.engine.stages.sources import explained, source_script
from avabuild.layer.compiled import Ground, asked, compiled_layer, tools_of
from avabuild.plugins.kinds import Compile, Repository
from avabuild.plugins.sources import DebianSource, Download, ProjectFile, SourceFile
from avabuild.resolve.lock import Deb

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
        {"repositories": (Repository(name="other", suite="bookworm"),)},
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
        "shell", "packages", "repositories", "requirements", "sources", "env"
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
        ProjectFile(name="demo", version="1.0", filename=name, sha256=A)


@pytest.mark.parametrize("sha256", ["", "A" * 64, "a" * 63, f"sha256:{A}"])
def test_a_hash_that_is_none_is_refused(sha256):
    with pytest.raises(ValidationError):
        SourceFile(filename="x", sha256=sha256)


def test_the_text_runs_in_an_empty_directory_with_an_umask_that_is_always_the_same():
    assert script(COMPILE) == (
        "umask 022; mkdir -p /stage/out /stage/work /stage/sources; cd /stage/work\nmake"
    )


def test_the_stages_environment_is_made_of_files_alone():
    assert environment_script("/usr/bin/python3.11", ["/stage/wheels/b-1.whl", "/stage/wheels/a-1.whl"]) == (
        "/run/avabuild-uv venv --quiet --python /usr/bin/python3.11 /stage/env\n"
        "/run/avabuild-uv pip install --quiet --no-index --no-deps --python /stage/env/bin/python"
        " /stage/wheels/a-1.whl /stage/wheels/b-1.whl\n"
    )


def test_a_source_package_comes_from_the_hosts_mirror():
    lines = source_script(SOURCE, "http://mirror.invalid/it's mine").splitlines()
    assert lines[0] == """mirror='http://mirror.invalid/it'"'"'s mine'"""
    assert lines[3] == (
        'echo "deb-src [trusted=yes check-valid-until=no] $mirror bullseye main" > sources.list'
    )
    assert lines[5].endswith(" source -qq --download-only --only-source demo=1.0-1")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("sources.list", "# mine\ndeb MIRROR bookworm main\ndeb http://other.invalid/x bookworm main\n"),
        ("sources.list", "deb [signed-by=/k.gpg arch=amd64] MIRROR bookworm main\n"),
        ("sources.list.d/debian.sources", "Types: deb\nURIs: MIRROR\nSuites: bookworm\n"),
    ],
)
def test_a_source_package_comes_else_from_the_stages_own_mirror(tmp_path, name, text):
    (tmp_path / "sources.list.d").mkdir()
    (tmp_path / name).write_text(text.replace("MIRROR", "http://mirror.invalid/debian"))
    line = source_script(SOURCE, None).splitlines()[0].replace("/etc/apt/", f"{tmp_path}/")
    said = subprocess.run(
        ["sh", "-ec", f'{line}\necho "$mirror"'], capture_output=True, text=True, check=True
    )
    assert said.stdout == "http://mirror.invalid/debian\n"


@pytest.mark.parametrize(
    ("tail", "kind", "words"),
    [
        (
            "E: Unable to find a source package for demo",
            ResolveError,
            "no source package demo 1.0-1 in bullseye",
        ),
        ("E: Can not find version '1.0-1' of package 'demo'", ResolveError, "no source package demo 1.0-1"),
        (
            "E: The repository 'http://mirror.invalid bullseye Release' does not have a Release file.",
            UnavailableError,
            "the mirror has no suite bullseye any more",
        ),
        ("E: it broke", StepError, "it failed"),
    ],
)
def test_what_apt_says_of_a_source_package_is_said_in_our_words(tail, kind, words):
    error = explained(StepError("it failed", tail=tail), SOURCE)
    assert type(error) is kind
    assert words in str(error)
    assert kind is StepError or "AVABUILD_DEBIAN_MIRROR" in str(error)
