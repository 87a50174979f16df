"""The classic resolver: pip 20.3.4 on an index of the test's own. It runs on this Python as it does on 2.7."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tarfile
import uuid
from dataclasses import replace
from importlib import resources
from pathlib import Path

import pytest

from avabuild.common.errors import ResolveError, StepError, UnavailableError, WheelError
from avabuild.resolve.about import About
from avabuild.resolve.fetch import Fetcher, file_path
from avabuild.resolve.indexes import Indexes, from_host, pip_conf_paths
from avabuild.resolve.lock import Package
from avabuild.resolve.pip import TOOLS, ClassicResolver, settled, unpack_tools
from avabuild.resolve.platforms import Platform
from avabuild.resolve.resolver import Resolver
from avabuild.resolve.uv import Outcome

HERE = {name: value for name, value in os.environ.items() if name.startswith(("UV_", "PIP_", "HOME"))}


@pytest.fixture(scope="session")
def tools(tmp_path_factory) -> Path:
    """The pinned pip and what it needs, from the host's own index, found there by uv."""
    directory = tmp_path_factory.mktemp("tools")
    indexes = from_host(HERE, pip_conf_paths(HERE, Path(sys.prefix)))
    located = Resolver(Platform("3.11", "x86_64", "2.36"), indexes, directory, directory).locate
    wheels = [path for _, path in Fetcher(directory / "wheels", indexes, located).fetch(TOOLS, {})]
    unpack_tools(wheels, directory / "pip")
    return directory / "pip"


@pytest.fixture
def make(index, recipe_dir, tmp_path):
    """A function that makes a classic resolver of `index`; `run` answers in pip's place, `learn` in a build's."""

    def resolver(run, learn=None, **indexes):
        workdir = tmp_path / f"work-{uuid.uuid4().hex}"
        workdir.mkdir()
        settings = Indexes(**{"index": index.url, **indexes})
        files = tmp_path / "files"
        return ClassicResolver(settings, recipe_dir, workdir, files, run, Path(sys.executable), learn)

    return resolver


@pytest.fixture
def pip(make, tools, tmp_path):
    """A function that makes a classic resolver that really runs pip."""

    def run(command):
        own = {"PYTHONPATH": str(tools), "PIP_CACHE_DIR": str(tmp_path / "cache"), "HOME": str(tmp_path)}
        env = {**os.environ, **dict(command.environment), **own}
        done = subprocess.run(command.argv, env=env, capture_output=True, text=True, check=False)
        return Outcome(done.returncode, done.stderr)

    return lambda learn=None, **indexes: make(run, learn, **indexes)


def learning(seen, more=(), refused=()):
    """Return what knows of every source but those `refused` that it needs `more`; it keeps what was asked."""

    def learn(found):
        seen.append(found.package)
        if found.package.version in refused:
            raise StepError("no wheel", place=f"build {found.package.name}", tail="SyntaxError: no f-strings")
        return About(name=found.package.name, version=found.package.version, requires=more)

    return learn


def versions(resolved):
    return {one.package.name: one.package.version for one in resolved}


@pytest.mark.network
def test_requirements_are_resolved_together_and_no_wheel_is_downloaded(index, pip, package_of):
    index.wheel("alpha", "1.0", requires=("beta",))
    wheel = index.wheel("beta", "1.0")
    index.wheel("beta", "2.0")
    index.wheel("gamma", "1.0", requires=("beta<2",))
    resolved = pip().resolve(["alpha", "gamma"])
    assert versions(resolved) == {"alpha": "1.0", "beta": "1.0", "gamma": "1.0"}
    assert resolved[1].package == package_of(wheel)
    assert resolved[1].url == index.file_url(wheel.name)
    assert all(asked for asked in index.requests_for(wheel.name)), "only ranges of it were asked for"


