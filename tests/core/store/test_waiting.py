"""A build that waits for another one's lock says so; one that waits for itself does not."""

from __future__ import annotations

import subprocess
import sys
import threading

import pytest

from avabuild.store import Store
from avabuild.store import store as module

HOLD = """
import sys
from pathlib import Path
from avabuild.store import Store
with Store(Path(sys.argv[1])).lock("base", "debian"):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def _impatient(monkeypatch):
    monkeypatch.setattr(module, "_PATIENCE", 0.05)


def test_waiting_for_another_process_is_said(store: Store):
    argv = [sys.executable, "-c", HOLD, str(store.root)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "held\n"
        said = []

        def hear(text):
            said.append(text)
            other.stdin.close()

        store.say = hear
        with store.lock("base", "debian"):
            assert said == ["waiting for another build, which has the base in the making"]


def test_what_is_free_is_taken_in_silence_and_so_is_what_this_process_had(store: Store):
    said, inside, waiting = [], threading.Event(), threading.Event()
    store.say = said.append

    def hold():
        with store.lock("apt", "archives"):
            inside.set()
            waiting.wait(20)

    thread = threading.Thread(target=hold)
    thread.start()
    assert inside.wait(20)
    threading.Timer(0.5, waiting.set).start()
    with store.lock("apt", "archives"):
        assert said == []
    thread.join()
