"""`avabuild plan`: what it shows of a recipe with a lock, and how it lays that out."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from avabuild import __version__
from avabuild.cli.plan import lines_of
from avabuild.host.host import probe
from avabuild.layer.facts import assumed
from avabuild.plan.plan import Chosen, Plan
from avabuild.plan.planning import make_plan
from avabuild.plan.project import open_projects
from avabuild.plan.targets import targets
from avabuild.plugins.registry import Registry, installed
from avabuild.plugins.target import Device, Target
from avabuild.recipe import DebianBase, ScratchBase
from avabuild.resolve import write_lock
from avabuild.resolve.lock import Lock, Package, TargetLock
from avabuild.run.forecast import Row

RECIPE = """\
name = "mine"
base = { debian = "bookworm" }
[matrix]
python = ["3.11"]
[frameworks]
keras = { version = ">=3", backend = "jax" }
[packages]
pip = ["six"]
apt = ["git"]
"""


def package(name: str, version: str, letter: str, size: int, *by: str) -> Package:
    file = f"{name}-{version}-py3-none-any.whl"
    return Package(name=name, version=version, filename=file, sha256=letter * 64, size=size, by=by)


PACKAGES = (
    package("jax", "0.7", "a", 2_500_000, "jax"),
    package("jaxlib", "0.7", "b", 82_400_000, "jax"),
    package("six", "1.17", "c", 11_000),
)


@pytest.fixture
def locked(tmp_path: Path) -> Path:
    """A recipe with a lock that fits it, so that no index is asked."""
    path = tmp_path / "mine.toml"
    path.write_text(RECIPE)
    project, facts = open_projects(path, Registry(installed()))[0], assumed("bookworm")
    (target,) = targets(project.recipe, facts, probe(os.environ))
    plan = make_plan(project, target, facts)
    request = plan.request_digest
    entry = TargetLock(target=target.tag, request=request, base="sha256:" + "d" * 64, python=PACKAGES)
    lock = Lock(recipe="mine", plugins=plan.plugins, targets=(entry,))
    write_lock(project.lock_path, lock)
    return path


def test_a_locked_recipe_is_planned_without_any_index(avabuild, locked):
    said = avabuild("plan", locked.name)
    assert (said.returncode, said.stderr) == (0, "")
    lines = said.stdout.splitlines()
    assert lines[0] == "localhost/mine:py311-cpu"
    assert "  base        debian bookworm, not here yet" in lines
    assert "  lock        mine.lock fits" in lines
    (big,) = [line.split() for line in lines if "82.4 MB" in line and "layers" not in line]
    assert big == ["jaxlib", "build", "82.4", "MB", "jax", "jaxlib", "0.7"]
    assert lines[-1].endswith("at least 84.9 MB to download, and the base")


def test_a_plan_writes_nothing_beside_the_recipe(avabuild, locked):
    before = {path.name: path.read_bytes() for path in locked.parent.iterdir() if path.is_file()}
    assert avabuild("plan", locked.name).returncode == 0
    assert {path.name: path.read_bytes() for path in locked.parent.iterdir() if path.is_file()} == before


def test_a_plan_is_data_too(avabuild, locked):
    (plan,) = json.loads(avabuild("plan", locked.name, "--json").stdout)
    assert plan["reference"] == "localhost/mine:py311-cpu"
    assert plan["base_digest"] is None
    assert plan["download"] == sum(package.size for package in PACKAGES)
    rows = {row["name"]: row for row in plan["forecast"]}
    assert rows["apt: packages"]["origins"] == ["recipe"]
    assert rows["wheels of packages"]["holds"] == ["six 1.17"]


def test_a_changed_recipe_no_longer_fits_its_lock(avabuild, locked):
    locked.write_text(RECIPE.replace('"six"', '"six>=1.16"'))
    said = avabuild("plan", locked.name)
    assert said.returncode == 75  # the index is asked, and nobody answers
    assert said.stdout == ""


def test_a_lock_of_other_plugins_is_said_to_be_so(avabuild, locked):
    lock = locked.with_suffix(".lock")
    lock.write_text(lock.read_text().replace(f'version = "{__version__}"', 'version = "0.0.1"', 1))
    said = avabuild("plan", locked.name)
    assert said.returncode == 0, said.stderr
    words = f"  lock        mine.lock fits, but for its plugins: jax: the lock was made with avabuild 0.0.1, this is avabuild {__version__}"
    assert words in said.stdout.splitlines()


def plan_of(*frameworks: str, base: DebianBase | ScratchBase) -> Plan:
    device = Device.parse("cpu")
    return Plan(
        name="mine",
        tag="py311-cpu",
        base=base,
        target=Target(distribution="bookworm", arch="x86_64", python="3.11", device=device, glibc="2.36"),
        frameworks=tuple(
            Chosen(
                name=name, series="1.0", distribution="x", version="1", required_by=("keras",) * (name == "b")
            )
            for name in frameworks
        ),
    )


DEBIAN = DebianBase(debian="bookworm")


def test_a_plan_reads_in_columns():
    rows = (
        Row(
            name="apt: frameworks",
            kind="apt",
            origins=("avabuild",),
            state="cached",
            holds=("python3 3.11",) * 21,
        ),
        Row(
            name="python environment",
            kind="venv",
            origins=("avabuild", "a", "b"),
            state="build",
            why=("interpreter changed",),
        ),
        Row(
            name="numpy",
            kind="wheels",
            origins=("a", "b"),
            state="build",
            holds=("numpy 2.4",),
            download=17_100_000,
        ),
        Row(name="run 1 (last): make", kind="run", origins=("recipe",), state="unknown"),
    )
    lines = list(lines_of(plan_of("a", "b", base=DEBIAN), rows, "sha256:" + "d" * 64, "mine.lock fits"))
    assert [line.rstrip() for line in lines] == [
        "localhost/mine:py311-cpu",
        "  base        debian bookworm, sha256:dddddddddddd",
        "  target      x86_64, Python 3.11, cpu",
        "  frameworks  a 1.0, b 1.0 (for keras)",
        "  lock        mine.lock fits",
        "",
        "  layer               state    download  asked by    holds",
        "  apt: frameworks     cached          -  avabuild    21 packages",
        "  python environment  build           -  frameworks",
        "    rebuilt: interpreter changed",
        "  numpy               build     17.1 MB  frameworks  numpy 2.4",
        "  run 1 (last): make  unknown         ?  recipe",
        "",
        "  3 of 4 layers to build, at least 17.1 MB to download",
    ]


def test_many_reasons_of_a_rebuild_are_counted():
    why = tuple(f"p{n} changed" for n in range(9))
    row = Row(name="wheels", kind="wheels", origins=("a",), state="build", why=why)
    lines = list(lines_of(plan_of("a", base=DEBIAN), (row,), "sha256:" + "d" * 64, ""))
    assert "    rebuilt: p0 changed, p1 changed, p2 changed and 6 more" in lines


@pytest.mark.parametrize(
    ("states", "digest", "words"),
    [
        (("cached", "cached"), "sha256:d", "all 2 layers are cached"),
        (("cached", "cached"), None, "all 2 layers are cached, the base is not"),
        (("build", "cached"), "sha256:d", "1 of 2 layers to build, nothing to download"),
        (("build", "unknown"), None, "2 of 2 layers to build, at least 0 kB to download, and the base"),
    ],
)
def test_the_last_line_says_how_much_there_is_to_do(states, digest, words):
    rows = [Row(name=str(n), kind="wheels", origins=("a",), state=state) for n, state in enumerate(states)]
    *_, last = lines_of(plan_of("a", base=DEBIAN), rows, digest, "")
    assert last.strip() == words


def test_scratch_is_a_base_too():
    lines = list(lines_of(plan_of(base=ScratchBase()), (), "", ""))
    assert "  base        scratch: nothing" in lines


def test_settings_of_uv_that_would_choose_versions_are_named_once(avabuild, locked):
    said = avabuild("plan", locked.name, UV_RESOLUTION="lowest", PIP_PRE="1")
    (warned,) = said.stderr.splitlines()
    assert warned.startswith("warning: ")
    assert "is ignored: UV_RESOLUTION, PIP_PRE; say it in the recipe" in warned
