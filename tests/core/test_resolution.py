"""Who is behind a limit that a resolver's explanation speaks of."""

from __future__ import annotations

from avabuild.plan import Chosen, Plan
from avabuild.recipe import ScratchBase
from avabuild.resolution import asked_by
from avabuild.target import Device, Target

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
        "numpy<2 is asked for by mxnet; chosen were mxnet 1.0, lab 1.0"
    )


def test_a_name_within_another_is_none():
    assert asked_by(plan("mxnet", num=("mxnet",)), "numpy<2") == "chosen were mxnet 1.0"


def test_without_frameworks_there_is_nobody_to_name():
    assert asked_by(plan(rich=("recipe",)), "rich<2") is None
