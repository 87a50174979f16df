import shutil
import subprocess
from dataclasses import replace

import pytest

from avabuild.common.errors import ResolveError, UnavailableError, WheelError
from avabuild.resolve.indexes import Indexes
from avabuild.resolve.lock import Package
from avabuild.resolve.uv import NeedsBuild, Outcome, Unsolvable, find_uv


def versions(resolved):
    return {one.package.name: one.package.version for one in resolved}


def needed(resolved):
    return {one.package.name: one.package.by for one in resolved}


def test_requirements_are_resolved_together_with_files_hashes_and_urls(index, resolver, package_of):
    index.wheel("alpha", "1.0", requires=("beta",))
    wheel = index.wheel("beta", "1.0")
    index.wheel("beta", "2.0")
    index.wheel("gamma", "1.0", requires=("beta<2",))
    resolved = resolver().resolve(["alpha", "gamma"])
    assert versions(resolved) == {"alpha": "1.0", "beta": "1.0", "gamma": "1.0"}
    assert resolved[1].package == package_of(wheel, size=0)
    assert resolved[1].url == index.file_url(wheel.name)


def test_who_needs_a_package_is_told(index, resolver):
    index.wheel("alpha", "1.0", requires=("beta",))
    index.wheel("beta", "1.0")
    index.wheel("gamma", "1.0", requires=("beta", "delta"))
    index.wheel("delta", "1.0")
    index.wheel("sigma", "1.0", requires=("beta",))
    who = {"alpha": ("first",), "sigma": ("second", "third")}
    resolved = resolver().resolve(["alpha", "sigma"], ["gamma"], origins=who)
    assert needed(resolved) == {
        "alpha": ("first",),
        "beta": ("first", "second", "third"),
        "sigma": ("second", "third"),
        "gamma": (),
        "delta": (),
    }
    assert set(needed(resolver().resolve([], ["gamma"])).values()) == {()}


@pytest.mark.parametrize("how", ["uv.toml", "UV_CONFIG_FILE", "UV_TORCH_BACKEND"])
def test_the_one_index_of_a_policy_is_not_added_to_by_the_users_own_uv(
    index, resolver, tmp_path, monkeypatch, how
):
    index.wheel("torch", "1.0")
    elsewhere = 'index-url = "http://127.0.0.1:1/a"\nextra-index-url = ["http://127.0.0.1:1/b"]\n'
    (tmp_path / "uv").mkdir()
    (tmp_path / "uv" / "uv.toml").write_text(elsewhere)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    if how == "UV_CONFIG_FILE":
        monkeypatch.setenv(how, str(tmp_path / "uv" / "uv.toml"))
    if how == "UV_TORCH_BACKEND":
        monkeypatch.setenv(how, "cpu")
    asking = replace(resolver(), indexes=Indexes().at(index.url))
    assert versions(asking.resolve(["torch"])) == {"torch": "1.0"}


def test_nothing_asked_asks_nobody(resolver):
    assert resolver(index="http://127.0.0.1:1/simple").resolve([]) == ()


def test_a_conflict_keeps_uvs_words(index, resolver):
    index.wheel("alpha", "1.0")
    index.wheel("gamma", "1.0", requires=("alpha<1",))
    with pytest.raises(ResolveError, match=r"gamma depend\s+on alpha<1") as caught:
        resolver().resolve(["alpha", "gamma"])
    assert type(caught.value) is Unsolvable


def test_an_unknown_package_is_named(resolver):
    with pytest.raises(ResolveError, match="nowhere was not found"):
        resolver().resolve(["nowhere"])


def test_an_index_that_is_down_is_unavailable_and_its_password_is_not_shown(resolver):
    with pytest.raises(UnavailableError) as caught:
        resolver(index="http://me:secret@127.0.0.1:1/simple").resolve(["alpha"])
    assert "127.0.0.1:1/simple" in str(caught.value)
    assert "secret" not in str(caught.value)
    assert caught.value.exit_code == 75


