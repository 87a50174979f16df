"""What a new distribution is made from, and that it is written whole or not at all."""

from __future__ import annotations

import tomllib
from types import SimpleNamespace

import pytest
from packaging.specifiers import SpecifierSet

from avabuild.authoring.scaffold import LICENSES, Row, scaffold_for, write
from avabuild.authoring.scaffold.table import rows
from avabuild.common.errors import PluginError, ResolveError
from avabuild.resolve import NeedsBuild

ROWS = (Row("2.19", ("3.11", "3.12")), Row("2.0", ("3.10",)))


def scaffold(name="jax", **more):
    return scaffold_for(name, ROWS, day="2026-11-24", version="0.3.1", contract=1, **more)


def found(project, version, kind="wheel"):
    return [SimpleNamespace(package=SimpleNamespace(name=project, version=version, kind=kind))]


def test_a_whole_distribution_is_written(tmp_path):
    files = write(scaffold("scikit-learn", imported="sklearn"), tmp_path / "made")
    assert set(files) == {
        ".github/workflows/test.yml", ".gitignore", "LICENSE", "README.md", "example.toml", "pyproject.toml",
        "src/avabuild_scikit_learn/__init__.py", "src/avabuild_scikit_learn/py.typed",
        "tests/conftest.py", "tests/test_plugin.py",
    }  # fmt: skip
    project = tomllib.loads((tmp_path / "made" / "pyproject.toml").read_text())["project"]
    assert project["name"] == "avabuild-scikit-learn"
    assert project["entry-points"]["avabuild"] == {"scikit-learn": "avabuild_scikit_learn"}
    assert project["dependencies"] == ["avabuild>=0.3"]
    text = (tmp_path / "made" / "src" / "avabuild_scikit_learn" / "__init__.py").read_text()
    assert "import sklearn\n" in text
    assert '    Release(version="2.19", pythons=("3.11", "3.12")),\n' in text
    assert '    Release(version="2.0", pythons=("3.10",)),\n' in text
    assert [p.name for p in tmp_path.iterdir()] == ["made"]
    left = [
        f
        for f in files
        if "@" in f
        or "@"
        in (tmp_path / "made" / f)
        .read_text()
        .replace("checkout@v4", "")
        .replace("setup-python@v5", "")
        .replace("@hookimpl", "")
    ]
    assert left == []


@pytest.mark.parametrize("name", LICENSES)
def test_every_license_has_its_text(tmp_path, name):
    write(scaffold(license=name, author="Ada"), tmp_path / "made")
    text = (tmp_path / "made" / "LICENSE").read_text()
    assert name.split("-")[0] in text
    assert name == "Apache-2.0" or "Copyright (c) 2026 Ada" in text


@pytest.mark.parametrize("name", ["", "Jax", "a b", "-x", "x-", "x--y", "../x", "x/y", "a" * 41, "é"])
def test_what_is_no_name_is_refused(name):
    with pytest.raises(PluginError, match="can't be the name of a framework"):
        scaffold(name)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"license": "GPL"}, "there is no text for the license"),
        ({"project": "a b"}, "is no name of a project"),
        ({"imported": "a-b"}, "can't be imported"),
        ({"imported": "class"}, "can't be imported"),
    ],
)
def test_other_words_are_held_against_what_they_can_be(options, words):
    with pytest.raises(PluginError, match=words):
        scaffold(**options)


def test_the_distributions_own_name_is_understood():
    assert scaffold("avabuild-jax").name == "jax"


def test_what_is_there_is_not_touched(tmp_path):
    (tmp_path / "made").mkdir()
    with pytest.raises(PluginError, match="exists already"):
        write(scaffold(), tmp_path / "made")
    assert list((tmp_path / "made").iterdir()) == []


def test_what_can_t_be_written_leaves_nothing(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(PluginError, match="can't be written"):
        write(scaffold(), tmp_path / "file" / "made")


def test_rows_are_series_newest_first_with_the_pythons_that_would_get_them():
    answers = {
        "3.13": found("jax", "0.12.1"), "3.12": found("jax", "0.12.1"), "3.11": found("jax", "0.9.3"),
        "3.10": found("jax", "0.6.0", "sdist"), "3.9": ResolveError("none"),
    }  # fmt: skip
    assert rows("JAX", answers) == (Row("0.12", ("3.12", "3.13")), Row("0.9", ("3.11",)))


@pytest.mark.parametrize(
    ("version", "series"),
    [("0.48b0", "0.48"), ("1.0.post1", "1.0"), ("2.1+cpu", "2.1"), ("3", "3"), ("1!2.0.1", "1!2.0")],
)
def test_a_series_is_one_that_a_specifier_may_end_with(version, series):
    assert rows("x", {"3.13": found("x", version)}) == (Row(series, ("3.13",)),)
    assert SpecifierSet(f"=={series}.*").contains(version, prereleases=True)


def test_a_project_that_no_index_has_is_an_error_and_one_of_sources_alone_has_no_rows():
    with pytest.raises(ResolveError, match="none"):
        rows("jax", {"3.13": ResolveError("none"), "3.12": ResolveError("none")})
    assert rows("jax", {"3.13": NeedsBuild("sources", ("jax",)), "3.12": ResolveError("none")}) == ()
