"""Claims: one maker of each thing at a time, and a word to those who wait."""

from __future__ import annotations

import threading
import time

import pytest

from avabuild.store.claims import Claims


def test_a_key_is_one_builds_until_it_is_left():
    claims = Claims()
    assert claims.take("a")
    assert claims.take("b")
    assert not claims.take("a")
    claims.leave("a")
    assert claims.take("a")


def test_who_came_too_late_is_told_once_when_it_is_left():
    claims, told = Claims(), []
    claims.take("a")
    claims.take("a", lambda: told.append("first"))
    claims.take("a", lambda: told.append("second"))
    assert told == []
    claims.leave("a")
    assert told == ["first", "second"]
    claims.take("a")
    claims.leave("a")
    assert told == ["first", "second"]


def test_holding_waits_for_whoever_holds_and_leaves_on_every_way_out():
    claims, order = Claims(), []

    def other() -> None:
        with claims.hold("a"):
            order.append("other")

    with pytest.raises(ValueError, match="no"), claims.hold("a"):  # noqa: PT012
        thread = threading.Thread(target=other)
        thread.start()
        time.sleep(0.05)
        order.append("mine")
        raise ValueError("no")
    thread.join(5)
    assert order == ["mine", "other"]
    assert claims.take("a")