def test_an_index_that_answers_503_is_unavailable(index, resolver):
    index.faults["alpha"] += ["503"] * 9
    with pytest.raises(UnavailableError, match="503"):
        resolver().resolve(["alpha"])


def test_versions_of_an_older_lock_are_kept_until_upgraded(index, resolver):
    for version in ("1.0", "2.0"):
        index.wheel("alpha", version)
        index.wheel("beta", version)
    old = (Package(name="alpha", version="1.0"), Package(name="beta", version="1.0"))
    asked = ["alpha", "beta"]
    assert versions(resolver().resolve(asked)) == {"alpha": "2.0", "beta": "2.0"}
    assert versions(resolver().resolve(asked, preferences=old)) == {"alpha": "1.0", "beta": "1.0"}
    one = resolver().resolve(asked, preferences=old, upgrade=frozenset({"beta"}))
    assert versions(one) == {"alpha": "1.0", "beta": "2.0"}
    everything = resolver().resolve(asked, preferences=old, upgrade=frozenset({"*"}))
    assert versions(everything) == {"alpha": "2.0", "beta": "2.0"}


def test_a_preference_gives_way_to_the_requirements(index, resolver):
    index.wheel("alpha", "1.0")
    index.wheel("alpha", "2.0")
    old = (Package(name="alpha", version="1.0"), Package(name="gone", version="9"))
    assert versions(resolver().resolve(["alpha>1"], preferences=old)) == {"alpha": "2.0"}


def test_a_plugins_preferred_pins_hold_where_nothing_wants_another_version(index, resolver):
    for version in ("1.0", "2.0", "3.0"):
        index.wheel("alpha", version)
    index.wheel("beta", "1.0", requires=("alpha>2",))
    old = (Package(name="alpha", version="2.0"),)
    asked = {"preferred": ("alpha==1.0", "gone==9"), "preferences": old}
    assert versions(resolver().resolve(["alpha"], **asked)) == {"alpha": "1.0"}
    everything = resolver().resolve(["alpha"], **asked, upgrade=frozenset({"*"}))
    assert versions(everything) == {"alpha": "1.0"}, "an upgrade renews the lock, and not what plugins say"
    assert versions(resolver().resolve(["alpha", "beta"], **asked)) == {"alpha": "3.0", "beta": "1.0"}


def test_wheels_are_for_the_targets_python_and_not_for_the_one_that_runs(index, resolver):
    for tag in ("cp39-cp39", "cp311-cp311", "cp313-cp313"):
        index.wheel("alpha", "1.0", tag=f"{tag}-manylinux_2_28_x86_64")
    for python in ("3.9", "3.13"):
        (found,) = resolver(python).resolve(["alpha"])
        assert f"cp{python.replace('.', '')}-" in found.package.filename
    with pytest.raises(ResolveError):
        resolver("3.11", glibc="2.17").resolve(["alpha"])


def test_a_version_that_has_wheels_is_taken_before_a_newer_one_that_has_none(index, resolver):
    index.wheel("alpha", "1.0")
    index.sdist("alpha", "2.0")
    assert versions(resolver().resolve(["alpha"])) == {"alpha": "1.0"}


def test_an_sdist_alone_needs_a_build_and_no_code_of_it_runs_here(index, resolver):
    index.sdist("alpha", "1.0")
    with pytest.raises(NeedsBuild) as caught:
        resolver().resolve(["alpha"])
    assert caught.value.names == ("alpha",)


