"""One image of a run: what is known of it before a build, and what its plan becomes on another base."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from avabuild.engine.job import Built
from avabuild.layer.base import Base
from avabuild.layer.facts import Facts
from avabuild.resolve import write_lock
from avabuild.resolve.lock import AptLock, Deb, Lock, Package, TargetLock
from avabuild.run.image import ImageRun
from avabuild.run.recipe_run import RecipeRun
from avabuild.run.run import Wishes, Workplace

OLD, NEW = "sha256:" + "a" * 64, "sha256:" + "b" * 64
SIX = Package(name="six", version="1", filename="six-1-py3-none-any.whl", sha256="6" * 64)
GIT = AptLock(
    base=OLD, packages=("git",),
    debs=(Deb(name="git", version="1", arch="amd64", sha256="1" * 64, size=7),),
)  # fmt: skip


@pytest.fixture
def image(host, tmp_path) -> Callable[..., ImageRun]:
    """Return a function that opens the one image of a recipe, locked to `python` where that is given."""

    def image(
        text: str, *, python: tuple[Package, ...] | None = None, base: str = "", **wishes: Any
    ) -> ImageRun:
        path = tmp_path / "mine.toml"
        path.write_text(f'name = "mine"\n{text}')
        recipe = RecipeRun(path, Workplace.on(host, Wishes(**wishes)))
        (project,) = recipe.projects
        here = recipe.bases.known(project)
        (plan,) = recipe.plans(project, recipe.bases.facts(project, here))
        if python is not None:
            apts = [AptLock(base=base, packages=step.layer.packages, debs=()) for step in plan.apt_steps]
            entry = TargetLock(
                target=plan.target.tag, request=plan.request_digest, base=base, python=python,
                apt=tuple(apts) if base else (),
            )  # fmt: skip
            write_lock(recipe.lock.path, Lock(recipe="mine", targets=(entry,)))
            recipe = RecipeRun(path, Workplace.on(host, Wishes(**wishes)))
        return ImageRun(recipe, project, 0, plan, here)

    return image


BOOKWORM = 'base = { debian = "bookworm" }\n[packages]\npip = ["six"]\napt = ["git"]\n'


def built_as(image: ImageRun, **fields: Any) -> TargetLock:
    """Remember that a build came to this."""
    entry = image.locked
    assert entry
    found = entry.model_copy(update={"base": OLD, "apt": (GIT,)} | fields)
    built: Any = Built(composed=None, identity="", lock=found)  # type: ignore[arg-type]
    image._remember(built)
    return found


def test_what_the_lock_does_not_say_the_last_build_does(image):
    one = image(BOOKWORM, python=(SIX,))
    assert (one.last_build, one.starting_lock) == (None, one.locked)
    found = built_as(one)
    assert (one.last_build, one.starting_lock) == (found, found)
    assert one.locked.base == "", "the lock is as it was"


def test_a_build_of_another_lock_says_nothing(image):
    one = image(BOOKWORM, python=(SIX,))
    built_as(one)
    assert image(BOOKWORM, python=(SIX,)).last_build
    other = image(BOOKWORM, python=(SIX.model_copy(update={"sha256": "7" * 64}),))
    assert (other.last_build, other.starting_lock) == (None, other.locked)


def test_where_all_is_to_be_locked_the_lock_holds_alone(image):
    built_as(image(BOOKWORM, python=(SIX,)))
    one = image(BOOKWORM, python=(SIX,), locked=True)
    assert (one.last_build, one.starting_lock) == (None, one.locked)


@pytest.mark.parametrize("record", [None, "words", [], [{"target": "py311-cpu", "news": 1}] * 2, 7])
def test_a_record_of_another_version_says_nothing(image, record):
    one = image(BOOKWORM, python=(SIX,))
    one.store.record("built-as", one._parts_name, record)
    assert one.last_build is None


def test_packages_that_the_last_build_took_go_before_those_of_the_lock(image):
    one = image(BOOKWORM, python=(SIX,), base=NEW)
    taken = tuple(apt.model_copy(update={"base": OLD, "debs": GIT.debs}) for apt in one.locked.apt)
    built_as(one, apt=taken)
    assert one.starting_lock.base == NEW
    assert one.starting_lock.apt == (*taken, *one.locked.apt)


def test_a_plan_is_that_of_the_base_on_which_the_image_is(image):
    one = image('base = { debian = "bookworm" }\n[packages]\npip = ["six"]\n')
    assert one.plan.apt, "the release gives python3 by a package"
    facts = Facts(distribution="bookworm", glibc="2.36", apt=True, pythons=(("3.11", "/usr/bin/python3.11"),))
    other = one.on(Base(digest=NEW, facts=facts))
    assert (other.plan.apt, other.base.digest) == (None, NEW)
    assert other.on(other.base) is other
    assert other.facts == facts


def test_a_forecast_without_a_base_needs_nothing_of_the_store(image):
    one = image(BOOKWORM, python=(SIX,))
    rows = {row.name: (row.kind, row.state) for row in one.forecast(ask=False)}
    assert rows["apt: frameworks"] == rows["apt: packages"] == ("apt", "unknown")
    assert rows["wheels of packages"] == ("wheels", "build")
    assert not list(one.store.root.glob("apt-lists/*")), "a forecast makes nothing"


def test_files_and_directories_are_foretold_by_their_keys(image, tmp_path: Path):
    (tmp_path / "one").write_text("one")
    one = image('base = "scratch"\n[image]\nworkdir = "/w"\n[[files]]\nsource = "one"\ntarget = "/one"\n')
    rows = one.forecast()
    assert [(row.name, row.kind, row.state) for row in rows] == [
        ("workdir and volumes", "directories", "build"),
        ("files: recipe", "files", "unknown"),  # they are put among what is below, which is not there yet
    ]
    assert [str(need) for need in one.needs()] == [
        "local storage: the image is put there; --output oci:DIR needs none"
    ]


def test_a_lock_is_needed_where_all_is_to_be_locked(image):
    with pytest.raises(Exception, match="does not exist"):
        image(BOOKWORM, locked=True)
