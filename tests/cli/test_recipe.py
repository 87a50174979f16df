"""`avabuild recipe` with nothing to do: the stamp decides, and nothing else is looked at."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from avabuild.cli.recipe import circumstances
from avabuild.run import stamp

HEAVY = ("pluggy", "sh", "httpx", "rich", "avabuild.run.catalogue", "avabuild.run.recipe_run")
IMAGE = {"reference": "localhost/mine:cpu", "digest": "sha256:" + "a" * 64, "size": 1, "layers": 1}


@pytest.fixture
def built(tmp_path: Path, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A recipe built to an OCI layout; the arguments that built it."""
    recipe, layout = tmp_path / "mine.toml", tmp_path / "images"
    recipe.write_text('name = "mine"\nbase = "scratch"\n')
    blob = layout / "blobs" / "sha256" / ("a" * 64)
    blob.parent.mkdir(parents=True)
    blob.touch()
    (layout / "index.json").write_text(json.dumps({"manifests": [{"digest": IMAGE["digest"]}]}))
    monkeypatch.delenv("CONTAINERS_STORAGE_CONF", raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    options = circumstances("oci:images", check=None, locked=False)
    mark = stamp.stamp_path(tmp_path / "cache", Path("mine.toml"), options)
    at = ({"layout": str(layout), "digest": str(IMAGE["digest"])},)
    stamp.write_stamp(mark, [recipe], {"mine:cpu": stamp.Image(at, json.dumps(IMAGE))}, ["mine:cpu"])
    return ["recipe", "mine.toml", "--output", "oci:images"]


def test_an_unchanged_recipe_has_nothing_to_do_and_says_so(avabuild, built):
    said = avabuild(*built)
    assert (said.returncode, said.stdout) == (0, "localhost/mine:cpu\n")
    assert "up to date: nothing to do" in said.stderr


def test_nothing_heavy_is_imported_to_find_out(built, environment, tmp_path):
    program = f"""
import sys
sys.argv = ["avabuild", *{built!r}]
from avabuild.cli import main
try:
    main()
finally:
    print(*(name for name in {HEAVY!r} if name in sys.modules), file=sys.stderr)
"""
    ran = subprocess.run(
        [sys.executable, "-c", program],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stdout == "localhost/mine:cpu\n"
    assert ran.stderr.splitlines()[-1] == ""


def test_it_is_told_by_json_too(avabuild, built):
    (event,) = [json.loads(line) for line in avabuild(*built, "--json").stdout.splitlines()]
    assert event["up_to_date"] is True
    assert event["digest"] == IMAGE["digest"]


def test_another_directory_has_an_output_of_its_own(built, monkeypatch, tmp_path):
    here = circumstances("oci:images", check=None, locked=False)
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path / "other")
    assert circumstances("oci:images", check=None, locked=False) != here


@pytest.mark.parametrize("name", ["STORAGE_DRIVER", "XDG_DATA_HOME", "CONTAINERS_STORAGE_CONF"])
def test_another_storage_has_images_of_its_own(monkeypatch, name):
    here = circumstances(None, check=None, locked=False)
    monkeypatch.setenv(name, "other")
    assert circumstances(None, check=None, locked=False) != here


def test_what_the_registry_cache_is_to_have_is_something_to_do(avabuild, built):
    said = avabuild(*built, "--cache", "no registry")
    assert said.returncode == 2
    assert "names no registry" in said.stderr


@pytest.mark.parametrize(
    ("more", "words"),
    [(["--force"], "give --push too"), (["--locked", "--upgrade", "six"], "excludes --locked")],
)
def test_options_that_make_no_sense_are_refused_where_nothing_is_to_do_too(avabuild, built, more, words):
    said = avabuild(*built, *more)
    assert said.returncode == 2
    assert words in said.stderr


@pytest.mark.parametrize("output", [[], ["--output", "storage"]])
def test_a_bill_that_has_no_place_is_refused_before_anything_is_built(avabuild, built, tmp_path, output):
    said = avabuild("recipe", "mine.toml", *output, "--sbom", "spdx")
    assert said.returncode == 2
    assert "avabuild sbom" in said.stderr
    assert not (tmp_path / "cache" / "index").exists()


@pytest.mark.parametrize("by", ["flag", "variable"])
def test_a_relative_root_is_another_one_in_another_directory(monkeypatch, tmp_path, by):
    flags = {"root": "images"} if by == "flag" else {}
    monkeypatch.setenv("AVABUILD_ROOT", "images" if by == "variable" else "")
    here = circumstances(None, check=None, locked=False, flags=flags)
    monkeypatch.chdir(tmp_path)
    assert circumstances(None, check=None, locked=False, flags=flags) != here


SAME = {
    "a root by its flag": ({"root": "/r"}, {}),
    "a root by its variable": ({}, {"AVABUILD_ROOT": "/r"}),
    "a root with a slash more": ({"root": "/r/"}, {}),
    "a root by a detour": ({"root": "/r/x/.."}, {}),
}


@pytest.mark.parametrize(("flags", "variables"), SAME.values(), ids=SAME.keys())
def test_one_root_is_one_circumstance_however_it_is_spelt(monkeypatch, flags, variables):
    wanted = circumstances(None, check=None, locked=False, flags={"root": "/r"})
    monkeypatch.delenv("AVABUILD_ROOT", raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert circumstances(None, check=None, locked=False, flags=flags) == wanted


@pytest.mark.parametrize(
    ("name", "value"),
    [("mode", "none"), ("storage_driver", "vfs"), ("runner", "buildah"), ("debian_mirror", "http://a")],
)
def test_a_setting_by_its_flag_and_by_its_variable_is_the_same(monkeypatch, name, value):
    monkeypatch.delenv(f"AVABUILD_{name.upper()}", raising=False)
    other = circumstances(None, check=None, locked=False)
    flag = circumstances(None, check=None, locked=False, flags={name: value})
    monkeypatch.setenv(f"AVABUILD_{name.upper()}", value)
    assert circumstances(None, check=None, locked=False) == flag != other


def test_what_is_the_default_may_be_said(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    plain = circumstances(None, check=None, locked=False)
    assert circumstances("storage", check=True, locked=False) == plain
    assert circumstances(None, check=False, locked=False) != plain
    layout = circumstances("oci:images", check=None, locked=False)
    assert circumstances(f"oci:{tmp_path}/images/", check=False, locked=False) == layout


def test_plugins_are_the_same_in_any_order(monkeypatch):
    monkeypatch.setenv("AVABUILD_PLUGINS", "a, b")
    one = circumstances(None, check=None, locked=False)
    monkeypatch.setenv("AVABUILD_PLUGINS", "b a")
    assert circumstances(None, check=None, locked=False) == one


def test_an_image_that_is_there_is_not_built_again_for_another_of_its_recipe(avabuild, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("mine.toml").write_text(
        'name = "mine"\nbase = "scratch"\n[matrix]\ndevice = ["cpu", "cuda12.5"]\n'
        '[[files]]\nsource = "one"\ntarget = "/one"\n'
    )
    Path("one").write_text("one")
    build = ["recipe", "mine.toml", "--output", "oci:out"]
    said = avabuild(*build, "--only", "cpu")
    assert said.returncode == 0, said.stderr
    assert "up to date" in avabuild(*build, "--only", "mine:cpu").stderr
    states = re.findall("unchanged|built", avabuild(*build).stderr)
    assert states.count("unchanged") == 1
    assert re.findall("unchanged|built", avabuild(*build).stderr) == ["unchanged"] * 2
    Path("one").write_text("two")
    assert "unchanged" not in avabuild(*build).stderr