@pytest.mark.network
def test_who_needs_a_package_is_told(index, pip):
    index.wheel("alpha", "1.0", requires=("beta", 'omega; extra == "all"'))
    index.wheel("beta", "1.0")
    index.wheel("omega", "1.0")
    index.wheel("gamma", "1.0", requires=("beta", "delta"))
    index.wheel("delta", "1.0")
    index.wheel("sigma", "1.0", requires=("beta",))
    who = {"alpha[all]": ("first",), "sigma": ("second",)}
    resolved = pip().resolve(["alpha[all]", "sigma"], ["gamma"], origins=who)
    assert {one.package.name: one.package.by for one in resolved} == {
        "alpha": ("first",),
        "beta": ("first", "second"),
        "sigma": ("second",),
        "gamma": (),
        "delta": (),
    }


@pytest.mark.network
def test_constraints_limit_and_an_older_lock_is_kept_where_it_fits(index, pip):
    for version in ("1.0", "2.0", "3.0"):
        index.wheel("alpha", version)
    asked, old = ["alpha"], (Package(name="alpha", version="1.0"),)
    assert versions(pip().resolve(asked, constraints=("alpha<3", "unused<1"))) == {"alpha": "2.0"}
    assert versions(pip().resolve(asked, preferences=old)) == {"alpha": "1.0"}
    assert versions(pip().resolve(["alpha>1"], preferences=old)) == {"alpha": "3.0"}
    assert versions(pip().resolve(asked, preferences=old, upgrade=frozenset({"alpha"}))) == {"alpha": "3.0"}


@pytest.mark.network
def test_an_sdist_is_kept_where_the_fetcher_finds_it(index, pip, package_of, tmp_path):
    sdist, seen = index.sdist("alpha", "1.0"), []
    (found,) = pip(learning(seen)).resolve(["alpha"])
    assert found.package == package_of(sdist, kind="sdist", version="1.0")
    assert file_path(tmp_path / "files", found.package).read_bytes() == sdist.read_bytes()
    assert [(one.name, one.version, one.sha256) for one in seen] == [("alpha", "1.0", found.package.sha256)]


@pytest.mark.network
def test_what_a_source_says_of_itself_takes_part_in_the_resolution(index, pip):
    index.sdist("alpha", "1.0")
    index.wheel("beta", "1.0")
    index.wheel("beta", "2.0")
    index.wheel("gamma", "1.0")
    needs = ("beta<2", 'gamma; extra == "more"', 'nowhere; extra == "less"')
    seen = []
    found = pip(learning(seen, needs)).resolve(["alpha"])
    assert versions(found) == {"alpha": "1.0", "beta": "1.0"}
    assert {one.package.by for one in found} == {("avabuild",)}
    assert len(seen) == 1


@pytest.mark.network
def test_another_version_is_tried_for_a_source_that_can_not_be_used(index, pip):
    index.sdist("alpha", "1.0")
    index.sdist("alpha", "2.0")
    seen = []
    assert versions(pip(learning(seen, refused=["2.0"])).resolve(["alpha"])) == {"alpha": "1.0"}
    assert [one.version for one in seen] == ["2.0", "1.0"]
    with pytest.raises(ResolveError, match="no f-strings"):
        pip(learning([], refused=["2.0", "1.0"])).resolve(["alpha"])


@pytest.mark.network
def test_pip_runs_no_code_of_a_source_and_unpacks_none(index, pip, recipe_dir, tmp_path):
    marker, seen = tmp_path / "EVIL", []
    setup = f"open({str(marker)!r}, 'w').write('ran')\nfrom setuptools import setup\nsetup()\n"
    own = recipe_dir / "own-1.0.tar.gz"
    for path in (index.directory / "alpha-1.0.tar.gz", own):
        name = path.name.partition("-")[0]
        with tarfile.open(path, "w:gz") as archive:
            link = tarfile.TarInfo(f"{name}-1.0/way")
            link.type, link.linkname = tarfile.SYMTYPE, str(tmp_path)
            archive.addfile(link)
            for member, text in {
                "PKG-INFO": f"Metadata-Version: 1.1\nName: {name}\nVersion: 1.0\n",
                "setup.py": setup,
                "pyproject.toml": "[build-system]\nrequires = ['nowhere']\n",
                "way/UNPACKED": "",
            }.items():
                info = tarfile.TarInfo(f"{name}-1.0/{member}")
                info.size = len(text)
                archive.addfile(info, io.BytesIO(text.encode()))
    asked = ["alpha"], [f"./{own.name}"]
    assert versions(pip(learning(seen)).resolve(*asked, alone=["alpha==1.0"])) == {
        "alpha": "1.0",
        "own": "1.0",
    }
    assert sorted(one.name for one in seen) == ["alpha", "own"]
    with pytest.raises(ResolveError, match=r"nothing is known of (alpha|own)-1\.0\.tar\.gz"):
        pip().resolve(*asked)
    assert not marker.exists()
    assert not (tmp_path / "UNPACKED").exists()


