"""Who is behind a limit that a resolver's explanation speaks of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from avabuild.common.errors import ResolveError
from avabuild.engine.python.resolution import Below, Inquiry, Resolution, asked_by
from avabuild.plan.plan import Chosen, Plan, Step
from avabuild.plugins.kinds import Python
from avabuild.plugins.target import Device, Target
from avabuild.recipe import ScratchBase
from avabuild.resolve import Indexes, Resolved
from avabuild.resolve.lock import Package

TARGET = Target(distribution="bookworm", arch="x86_64", python="3.11", device=Device(), glibc="2.36")


def plan(*frameworks: str, **limits: tuple[str, ...]) -> Plan:
    return Plan(
        name="demo",
        tag="py311-cpu",
        base=ScratchBase(),
        target=TARGET,
        frameworks=tuple(
            Chosen(name=name, series="1.0", distribution="avabuild", version="1") for name in frameworks
        ),
        constraints=tuple(f"{name}<2" for name in limits),
        constraint_origins=tuple(limits.values()),
    )


def test_a_limit_that_the_user_never_wrote_is_told_with_who_did():
    made = plan("mxnet", "lab", numpy=("mxnet",), rich=("recipe",), scipy=("lab", "mxnet"))
    assert asked_by(made, "because you require numpy<2 and rich<2, your requirements are unsatisfiable") == (
        "numpy<2 is asked for by mxnet; the releases chosen were mxnet 1.0, lab 1.0"
    )


def test_a_name_within_another_is_none():
    assert asked_by(plan("mxnet", num=("mxnet",)), "numpy<2") == "the releases chosen were mxnet 1.0"


def test_without_frameworks_there_is_nobody_to_name():
    assert asked_by(plan(rich=("recipe",)), "rich<2") is None


CLASSIC = Target(distribution="bullseye", arch="x86_64", python="2.7", device=Device(), glibc="2.31")
LOCKED = tuple(
    Package(name=name, version=version, filename=f"{name}-{version}.tar.gz", sha256=digit * 64, by=("lab",))
    for name, version, digit in (("jupyterlab", "0.33.12", "1"), ("six", "1.16.0", "2"))
)


def asking(*extra: str, limits: tuple[str, ...] = (), frameworks: tuple[str, ...] = ("jupyterlab",)) -> Plan:
    """A plan for Python 2.7 that asks for the frameworks' and the recipe's own packages."""
    own = Step(name="python: packages", layer=Python(requirements=extra), origins=("recipe",))
    return Plan(
        name="demo",
        tag="py27-cpu",
        base=ScratchBase(),
        target=CLASSIC,
        python=Step(name="python: frameworks", layer=Python(requirements=frameworks), origins=("lab",)),
        python_extra=own if extra else None,
        python_origins=tuple((name, ("lab",)) for name in frameworks),
        constraints=limits,
        constraint_origins=tuple(("recipe",) for _ in limits),
    )


class Pip:
    """Stands for pip in the workshop: remembers what it was asked, and answers with one package."""

    def __init__(self, *answers: Package | ResolveError) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[Any, ...]] = []

    def resolver(self, _: object) -> Pip:
        return self

    def resolve(self, mine: Any, extra: Any, **others: Any) -> tuple[Resolved, ...]:
        self.asked.append((mine, extra, others["constraints"]))
        if isinstance(answer := self.answers.pop(0), ResolveError):
            raise answer
        return (Resolved(answer, ""),)


def inquiry(plan: Plan, upgrade: frozenset[str] = frozenset()) -> Inquiry:
    return Inquiry(plan, Indexes(), Path(), None, Below(asking(), LOCKED), upgrade)


def packages(pip: Pip, plan: Plan, upgrade: frozenset[str] = frozenset()) -> tuple[Package, ...]:
    made: Any = pip
    return Resolution(inquiry(plan, upgrade), made).with_workshop(made, made)[0]


KERAS = Package(name="keras", version="2.3.1", filename="keras.whl", sha256="3" * 64)


def test_what_asks_for_no_more_than_the_recipe_below_has_its_packages_and_asks_nobody():
    pip = Pip()
    assert packages(pip, asking()) == LOCKED
    nobody: Any = None
    assert Resolution(inquiry(asking()), nobody).without_building() == LOCKED
    assert pip.asked == []


def test_pip_is_asked_only_for_what_is_added_to_the_recipe_below():
    pip = Pip(KERAS)
    assert packages(pip, asking("keras==2.3.1")) == (LOCKED[0], KERAS, LOCKED[1])
    assert pip.asked == [((), ("keras==2.3.1",), ("jupyterlab==0.33.12", "six==1.16.0"))]


def test_where_the_addition_does_not_fit_the_recipe_below_everything_is_resolved():
    pip = Pip(ResolveError("needs six<1.16"), KERAS)
    assert packages(pip, asking("keras==2.3.1")) == (KERAS,)
    assert pip.asked[1] == (("jupyterlab",), ("keras==2.3.1",), ())


@pytest.mark.parametrize(
    ("plan", "upgrade"),
    [
        (asking("keras", limits=("six<1.16",)), ()),  # against the lock below
        (asking("keras", frameworks=("jupyterlab<1",)), ()),  # other words than those that it answers
        (asking("keras"), ("six",)),
    ],
)
def test_a_lock_below_that_no_longer_holds_is_not_taken(plan, upgrade):
    pip = Pip(KERAS)
    assert packages(pip, plan, frozenset(upgrade)) == (KERAS,)
    assert pip.asked[0][1] == ("keras",)
    assert "six==1.16.0" not in pip.asked[0][2]


def test_a_limit_that_the_lock_below_keeps_changes_nothing():
    pip = Pip(KERAS)
    assert LOCKED[1] in packages(pip, asking("keras", limits=("six<2",)))
