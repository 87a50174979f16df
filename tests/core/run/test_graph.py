"""The graph of a run: order, several at a time, and what a failure stops."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from avabuild.common.errors import StepError
from avabuild.run.graph import Ended, Graph, Node


@dataclass
class Work:
    """Work that fails for some names and remembers what was begun, in what order and how many at once."""

    failing: frozenset[str] = frozenset()
    seconds: float = 0.01
    begun: list[str] = field(default_factory=list)
    finished: list[str] = field(default_factory=list)
    most: int = 0
    stopped: threading.Event = field(default_factory=threading.Event)
    longer: frozenset[str] = frozenset()  # what still runs when all else has long ended
    _running: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, node: Node) -> None:
        with self._lock:
            self.begun.append(node.name)
            self._running += 1
            self.most = max(self.most, self._running)
        self.stopped.wait(self.seconds + (1 if node.name in self.longer else 0))
        with self._lock:
            self._running -= 1
            self.finished.append(node.name)
        if node.name in self.failing:
            raise StepError(f"{node.name} is broken")


def nodes(**needs: str) -> tuple[Node, ...]:
    return tuple(Node(name, frozenset(words.split())) for name, words in needs.items())


@pytest.fixture
def run() -> Callable[..., tuple[dict[str, Ended], list[Ended]]]:
    def run(graph, work, *, jobs=1, keep_going=False):
        told: list[Ended] = []
        made = Graph(
            graph, work, jobs=jobs, keep_going=keep_going, stop=work.stopped.set, ended=told.append
        ).run()
        return {end.node.name: end for end in made}, told

    return run


def states(ended: dict[str, Ended]) -> dict[str, str]:
    return {name: end.state for name, end in ended.items()}


def test_what_is_needed_is_done_before_what_needs_it(run):
    work = Work()
    run(nodes(keras="tensorflow", tensorflow="base", base="", pure="base"), work, jobs=3)
    assert work.finished.index("base") == 0
    assert work.begun.index("keras") > work.finished.index("tensorflow")


def test_a_need_that_is_not_in_the_run_counts_as_done(run):
    ended, _ = run(nodes(keras="tensorflow"), Work())
    assert states(ended) == {"keras": "done"}


@pytest.mark.parametrize("jobs", [1, 2, 3])
def test_no_more_than_the_jobs_run_at_once_and_no_fewer(run, jobs):
    work = Work(seconds=0.05)
    run(nodes(**dict.fromkeys("abcdef", "")), work, jobs=jobs)
    assert work.most == jobs


def test_what_others_wait_for_goes_first_and_else_the_given_order_is_kept(run):
    work = Work()
    run(nodes(z="", a="", outer="inner", inner=""), work)
    assert work.begun == ["inner", "z", "a", "outer"]


def test_after_a_failure_nothing_is_begun_and_what_runs_ends(run):
    work = Work(frozenset({"bad"}), longer=frozenset({"running"}))
    ended, _ = run(nodes(bad="", running="", later=""), work, jobs=2)
    assert states(ended) == {"bad": "failed", "running": "done", "later": "skipped"}
    assert ended["later"].why == "bad failed; --keep-going goes on"


def test_with_keep_going_only_what_needs_the_failed_is_skipped(run):
    work = Work(frozenset({"tensorflow"}))
    graph = nodes(tensorflow="", keras="tensorflow", mine="keras", pure="")
    ended, told = run(graph, work, keep_going=True)
    assert states(ended) == {"tensorflow": "failed", "keras": "skipped", "mine": "skipped", "pure": "done"}
    assert ended["mine"].why == "it needs keras"
    assert {end.node.name for end in told} == set(ended)


def test_failures_come_in_the_order_in_which_they_happened(run):
    work = Work(frozenset("ab"))
    ended, _ = run(nodes(a="", b="", c=""), work, keep_going=True)
    assert [str(end.error) for end in ended.values() if end.error] == ["a is broken", "b is broken"]
    assert all(end.seconds > 0 for end in ended.values())


def test_an_interrupt_stops_what_runs_begins_nothing_and_goes_on(run):
    work = Work(seconds=30)
    main = threading.main_thread().ident
    assert main
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        threading.Timer(0.2, lambda: signal.pthread_kill(main, signal.SIGINT)).start()
        began = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            run(nodes(a="", b="", c=""), work, jobs=2)
    finally:
        signal.signal(signal.SIGINT, before)
    assert time.monotonic() - began < 10
    assert sorted(work.begun) == ["a", "b"]


def test_nothing_to_do_is_done(run):
    assert run((), Work()) == ({}, [])


INTERRUPTED = """
import signal, threading, time
from avabuild.run.graph import Graph, Node

stopped = threading.Event()

def work(node):
    time.sleep(0.5)  # the main thread waits by now
    signal.pthread_kill(threading.get_ident(), signal.SIGINT)  # as the kernel may do with one for the process
    assert stopped.wait(20), "the main thread never heard of it"

graph = Graph([Node("one")], work, jobs=1, keep_going=False, stop=stopped.set, ended=lambda _: None)
began = time.monotonic()
try:
    graph.run()
except KeyboardInterrupt:
    print("stopped" if time.monotonic() - began < 10 else "late")
"""


def test_an_interrupt_that_another_thread_gets_stops_the_work_all_the_same():
    done = subprocess.run([sys.executable, "-c", INTERRUPTED], capture_output=True, text=True, check=False)
    assert done.stdout == "stopped\n", done.stderr
