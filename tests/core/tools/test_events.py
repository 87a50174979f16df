from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from avabuild.tools.events import Event, Report, silent


def test_a_step_is_bracketed_and_says_how_it_ended():
    seen: list[Event] = []
    report = Report(seen.append)
    with report.step("apt: frameworks", "apt") as said:
        report.note("half-way")
        said += ["12 packages", "cached"]
    assert [(event.kind, event.step, event.text) for event in seen] == [
        ("start", "apt: frameworks", ""),
        ("note", "", "half-way"),
        ("finish", "apt: frameworks", "12 packages, cached"),
    ]


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt()])
def test_a_step_that_fails_says_so_and_passes_the_error_on(error):
    seen: list[Event] = []
    report = Report(seen.append)
    with pytest.raises(type(error)), report.step("run 1", "run"):
        raise error
    assert [event.kind for event in seen] == ["start", "fail"]
    assert report.seconds == {}


def test_seconds_add_up_by_phase():
    report = Report(silent)
    for phase in ("layers", "layers", "import"):
        with report.step("step", phase):
            pass
    assert set(report.seconds) == {"layers", "import"}
    assert all(spent >= 0 for spent in report.seconds.values())


def test_events_of_several_threads_come_one_at_a_time():
    inside: list[int] = []
    most: list[int] = []

    def sink(event: Event) -> None:
        inside.append(1)
        most.append(len(inside))
        inside.pop()

    report = Report(sink)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(report.warn, ["careful"] * 200))
    assert len(most) == 200
    assert set(most) == {1}