def test_a_build_is_run_by_the_callers_runner_which_is_told_what_to_mount(index, resolver, recipe_dir):
    index.sdist("alpha", "1.0")
    asked = []

    def elsewhere(command):
        asked.append(command)
        sdist = f'url = "{index.file_url("alpha-1.0.tar.gz")}", hashes = {{ sha256 = "aa" }}'
        head = 'lock-version = "1.0"\ncreated-by = "test"\n[[packages]]\nname = "alpha"\nversion = "1.0"\n'
        (command.directory / "pylock.all.toml").write_text(f"{head}sdist = {{ {sdist} }}\n")
        return Outcome(0, "")

    building = resolver(run=elsewhere, find_links=(str(index.directory),))
    (found,) = building.resolve(["alpha"], build=True)
    assert (found.package.kind, found.package.sha256) == ("sdist", "aa")
    (command,) = asked
    assert "--no-build" not in command.argv
    assert command.directory == building.workdir
    assert {recipe_dir, index.directory} <= set(command.reads)
    assert dict(command.environment)["UV_DEFAULT_INDEX"] == index.url


def test_an_sdist_is_located_without_a_build(index, resolver, package_of):
    sdist = index.sdist("alpha", "1.0")
    package = package_of(sdist, kind="sdist", version="1.0")
    assert resolver().locate([package]) == {package.sha256: index.file_url(sdist.name)}


def test_a_wheel_of_the_recipe_is_hashed_and_named_by_its_relative_path(
    index, resolver, recipe_dir, package_of
):
    index.wheel("beta", "1.0")
    (recipe_dir / "wheels").mkdir()
    wheel = recipe_dir / "wheels" / "mine-1.0-py3-none-any.whl"
    shutil.move(index.wheel("mine", "1.0", requires=("beta",)), wheel)
    resolved = resolver().resolve([], ["./wheels/mine-1.0-py3-none-any.whl"])
    mine = next(one for one in resolved if one.package.name == "mine")
    assert mine.package == package_of(wheel, kind="file", path="wheels/mine-1.0-py3-none-any.whl", by=())
    assert mine.url == wheel.as_uri()
    assert resolver().locate([mine.package]) == {mine.package.sha256: wheel.as_uri()}
    assert {one.package.name for one in resolved} == {"beta", "mine"}


def test_a_wheel_of_the_recipe_is_not_unpacked_to_read_its_metadata(
    index, resolver, recipe_dir, tmp_path, monkeypatch
):
    cache = tmp_path / "uv-cache"
    monkeypatch.setenv("UV_CACHE_DIR", str(cache))
    index.wheel("beta", "1.0")
    mine = index.wheel("mine", "1.0", requires=("beta",), body=b"x = 1\n" * 3_000_000)
    shutil.move(mine, recipe_dir / mine.name)
    resolved = resolver().resolve([f"./{mine.name}", "beta"], ["beta"], origins={"beta": ("other",)})
    assert needed(resolved) == {"beta": ("avabuild", "other"), "mine": ("avabuild",)}
    assert sum(path.stat().st_size for path in cache.rglob("*") if path.is_file()) < 1_000_000


def test_what_is_wrong_with_a_wheel_of_the_recipe_is_said_with_its_name(index, resolver, recipe_dir):
    mine = index.wheel("mine", "1.0", requires=("nowhere",))
    shutil.move(mine, recipe_dir / mine.name)
    with pytest.raises(ResolveError) as caught:
        resolver().resolve([f"./{mine.name}"])
    assert "stubs" not in str(caught.value)
    data = (recipe_dir / mine.name).read_bytes()
    (recipe_dir / mine.name).write_bytes(data.replace(b"mine.py", b"none.py", 1))
    with pytest.raises(WheelError, match=r"'mine.py' is named 'none.py' in its own header") as refused:
        resolver().resolve([f"./{mine.name}"])
    assert refused.value.place == mine.name


@pytest.fixture
def repository(tmp_path):
    """A bare repository with one commit, and a function that adds another."""
    work, bare = tmp_path / "work", tmp_path / "bare.git"
    work.mkdir()

    def git(*argv):
        identity = ("-c", "user.name=a", "-c", "user.email=a@example.invalid")
        done = subprocess.run(["git", *identity, *argv], cwd=work, check=True, capture_output=True, text=True)
        return done.stdout.strip()

    def commit(version):
        build = '[build-system]\nrequires = ["setuptools"]\nbuild-backend = "setuptools.build_meta"\n'
        (work / "pyproject.toml").write_text(f'{build}[project]\nname = "gitty"\nversion = "{version}"\n')
        git("add", ".")
        git("commit", "--quiet", "--message", version)
        git("push", "--quiet", str(bare), "HEAD:refs/heads/main")
        return git("rev-parse", "HEAD")

    git("init", "--quiet", "--initial-branch=main")
    git("init", "--quiet", "--bare", "--initial-branch=main", str(bare))
    return f"git+{bare.as_uri()}", commit