@pytest.mark.network
def test_a_version_that_has_wheels_is_taken_before_a_newer_one_that_has_none(index, pip):
    index.wheel("alpha", "1.0")
    index.sdist("alpha", "2.0")
    assert versions(pip().resolve(["alpha"])) == {"alpha": "1.0"}


@pytest.mark.network
def test_what_is_alone_brings_nothing_and_hinders_nothing(index, pip):
    index.wheel("alpha", "1.0", requires=("beta==7", "nowhere"))
    index.wheel("beta", "1.0")
    assert versions(pip().resolve(["beta"], alone=["alpha==1.0"])) == {"alpha": "1.0", "beta": "1.0"}


@pytest.mark.network
def test_a_conflict_keeps_pips_words_and_is_found_without_trying_everything(index, pip):
    for number in range(40):
        index.wheel("alpha", f"1.{number}", requires=("beta>=2",))
        index.wheel("omega", f"1.{number}")
        index.wheel("beta", f"1.{number}")
    index.wheel("beta", "2.0")
    with pytest.raises(ResolveError, match=r"alpha 1\.\d+ depends on beta>=2") as caught:
        pip().resolve(["beta<2", "omega", "alpha"])
    assert "The user requested beta<2" in str(caught.value)


@pytest.mark.network
def test_the_versions_that_there_are_for_this_python_are_told(index, pip):
    index.wheel("alpha", "1.0")
    index.wheel("alpha", "2.0", tag="cp27-none-any" if sys.version_info > (3,) else "")
    with pytest.raises(ResolveError, match=r"of alpha, Python 3\.\d+ can have 1\.0"):
        pip().resolve(["alpha==2.0"])
    with pytest.raises(ResolveError, match="no version of nowhere is for Python"):
        pip().resolve(["nowhere"])


@pytest.mark.network
def test_an_index_that_is_down_is_unavailable_and_its_password_is_not_shown(pip):
    with pytest.raises(UnavailableError) as caught:
        pip(index="http://me:secret@127.0.0.1:1/simple").resolve(["alpha"])
    assert "127.0.0.1:1/simple" in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.network
def test_a_wheel_of_the_recipe_is_hashed_and_named_by_its_relative_path(index, pip, recipe_dir, package_of):
    index.wheel("beta", "1.0")
    wheel = index.wheel("mine", "1.0", requires=("beta",)).rename(recipe_dir / "mine-1.0-py3-none-any.whl")
    resolved = pip().resolve([], [f"./{wheel.name}"])
    assert versions(resolved) == {"beta": "1.0", "mine": "1.0"}
    assert resolved[1].package == package_of(wheel, kind="file", path=wheel.name, by=())


def answering(answer, files=()):
    """Return a Runner that writes `answer`, and `files` to where pip leaves what it downloads."""

    def run(command):
        request = json.loads((command.directory / "request.json").read_text())
        Path(request["answer"]).write_text(json.dumps(answer))
        for name, content in files:
            (Path(request["out"]) / name).write_bytes(content)
        return Outcome(0, "")

    return run


FOUND = {
    "name": "alpha", "version": "1.0", "kind": "wheel", "filename": "alpha-1.0-py2-none-any.whl",
    "url": "http://127.0.0.1:1/alpha-1.0-py2-none-any.whl", "sha256": "ab" * 32, "direct": False,
    "commit": "", "subdirectory": "", "by": ["alpha"],
}  # fmt: skip


def test_two_versions_of_one_project_alone_and_needed_are_refused(make):
    answer = {"packages": [FOUND], "alone": [FOUND | {"version": "2.0"}]}
    with pytest.raises(
        ResolveError, match=r"alpha is pinned to 2\.0 without its dependencies, but other packages need 1\.0"
    ):
        make(answering(answer)).resolve(["beta"], alone=["alpha==2.0"])


