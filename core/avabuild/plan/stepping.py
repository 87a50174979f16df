"""Stepping back: which older series of its frameworks an image can have when the newest do not fit the rest.

Tables of releases know what series need of one another, and not what the recipe's own packages need of them:
the resolver does. It is asked again only where the newest series fail, for the nearest first.
"""

from __future__ import annotations

import heapq
import re
from collections.abc import Callable, Iterable, Sequence
from itertools import count

from packaging.requirements import Requirement

from avabuild.common.errors import TargetError
from avabuild.plan.plan import Plan
from avabuild.resolve.uv import Unsolvable

Without = tuple[str, ...]
"""Series that are not to be chosen, as `keras 3.15`."""

_MOST = 40  # questions to the resolver


def step_back(
    plan: Plan, error: Unsolvable, make: Callable[[Without], Plan], ask: Callable[[Plan], object]
) -> Plan | None:
    """Return the plan nearest to `plan` that resolves, None when none does.

    Fewest steps come first, one series of one framework each. Only frameworks that the resolver's explanation
    names are moved: no other series of any other one would change it.

    Args:
        plan: what failed.
        error: with which it failed.
        make: series to leave out -> the plan with the newest of the others; TargetError when there is none.
        ask: resolves a plan; Unsolvable when that can't be.
    """
    order = count()
    queue: list[tuple[int, int, Without]] = []
    seen = {_series(plan)}

    def further(steps: int, failed: Plan, why: Unsolvable) -> None:
        for name in blamed(failed, why.message):
            left_out = tuple(sorted({*failed.without, name}))
            heapq.heappush(queue, (steps + 1, next(order), left_out))

    further(0, plan, error)
    for _ in range(_MOST):
        found = _next(queue, make, seen)
        if found is None:
            return None
        steps, other = found
        try:
            ask(other)
        except Unsolvable as why:
            further(steps, other, why)
        else:
            return other
    return None


def _next(
    queue: list[tuple[int, int, Without]], make: Callable[[Without], Plan], seen: set[Without]
) -> tuple[int, Plan] | None:
    """Return the next plan that was not asked for yet, with how many steps back it is."""
    while queue:
        steps, _, without = heapq.heappop(queue)
        try:
            plan = make(without)
        except TargetError:  # that framework has no older series left
            continue
        if _series(plan) not in seen:
            seen.add(_series(plan))
            return steps, plan
    return None


def _series(plan: Plan) -> Without:
    return tuple(f"{one.name} {one.series}" for one in plan.frameworks)


def blamed(plan: Plan, words: str) -> tuple[str, ...]:
    """Return the frameworks whose packages a resolver's explanation names, each with its series."""
    by_framework: dict[str, set[str]] = {}
    for text, origins in plan.python_origins:
        for origin in origins:
            by_framework.setdefault(origin, set()).add(Requirement(text).name)
    return tuple(
        f"{one.name} {one.series}" for one in plan.frameworks if _named(by_framework.get(one.name, ()), words)
    )


def _named(names: Iterable[str], words: str) -> bool:
    return any(re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", words) for name in names)


def moved(plan: Plan, other: Plan) -> Sequence[tuple[str, str, str]]:
    """Return name, series in `plan` and series in `other` of every framework where they differ."""
    now = {one.name: one.series for one in other.frameworks}
    return [(f.name, f.series, now[f.name]) for f in plan.frameworks if now.get(f.name, f.series) != f.series]
