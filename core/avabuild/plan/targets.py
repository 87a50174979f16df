"""The targets of a recipe's matrix on a base, and why a base can't give one."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from avabuild.common.errors import TargetError
from avabuild.host.host import Host
from avabuild.layer.facts import Facts, releases_with
from avabuild.plugins.target import Target
from avabuild.recipe import Point, Recipe
from avabuild.resolve.platforms import is_served


def targets(recipe: Recipe, facts: Facts, host: Host, points: Sequence[Point] = ()) -> tuple[Target, ...]:
    """Return the targets of the recipe's matrix on a base with `facts`, in the recipe's order.

    `points` are those that stand on this base: all of the matrix when empty.

    Raises:
        TargetError: the base can't give a Python that is asked for, or has none and one is needed.
    """
    needs_python = bool(recipe.frameworks or recipe.packages.pip)
    here = Target.for_base(host.arch).oci_arch
    if facts.arch not in {"", here}:
        raise TargetError(
            f"the base is for {facts.arch} machines, and this one is {here}",
            place=recipe.place("base"),
            hint="name one for this kind of machine, or build on one of that kind",
        )
    matrix = itertools.product(recipe.matrix.python or (None,), recipe.matrix.devices)
    own = next((python for python in facts.offered if is_served(python)), None)
    points = [Point(python or own, device) for python, device in points or matrix]
    pythons = tuple(dict.fromkeys(point.python for point in points))
    for python in pythons:
        if python is not None and not is_served(python):
            raise TargetError(
                f"no resolver knows Python {python}: packages are resolved for 2.7, 3.5, and 3.6 or later",
                place=recipe.place("matrix", "python"),
                hint="choose one of those, or leave [matrix] out",
            )
        if python is not None and facts.interpreter(python) is None:
            offered = f"it offers {', '.join(facts.offered)}" if facts.offered else "it has none"
            closed = dict(facts.closed)
            raise TargetError(
                f"the base ({facts.distribution}) can't give Python {python}; "
                + (f"only root may use it: {closed[python]}" if python in closed else offered),
                place=recipe.place("matrix", "python"),
                hint=_where(python),
            )
        if python == "2.7" and not facts.apt and (facts.interpreter(python) or "").startswith("/usr/bin/"):
            raise TargetError(
                f"the base ({facts.distribution}) keeps Python 2.7's packages where no layer can add to them",
                place=recipe.place("base"),
                hint=_where(python),
            )
        if python is None and needs_python:
            only = "".join(f"; {name} is there for root alone: {why}" for name, why in facts.closed)
            raise TargetError(
                f"the base ({facts.distribution}) has no Python, "
                f"which the frameworks and packages need{only}",
                place=recipe.place("base"),
                hint='use a Debian base ({ debian = "bookworm" }) or an image that has Python',
            )
    return tuple(
        Target(
            distribution=facts.distribution, arch=host.arch, python=python, device=device, glibc=facts.glibc
        )
        for python, device in points
    )


def _where(python: str) -> str:
    """Say what base could give `python`."""
    suites = releases_with(python)
    images = f"an image that has Python {python}"
    if suites:
        debians = " or ".join(f'{{ debian = "{suite}" }}' for suite in suites)
        return f"use {debians}, or {images}"
    return f"no Debian release that can be bootstrapped has it: use {images}"