def test_a_download_that_is_not_what_the_index_promised_is_refused(make):
    run = answering({"packages": [FOUND], "alone": []}, [(FOUND["filename"], b"other")])
    with pytest.raises(WheelError, match="differs from the hash"):
        make(run).resolve(["alpha"])


def test_a_direct_address_is_kept_without_its_password(make):
    direct = FOUND | {"url": "http://me:secret@127.0.0.1:1/alpha-1.0-py2-none-any.whl", "direct": True}
    (one,) = make(answering({"packages": [direct], "alone": []})).resolve(["alpha @ http://127.0.0.1:1/a"])
    assert one.package.url == "http://127.0.0.1:1/alpha-1.0-py2-none-any.whl"


def test_a_repository_is_locked_to_its_commit(make):
    git = {
        "kind": "git",
        "url": "git+https://me:x@example.invalid/a.git@main",
        "commit": "c" * 40,
        "sha256": "",
    }
    (one,) = make(answering({"packages": [FOUND | git], "alone": []})).resolve(
        ["git+https://example.invalid/a"]
    )
    assert (one.package.kind, one.package.url) == ("git", "https://example.invalid/a.git")
    assert (one.package.commit, one.package.filename) == ("c" * 40, "")


def test_pip_that_does_not_come_to_an_answer_is_told_with_its_words(make):
    with pytest.raises(ResolveError, match="MemoryError"):
        make(lambda _: Outcome(1, "MemoryError")).resolve(["alpha"])


def test_locked_files_are_found_again_by_hash_on_pages_and_in_folders(index, make, package_of, tmp_path):
    here, there = index.wheel("alpha", "1.0", tag="cp27-cp27mu-linux_x86_64"), index.wheel("beta", "1.0")
    folder = tmp_path / "folder"
    folder.mkdir()
    moved = there.rename(folder / there.name)
    packages = [package_of(here), package_of(moved)]
    urls = make(None, find_links=(str(folder),)).locate(packages)
    assert urls == {packages[0].sha256: index.file_url(here.name), packages[1].sha256: moved.as_uri()}
    gone = packages[0].model_copy(update={"sha256": "0" * 64})
    with pytest.raises(WheelError, match=f"no configured index has {here.name}"):
        make(None).locate([gone])


def test_pages_as_json_are_read_too(make, package_of, tmp_path):
    from avabuild.resolve.simple_index import _of_json

    text = json.dumps(
        {"files": [{"url": "../../f/a.whl", "hashes": {"sha256": "aa"}}, {"url": "b", "hashes": {}}]}
    )
    assert _of_json(text, "http://h/simple/a/") == {"aa": "http://h/f/a.whl"}


def test_an_index_that_fails_while_files_are_located_is_unavailable(index, make, package_of):
    package = package_of(index.wheel("alpha", "1.0"))
    index.faults["alpha"] += ["503"]
    with pytest.raises(UnavailableError, match="503"):
        make(None).locate([package])


def test_an_index_that_nobody_names_is_uvs_own():
    assert settled(Indexes(no_index=True)).index is None
    assert settled(Indexes(index="http://127.0.0.1:1/")).index == "http://127.0.0.1:1/"
    assert str(settled(Indexes()).index).startswith("https://")


def test_pip_is_told_the_indexes_of_uv():
    indexes = Indexes(
        index="own=http://h/simple", extra=("http://i/simple", "http://j/simple"), find_links=("/f",)
    )
    env = replace(indexes, others=(("UV_INSECURE_HOST", "h"),)).pip_environment()
    assert (env["PIP_INDEX_URL"], env["PIP_TRUSTED_HOST"]) == ("http://h/simple", "h")
    assert (env["PIP_EXTRA_INDEX_URL"], env["PIP_FIND_LINKS"]) == ("http://i/simple http://j/simple", "/f")
    assert "PIP_INDEX_URL" not in Indexes().pip_environment()


def test_what_is_changed_of_pip_is_there_before_pip():
    text = resources.files("avabuild.resolve").joinpath("pip_worker.py").read_text("utf-8")
    assert text.index("\nfrom pip_changes import") < text.index("\nfrom pip._internal")
