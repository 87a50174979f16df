"""Needs: what of an image can't be made without a container, known before anything is made. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from avabuild.common.errors import HostError
from avabuild.common.value import Value
from avabuild.engine.output import Output
from avabuild.plan.plan import Plan
from avabuild.run.forecast import Row


class Need(Value):
    """Something that needs a container, or the local storage, and what for."""

    name: str
    why: str

    def __str__(self) -> str:
        return f"{self.name}: {self.why}"


def needs(
    plan: Plan, rows: Sequence[Row], output: Output, *, checks: bool, interpreter: bool
) -> tuple[Need, ...]:
    """Return what needs a container; layers that are there already need none.

    Args:
        plan: of the image.
        rows: the forecast of `plan`.
        output: where the image goes.
        checks: whether it is checked.
        interpreter: whether this host has a Python of the image's version, to compile modules with.
    """
    missing = [row for row in rows if row.state != "cached"]
    found = [Need(name=row.name, why=row.container) for row in missing if row.container]
    if not interpreter:
        why = f"there is no python{plan.target.python} here to compile modules"
        found += [Need(name=row.name, why=why) for row in missing if row.modules]
    if output.kind == "storage":
        found.append(Need(name="local storage", why="the image is put there; --output oci:DIR needs none"))
    elif checks and plan.checks:
        found.append(Need(name="--check", why="checks run in the image"))
    return tuple(found)


def refusal(why: str, needed: Mapping[str, Sequence[Need]]) -> HostError:
    """Return the error that tells all that is needed where no container can be started; `needed` by image."""
    lines = [f"  {name}: {need}" for name, every in needed.items() for need in every]
    hint = (
        "avabuild doctor says what is missing; or build where containers can be started, into a cache that "
        "is seen here: what AVABUILD_CACHE or AVABUILD_SHARED_CACHE has needs no container"
    )
    return HostError(
        "\n".join([f"no container can be started here, and these need one; {why}:", *lines]), hint=hint
    )
