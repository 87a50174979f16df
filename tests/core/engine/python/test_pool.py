"""Pools: what is urgent is done first, and an error leaves what has not begun."""

from __future__ import annotations

import threading

import pytest

from avabuild.engine.python.pool import Pool


def test_what_is_most_urgent_is_done_first_and_what_came_first_of_the_same():
    gate, done = threading.Event(), list[str]()
    with Pool(1, "test") as pool:
        pool.submit(9, lambda: gate.wait(10) and None)
        for urgency, name in ((2, "late"), (0, "first"), (1, "second"), (0, "then")):
            pool.submit(urgency, lambda name=name: done.append(name))
        gate.set()
    assert done == ["first", "then", "second", "late"]


def test_threads_work_side_by_side():
    meeting = threading.Barrier(2, timeout=10)
    with Pool(2, "test") as pool:
        for _ in range(2):
            pool.submit(0, lambda: meeting.wait() and None)
    assert not meeting.broken


def test_an_error_leaves_what_has_not_begun_and_waits_for_what_has():
    gate, begun, done = threading.Event(), threading.Event(), list[str]()

    def first() -> None:
        begun.set()
        gate.wait(10)
        done.append("first")

    def fail(pool: Pool) -> None:
        with pool:
            pool.submit(0, first)
            assert begun.wait(10)
            pool.submit(0, lambda: done.append("second"))
            threading.Timer(0.05, gate.set).start()
            raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        fail(Pool(1, "test"))
    assert done == ["first"]


def test_a_pool_that_was_left_takes_nothing_more():
    with Pool(1, "test") as pool:
        pass
    with pytest.raises(RuntimeError, match="closed"):
        pool.submit(0, lambda: None)
