"""Crews: two builds that need one thing make it once, and no thread of either waits for it."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import Future

import pytest

from avabuild.engine.python.pool import Pool
from avabuild.engine.python.workers import Crew
from avabuild.store.claims import Claims


class Maker:
    """Makes keys into `there`, slowly when told to wait; counts who made what."""

    def __init__(self) -> None:
        self.there: set[str] = set()
        self.made: list[str] = []
        self.gate = threading.Event()
        self.begun = threading.Event()

    def slow(self, keys: Sequence[str]) -> None:
        self.begun.set()
        assert self.gate.wait(10)
        self.quick(keys)

    def quick(self, keys: Sequence[str]) -> None:
        for key in keys:
            if key not in self.there:
                self.made.append(key)
                self.there.add(key)


@pytest.fixture
def maker() -> Maker:
    return Maker()


def test_a_build_that_needs_what_another_makes_goes_on_with_something_else(maker):
    claims = Claims()
    with Pool(1, "test") as one, Pool(1, "test") as two:
        first = Crew(one, claims).submit(["wheel"], maker.slow)
        assert maker.begun.wait(10)
        crew = Crew(two, claims)
        shared = crew.submit(["wheel"], maker.quick)
        crew.submit(["own"], maker.quick).result(10)  # the only thread is free for it
        assert not shared.done()
        maker.gate.set()
        shared.result(10)
        first.result(10)
    assert maker.made == ["own", "wheel"]


def test_of_many_things_those_that_nobody_makes_are_made_at_once(maker):
    claims = Claims()
    claims.take("b")
    with Pool(1, "test") as pool:
        future = Crew(pool, claims).submit(["a", "b", "c"], maker.quick)
        while maker.made != ["a", "c"]:
            assert not future.done()
        claims.leave("b")
        future.result(10)
    assert maker.made == ["a", "c", "b"]


def test_what_the_other_build_failed_to_make_is_made_here(maker):
    claims = Claims()

    def fail(keys: Sequence[str]) -> None:
        maker.begun.set()
        maker.gate.wait(10)
        raise ValueError("broken")

    with Pool(1, "test") as one, Pool(1, "test") as two:
        failing = Crew(one, claims).submit(["a"], fail)
        assert maker.begun.wait(10)
        mine = Crew(two, claims).submit(["a"], maker.quick)
        maker.gate.set()
        mine.result(10)
        assert isinstance(failing.exception(10), ValueError)
    assert maker.made == ["a"]


def test_work_begins_when_what_it_comes_after_is_done(maker):
    before: Future[None] = Future()
    with Pool(1, "test") as pool:
        crew = Crew(pool, Claims())
        after = crew.submit(["a"], maker.quick, [before])
        crew.submit(["b"], maker.quick).result(10)
        before.set_result(None)
        after.result(10)
    assert maker.made == ["b", "a"]


def test_work_after_a_failure_fails_with_it(maker):
    before: Future[None] = Future()
    before.set_exception(ValueError("broken"))
    with Pool(1, "test") as pool:
        after = Crew(pool, Claims()).submit(["a"], maker.quick, [before])
        assert isinstance(after.exception(10), ValueError)
    assert maker.made == []


def test_a_build_that_has_ended_takes_up_nothing_more(maker):
    claims = Claims()
    claims.take("a")
    with Pool(1, "test") as pool:
        future = Crew(pool, claims).submit(["a"], maker.quick)
    claims.leave("a")
    assert future.cancelled()
    assert maker.made == []
