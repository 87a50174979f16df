"""The lock beside a recipe: what a build changes of it, and what it leaves as it was committed."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from avabuild.plan.plan import Plan, Step
from avabuild.plugins.kinds import Apt
from avabuild.plugins.target import Device, Target
from avabuild.recipe import ArchiveBase, DebianBase, Point
from avabuild.resolve.lock import AptLock, Deb, TargetLock
from avabuild.run.locks import RecipeLock

TARGET = Target(distribution="bookworm", arch="x86_64", python="3.11", device=Device(), glibc="2.36")
OLD, NEW = "sha256:" + "a" * 64, "sha256:" + "b" * 64


def apt(base: str, *packages: str, version: str = "") -> AptLock:
    debs = (Deb(name="git", version=version, arch="all", sha256="1" * 64, size=1),) if version else ()
    return AptLock(base=base, packages=packages, debs=debs)


def plan_of(*packages: str, base: Any = DebianBase(debian="bookworm")) -> Plan:  # noqa: B008 - a frozen value
    step = Step(name="apt: packages", layer=Apt(packages=packages), origins=("recipe",)) if packages else None
    return Plan(name="mine", tag="py311-cpu", base=base, target=TARGET, apt_extra=step)


def entry(base: str = OLD, *apts: AptLock, request: str = "sha256:1", **fields: Any) -> TargetLock:
    return TargetLock(target="py311-cpu", request=request, base=base, apt=apts, **fields)


def lock_with(path: Path, known: TargetLock | None, plan: Plan) -> RecipeLock:
    lock = RecipeLock(path / "mine.lock")
    if known:
        lock.write(plan, known)
    return lock


UNCHANGED = {
    "what it says": (entry(OLD, apt(OLD, "git")), entry(OLD, apt(OLD, "git"))),
    "a newer base": (entry(OLD), entry(NEW)),
    "newer packages on a newer base": (entry(OLD, apt(OLD, "git")), entry(NEW, apt(NEW, "git"))),
    "packages that the mirror has dropped": (
        entry(OLD, apt(OLD, "python3", version="1"), apt("sha256:1", "git")),
        entry(OLD, apt(OLD, "python3", version="2"), apt("sha256:2", "git")),
    ),
    "base and packages where it has neither": (entry(""), entry(NEW, apt(NEW, "git"))),
}
CHANGED = {
    "no lock": (None, entry(NEW)),
    "another request": (entry(OLD), entry(OLD, request="sha256:2")),
    "older series": (entry(OLD), entry(OLD, without=("keras 3.15",))),
    "another step below the packages": (entry(OLD, apt(OLD, "git")), entry(OLD, apt("sha256:run", "git"))),
    "packages more": (entry(OLD), entry(NEW, apt(NEW, "git"))),
    "another compression": (
        entry(OLD, apt(OLD, "python3", version="1"), apt("sha256:gzip", "git")),
        entry(OLD, apt(OLD, "python3", version="1"), apt("sha256:zstd", "git")),
    ),
}


@pytest.mark.parametrize(("known", "found"), UNCHANGED.values(), ids=UNCHANGED.keys())
def test_a_build_leaves_a_lock_that_fits_as_it_was_committed(tmp_path, known, found):
    plan = plan_of(*([found.apt[0].packages[0]] if found.apt else []))
    lock = lock_with(tmp_path, known, plan)
    before = lock.path.read_bytes()
    assert not lock.built(plan, found, upgrade=False)
    assert (lock.path.read_bytes(), lock.entry("py311-cpu")) == (before, known)
    assert lock.built(plan, found, upgrade=True) is (known != found)
    assert lock.entry("py311-cpu") == found


@pytest.mark.parametrize(("known", "found"), CHANGED.values(), ids=CHANGED.keys())
def test_a_build_of_a_changed_recipe_writes_what_it_came_to(tmp_path, known, found):
    plan = plan_of(*([found.apt[0].packages[0]] if found.apt else []))
    lock = lock_with(tmp_path, known, plan)
    assert lock.built(plan, found, upgrade=False)
    assert RecipeLock(lock.path).entry("py311-cpu") == found


def test_a_lock_that_was_made_where_the_base_was_known_stays_without_the_packages_that_bring_python(tmp_path):
    python = Step(name="apt: frameworks", layer=Apt(packages=("python3",)), origins=("avabuild",))
    plan = plan_of("git").model_copy(update={"apt": python})
    lock = lock_with(tmp_path, entry(OLD), plan)
    assert not lock.built(plan, entry(OLD, apt(OLD, "python3"), apt("sha256:1", "git")), upgrade=False)
    assert lock.entry("py311-cpu") == entry(OLD)


def test_an_archive_that_changed_is_the_recipes_own(tmp_path):
    plan = plan_of(base=ArchiveBase(archive="root.tar"))
    lock = lock_with(tmp_path, entry(OLD), plan)
    assert lock.built(plan, entry(NEW), upgrade=False)


def test_the_base_of_a_point_is_that_of_its_entry_whatever_python_the_base_turned_out_to_have(tmp_path):
    lock = lock_with(tmp_path, entry(OLD), plan_of())
    cpu, cuda = Device(), Device.parse("cuda12.5")
    assert lock.base([Point("3.11", cpu)]) == lock.base([Point(None, cpu)]) == OLD
    assert lock.base([Point("3.12", cpu)]) == lock.base([Point("3.11", cuda)]) == ""
    assert RecipeLock(tmp_path / "none.lock").base([Point(None, cpu)]) == ""


def test_targets_that_are_done_at_once_are_all_in_the_lock(tmp_path):
    lock = RecipeLock(tmp_path / "mine.lock")
    tags = [f"py3{minor}-cpu" for minor in range(6, 30)]
    found = [entry().model_copy(update={"target": tag}) for tag in tags]
    threads = [threading.Thread(target=lock.write, args=(plan_of(), one)) for one in found]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    written = RecipeLock(lock.path)
    assert all(written.entry(tag) for tag in tags)