def test_git_is_locked_to_its_commit_until_upgraded(resolver, repository):
    url, commit = repository
    first = commit("1.0")
    (old,) = resolver().resolve([], [url])
    assert (old.package.kind, old.package.name, old.package.commit) == ("git", "gitty", first)
    assert old.package.by == ()
    second = commit("2.0")
    (kept,) = resolver().resolve([], [url], preferences=[old.package])
    assert kept.package.commit == first
    (moved,) = resolver().resolve([], [url], preferences=[old.package], upgrade=frozenset({"gitty"}))
    assert moved.package.commit == second


def test_locked_files_are_found_again_by_hash(index, resolver):
    index.wheel("alpha", "1.0", requires=("beta",))
    index.wheel("beta", "1.0")
    resolved = resolver().resolve(["alpha"])
    index.wheel("alpha", "2.0")
    urls = resolver().locate([one.package for one in resolved])
    assert urls == {one.package.sha256: one.url for one in resolved}


def test_a_file_that_was_replaced_is_not_located(index, resolver, package_of):
    package = package_of(index.wheel("alpha", "1.0"))
    index.wheel("alpha", "1.0", body=b"other")
    with pytest.raises(WheelError, match=package.sha256) as caught:
        resolver().locate([package])
    assert "--upgrade alpha" in caught.value.hint


def test_find_links_serve_without_any_index(index, resolver, package_of):
    wheel = index.wheel("alpha", "1.0")
    (found,) = resolver(index=None, no_index=True, find_links=(str(index.directory),)).resolve(["alpha"])
    assert found.package == package_of(wheel)
    assert found.url == wheel.as_uri()


def test_an_extra_index_that_lacks_a_project_does_no_harm(index, resolver, tmp_path):
    index.wheel("alpha", "1.0")
    extra = ((tmp_path / "nothing" / "simple").as_uri(),)
    assert versions(resolver(extra=extra, best_match=True).resolve(["alpha"])) == {"alpha": "1.0"}


def test_credentials_reach_the_index_by_environment_only(index, resolver):
    index.wheel("alpha", "1.0")
    index.login = "Basic bWU6c2VjcmV0"
    told = []
    own = index.url.replace("://", "://me:secret@")
    (found,) = resolver(index=own, log=told.append).resolve(["alpha"])
    assert "secret" not in found.url
    assert told
    assert "secret" not in "".join(told)
    with pytest.raises(ResolveError, match="401"):
        resolver().resolve(["alpha"])


def test_what_is_alone_brings_nothing_and_hinders_nothing(index, resolver):
    index.wheel("alpha", "1.0", requires=("beta==7", "nowhere"))
    index.wheel("beta", "1.0")
    resolved = resolver().resolve(["beta"], alone=["alpha==1.0"], origins={"alpha==1.0": ("first",)})
    assert versions(resolved) == {"alpha": "1.0", "beta": "1.0"}
    assert needed(resolved) == {"alpha": ("first",), "beta": ("avabuild",)}


def test_a_pin_alone_that_others_need_in_another_version_is_refused(index, resolver):
    for version in ("1.0", "2.0"):
        index.wheel("alpha", version)
    index.wheel("beta", "1.0", requires=("alpha>1",))
    with pytest.raises(
        ResolveError, match=r"alpha is pinned to 1\.0 without its dependencies, but other packages need 2\.0"
    ):
        resolver().resolve(["beta"], alone=["alpha==1.0"])


