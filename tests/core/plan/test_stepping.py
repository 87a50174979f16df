"""Which older series are tried when the newest don't resolve, and in which order."""

from __future__ import annotations

import pytest

from avabuild.common.errors import TargetError
from avabuild.plan.plan import Chosen, Plan
from avabuild.plan.stepping import blamed, moved, step_back
from avabuild.plugins.target import Device, Target
from avabuild.recipe import ScratchBase
from avabuild.resolve.uv import Unsolvable

TARGET = Target(distribution="bookworm", arch="x86_64", python="3.11", device=Device(), glibc="2.36")
TABLES = {"net": ("3", "2", "1"), "lab": ("9", "8")}


def plan(without: tuple[str, ...] = ()) -> Plan:
    """Return the plan with the newest series that are not left out; net's package is called torch-net."""
    chosen = []
    for name, table in TABLES.items():
        left = [series for series in table if f"{name} {series}" not in without]
        if not left:
            raise TargetError(f"{name}: none")
        chosen.append(Chosen(name=name, series=left[0], distribution="x", version="1"))
    return Plan(
        name="demo",
        tag="t",
        base=ScratchBase(),
        target=TARGET,
        frameworks=tuple(chosen),
        python_origins=(("lab", ("lab",)), ("torch-net==3", ("net",))),
        without=without,
    )


def series(made: Plan) -> dict[str, str]:
    return {one.name: one.series for one in made.frameworks}


class Index:
    """Resolves what is `good`; `words` name whom an explanation blames."""

    def __init__(self, *good: dict[str, str], words: str = "torch-net and lab") -> None:
        self.good = good
        self.words = words
        self.asked: list[dict[str, str]] = []

    def ask(self, made: Plan) -> None:
        self.asked.append(series(made))
        if series(made) not in self.good:
            raise Unsolvable(self.words)


def stepped(index: Index) -> Plan | None:
    return step_back(plan(), Unsolvable(index.words), plan, index.ask)


def test_the_nearest_series_that_resolve_are_taken():
    index = Index({"net": "3", "lab": "8"}, {"net": "1", "lab": "9"})
    found = stepped(index)
    assert found is not None
    assert series(found) == {"net": "3", "lab": "8"}
    assert moved(plan(), found) == [("lab", "9", "8")]
    assert found.without == ("lab 9",)


def test_only_frameworks_that_the_explanation_names_are_moved():
    index = Index({"net": "1", "lab": "9"}, words="because torch-net==3 depends on x")
    found = stepped(index)
    assert found is not None
    assert index.asked == [{"net": "2", "lab": "9"}, {"net": "1", "lab": "9"}]


@pytest.mark.parametrize("words", ["nosuch was not found", "torch was not found, torch-networks neither"])
def test_what_is_no_frameworks_fault_is_asked_no_second_time(words):
    index = Index(words=words)
    assert blamed(plan(), words) == ()
    assert stepped(index) is None
    assert index.asked == []


def test_nothing_is_asked_twice_and_there_is_an_end():
    index = Index()
    assert stepped(index) is None
    assert len(index.asked) == len({tuple(one.items()) for one in index.asked}) == 5
