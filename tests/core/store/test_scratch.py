from __future__ import annotations

import shutil
import subprocess
import sys

import pytest

from avabuild.store import Scratch, Store
from avabuild.store.scratch import sweep

KILLED = """
import os, signal, sys
from pathlib import Path
from avabuild.store import Scratch, Store
with Scratch(Store(Path(sys.argv[1]))) as scratch:
    (scratch.directory("deep") / "file").write_text("left")
    print(scratch.build, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def names(store: Store) -> set[str]:
    return {path.name for path in (store.root / "tmp").iterdir()}


def test_the_scratch_is_private_and_gone_afterwards(store):
    with Scratch(store) as scratch:
        assert scratch.path.stat().st_mode & 0o777 == 0o700
        assert scratch.directory("step") == scratch.directory("step")
        (scratch.directory("step") / "file").write_text("x")
    assert names(store) == set()


def test_the_scratch_is_gone_after_a_failure(store):
    with pytest.raises(KeyboardInterrupt), Scratch(store):
        raise KeyboardInterrupt
    assert names(store) == set()


def test_two_builds_have_a_scratch_each(store):
    with Scratch(store) as one, Scratch(store) as two:
        assert one.build != two.build
        assert one.path != two.path


def test_a_sweep_leaves_living_builds_alone(store):
    with Scratch(store) as scratch:
        (scratch.path / "file").write_text("mine")
        assert sweep(store, shutil.rmtree) == ()
        assert sweep(store, shutil.rmtree) == ()
        assert (scratch.path / "file").read_text() == "mine"


def test_a_sweep_removes_what_a_killed_build_left_and_tells_its_id(store):
    run = subprocess.run(
        [sys.executable, "-c", KILLED, store.root], check=False, capture_output=True, text=True
    )
    build = run.stdout.strip()
    assert run.returncode == -9
    assert {build, f"{build}.lock"} <= names(store)
    with Scratch(store) as living:
        assert sweep(store, shutil.rmtree, lambda _: False) == (), "something of it is left elsewhere"
        assert sweep(store, shutil.rmtree) == (build,)
        assert names(store) == {living.build, f"{living.build}.lock"}
    assert sweep(store, shutil.rmtree) == ()


def test_a_sweep_of_an_empty_store_does_nothing(store):
    assert sweep(store, shutil.rmtree) == ()
