"""Programs that are run: what is said of them, and what a full disk does to it."""

from __future__ import annotations

import subprocess
import threading
import time
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from avabuild.common.errors import DiskFullError, HostError, StepError
from avabuild.tools import process as module
from avabuild.tools.events import Report
from avabuild.tools.process import ProcessRunner
from avabuild.tools.streams import Pipe, ending


class Child:
    """A program of this host."""

    def __init__(self, shell: str, out: Pipe, err: Pipe) -> None:
        self.process = subprocess.Popen(["sh", "-c", shell], stdout=out.writer, stderr=err.writer)

    def ending(self) -> AbstractContextManager[int]:
        return ending(self.process.pid)

    def wait(self) -> int:
        return self.process.wait()

    def stop(self) -> None:
        self.process.terminate()

    kill = stop


def follow(calls: ProcessRunner, shell: str, timeout: float | None = None) -> str:
    return calls.follow("tool", f"tool {shell}", "a place", timeout, lambda out, err: Child(shell, out, err))


@pytest.fixture
def calls(tmp_path: Path) -> ProcessRunner:
    return ProcessRunner(Report(lambda _: None), tmp_path / "log")


def test_what_a_program_prints_is_returned_and_all_that_it_says_is_logged(calls: ProcessRunner) -> None:
    assert follow(calls, "echo one; echo two >&2") == "one\n"
    assert sorted(calls.log.read_text().splitlines()) == ["$ tool echo one; echo two >&2", "one", "two"]


def test_a_failure_carries_what_was_said_last(calls: ProcessRunner) -> None:
    with pytest.raises(StepError, match="tool failed with exit code 3") as caught:
        follow(calls, "echo the-cause >&2; exit 3")
    assert (caught.value.tail, caught.value.log) == ("the-cause", str(calls.log))


def test_a_signal_is_told_as_one(calls: ProcessRunner) -> None:
    with pytest.raises(StepError, match="was killed by signal 9"):
        follow(calls, "kill -9 $$")


def test_what_takes_too_long_is_stopped(calls: ProcessRunner) -> None:
    began = time.monotonic()
    with pytest.raises(StepError, match=r"was stopped after 0\.2 s") as raised:
        follow(calls, "exec sleep 30", 0.2)
    assert raised.value.late
    assert time.monotonic() - began < 10


def test_a_full_disk_is_told_as_one(calls: ProcessRunner) -> None:
    with pytest.raises(DiskFullError):
        follow(calls, "echo write x: no space left on device >&2; exit 1")


def test_a_buildah_without_netavark_is_the_hosts_trouble(calls: ProcessRunner) -> None:
    said = 'Error: could not find "netavark" in one of [/usr/lib/podman].  To resolve this error'
    with pytest.raises(HostError, match="asks for netavark") as refused:
        follow(calls, f"echo '{said}' >&2; exit 125")
    assert refused.value.hint == "apt-get install netavark"


def test_a_log_ends_where_it_is_long_enough_and_what_runs_goes_on(calls: ProcessRunner, monkeypatch) -> None:
    monkeypatch.setattr(module, "_LOGGED", 1000)
    assert len(follow(calls, "yes | head -c 30000").split()) == 15_000
    assert follow(calls, "echo more") == "more\n"
    text = calls.log.read_text()
    assert text.count("the log ends here") == 1
    assert len(text) < 1100
    with pytest.raises(StepError) as caught:
        follow(calls, "yes | head -c 30000; echo the-cause; false")
    assert caught.value.tail.endswith("the-cause")


@pytest.mark.parametrize("log", ["/dev/full", "/nowhere/log"])
def test_what_can_be_logged_nowhere_is_done_all_the_same(log: str) -> None:
    assert follow(ProcessRunner(Report(lambda _: None), Path(log)), "echo done") == "done\n"


def test_while_one_thread_cleans_up_after_a_stop_no_other_starts_anything(calls: ProcessRunner) -> None:
    cleaning, tried = threading.Event(), threading.Event()

    def clean() -> None:
        follow(calls, "true")
        cleaning.set()
        assert tried.wait(10)
        follow(calls, "echo cleaned")

    calls.stop()
    cleaner = threading.Thread(target=lambda: calls.reopen_for_cleanup(clean))
    cleaner.start()
    assert cleaning.wait(10)
    with pytest.raises(KeyboardInterrupt):
        follow(calls, "echo more")
    tried.set()
    cleaner.join(10)
    assert not cleaner.is_alive()
    said = calls.log.read_text().splitlines()
    assert "cleaned" in said
    assert "more" not in said
    with pytest.raises(KeyboardInterrupt):
        follow(calls, "echo after")
