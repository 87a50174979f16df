"""What the key of a step holds of its mounts."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from avabuild.engine.exec.run_step import run_inputs
from avabuild.plugins.kinds import Mount, Run
from avabuild.store import Store


def digest(store: Store, directory: Path, source: str = "./data") -> str:
    run = Run(shell="true", mounts=(Mount(source=source, target="/data"),))
    ((_, found),) = run_inputs(store, run, {}, directory, "a step")
    return found


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "data" / "sub").mkdir(parents=True)
    (tmp_path / "data" / "file").write_text("one")
    (tmp_path / "link").symlink_to("data/file")
    (tmp_path / "way").symlink_to("data")
    return tmp_path


def test_a_link_as_source_is_what_it_leads_to(store, directory):
    before = digest(store, directory, "./link")
    assert before == digest(store, directory, "./data/file")
    assert digest(store, directory, "./way") == digest(store, directory)
    (directory / "data" / "file").write_text("two")
    assert digest(store, directory, "./link") != before


def test_modes_and_owners_count(store, directory):
    found = {digest(store, directory)}
    (directory / "data" / "sub").chmod(0o700)
    found.add(digest(store, directory))
    (directory / "data" / "file").chmod(0o600)
    found.add(digest(store, directory))
    assert len(found) == 3
    if os.geteuid() == 0:
        os.chown(directory / "data" / "file", 33, -1)
        found.add(digest(store, directory))
        os.chown(directory / "data" / "file", 33, 33)
        found.add(digest(store, directory))
        assert len(found) == 5
