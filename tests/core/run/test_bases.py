"""Where the bases of a recipe come from: what is here, what the lock pins, and what a new one changes."""

from __future__ import annotations

import tarfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from avabuild.common.errors import LockError
from avabuild.plan.project import Project, open_projects
from avabuild.plugins.registry import Registry, installed
from avabuild.resolve.lock import TargetLock
from avabuild.run.bases import BaseSource
from avabuild.run.locks import RecipeLock
from avabuild.run.run import Wishes, Workplace
from avabuild.tools.events import Report, silent


def write_root(path: Path, *names: str) -> None:
    """Write a root file system of empty files."""
    with tarfile.open(path, "w") as tar:
        for name in ("etc", *names):
            info = tarfile.TarInfo(name)
            info.type, info.mode = (tarfile.DIRTYPE, 0o755) if name == "etc" else (tarfile.REGTYPE, 0o644)
            tar.addfile(info)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    write_root(tmp_path / "root.tar")
    (tmp_path / "mine.toml").write_text('name = "mine"\nbase = { archive = "root.tar" }\n')
    (found,) = open_projects(tmp_path / "mine.toml", Registry(installed()))
    return found


@pytest.fixture
def source(host, project) -> Callable[..., BaseSource]:
    def source(pinned: str = "", **wishes: Any) -> BaseSource:
        lock = RecipeLock(project.lock_path)
        if pinned:
            entry = TargetLock(target="cpu", request="sha256:1", base=pinned)
            lock = SimpleNamespace(base=lambda _: entry.base, path=project.lock_path)  # type: ignore[assignment]
        return BaseSource(Workplace.on(host, Wishes(**wishes)), lock)

    return source


def brought(source: BaseSource, project: Project, told: Callable[..., object] = silent) -> str:
    tools: Any = SimpleNamespace(temporary=None)
    return source.obtain(project, tools, Report(told)).digest


def test_a_base_is_brought_once_and_then_known(source, project):
    assert source().known(project) is None
    steps: list[Any] = []
    digest = brought(source(), project, steps.append)
    assert [one.step for one in steps if one.kind == "start"] == ["base root.tar"]
    assert source().known(project).digest == digest
    steps.clear()
    assert brought(source(), project, steps.append) == digest
    assert steps == []


def test_an_archive_that_changed_is_another_base(source, project):
    first, name = brought(source(), project), source().name(project)
    write_root(project.directory / "root.tar", "etc/new")
    assert source().name(project) != name
    assert source().known(project) is None
    assert brought(source(), project) != first


def test_what_the_lock_pins_and_nobody_has_is_told_once_and_refused_where_all_is_locked(source, project):
    pinned, told = "sha256:" + "0" * 64, []
    mine = source(pinned)
    digests = {brought(mine, project, told.append) for _ in range(2)}
    assert len(digests) == 1
    words = [event.text for event in told if event.kind == "warn"]
    assert words == ["the base is newer than the one in the lock; --upgrade base updates the lock"]
    with pytest.raises(LockError, match="--upgrade base"):
        brought(source(pinned, locked=True), project)


def test_a_new_base_is_asked_for_once_in_a_run(source, project):
    digest = brought(source(), project)
    mine, steps = source(pinned=digest, upgrade=frozenset({"base"})), []
    assert mine.pinned(project) == ""
    assert {brought(mine, project, steps.append) for _ in range(2)} == {digest}
    assert len([one for one in steps if one.kind == "start"]) == 1


def test_a_debian_that_is_not_here_is_what_its_release_has(source, tmp_path):
    (tmp_path / "b.toml").write_text('name = "b"\nbase = { debian = "bookworm" }\n')
    (debian,) = open_projects(tmp_path / "b.toml", Registry(installed()))
    assert source().known(debian) is None
    assert source().facts(debian, None).distribution == "bookworm"