def test_no_setting_of_uv_on_the_host_changes_a_resolution(index, resolver, tmp_path, monkeypatch):
    index.wheel("alpha", "1.0", ("beta",))
    for version in ("1.0", "2.0"):
        index.wheel("beta", version)
    limits = tmp_path / "limits.txt"
    limits.write_text("beta<2\n")
    for name, value in {
        "UV_RESOLUTION": "lowest",
        "UV_EXCLUDE_NEWER": "2001-01-01",
        "UV_CONSTRAINT": str(limits),
        "UV_OVERRIDE": str(limits),
        "UV_EXCLUDE": str(limits),
        "UV_NO_BINARY": "1",
    }.items():
        monkeypatch.setenv(name, value)
    config = tmp_path / "config"
    (config / "uv").mkdir(parents=True)
    (config / "uv/uv.toml").write_text('resolution = "lowest"\n[pip]\nno-emit-package = ["beta"]\n')
    monkeypatch.setenv("XDG_CONFIG_HOME", str(config))
    assert versions(resolver().resolve(["alpha"])) == {"alpha": "1.0", "beta": "2.0"}


def test_a_wheel_in_a_directory_with_spaces_is_locked_by_its_path(index, resolver, recipe_dir):
    place = recipe_dir / "my wheels"
    place.mkdir()
    index.wheel("alpha", "1.0").rename(place / "alpha-1.0-py3-none-any.whl")
    (found,) = resolver().resolve([], ["./my wheels/alpha-1.0-py3-none-any.whl"])
    assert (found.package.kind, found.package.path) == ("file", "my wheels/alpha-1.0-py3-none-any.whl")


@pytest.mark.parametrize("asked", [("alpha", "beta"), ("beta", "alpha")])
def test_the_order_of_requirements_decides_as_it_does_for_uv(index, resolver, asked, tmp_path):
    index.wheel("alpha", "1.0")
    index.wheel("alpha", "2.0", ("beta<2",))
    index.wheel("beta", "1.0")
    index.wheel("beta", "2.0")
    source = tmp_path / "own.in"
    source.write_text("".join(f"{name}\n" for name in asked))
    done = subprocess.run(
        [find_uv(), "pip", "compile", source, "--no-annotate", "--no-header", "--default-index", index.url],
        capture_output=True,
        text=True,
        check=True,
    )
    own = dict(line.split("==") for line in done.stdout.split())
    assert versions(resolver().resolve([], asked)) == own
    assert own[asked[0]] == "2.0"


@pytest.mark.parametrize("tag", ["cp27-cp27m-manylinux2014_x86_64", "cp313-cp313-manylinux2014_x86_64"])
def test_a_kept_version_never_makes_a_package_older(index, resolver, tmp_path, tag):
    """A mirror of one's own has its newest version for another Python, and the index for this one."""
    index.wheel("alpha", "1.0", requires=("beta",))
    for version in ("1.0", "2.0"):
        index.wheel("beta", version)
    mirror = tmp_path / "mirror"
    for name in ("files", "simple/beta"):
        (mirror / name).mkdir(parents=True)
    path = index.wheel("beta", "2.0", tag=tag)
    path.rename(mirror / "files" / path.name)
    page = f'<a href="../../files/{path.name}">{path.name}</a>'
    (mirror / "simple/beta/index.html").write_text(f"<!DOCTYPE html><html><body>{page}</body></html>")
    asking = resolver(extra=((mirror / "simple").as_uri(),), best_match=True)
    kept = [Package(name="beta", version="2.0", filename=path.name, sha256="0" * 64)]
    assert versions(asking.resolve(["alpha"])) == {"alpha": "1.0", "beta": "2.0"}
    assert versions(asking.resolve(["alpha"], preferences=kept)) == {"alpha": "1.0", "beta": "2.0"}
    older = asking.resolve(["alpha"], ["beta<2"], preferences=kept)
    assert versions(older) == {"alpha": "1.0", "beta": "1.0"}
