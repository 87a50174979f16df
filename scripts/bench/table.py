"""The results as Markdown: seconds a way, and avabuild's ratio to the best Containerfile."""

from __future__ import annotations

from collections.abc import Mapping

from bench.measure import Cost
from bench.variant import SCENARIOS

OURS = "avabuild"

Results = Mapping[str, Mapping[str, Cost]]
"""Key of SCENARIOS -> way -> cost."""


def ratio(costs: Mapping[str, Cost]) -> float | None:
    """Return avabuild's seconds over those of the fastest other way; None unless both were measured."""
    others = [cost.seconds for way, cost in costs.items() if way != OURS]
    return costs[OURS].seconds / min(others) if OURS in costs and others else None


def table(results: Results, ways: tuple[str, ...]) -> str:
    """Return the Markdown table: a row for every scenario measured, a column for each of `ways`.

    A cell is `seconds (peak MB)`. A ratio above what was promised is marked.
    """
    named = [way if way == OURS else f"Containerfile, {way}" for way in ways]
    head = ["scenario", *named, "avabuild / best", "at most"]
    rows = [head, ["---", *["---:"] * (len(head) - 1)]]
    for key, costs in results.items():
        found, limit = ratio(costs), SCENARIOS[key].limit
        missed = found is not None and limit is not None and found > limit
        share = "" if found is None else f"{found:.2f}" + (" (missed)" if missed else "")
        cells = [_cell(costs.get(way)) for way in ways]
        rows.append([SCENARIOS[key].title, *cells, share, "" if limit is None else f"{limit:g}"])
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _cell(cost: Cost | None) -> str:
    return "" if cost is None else f"{cost.seconds:.2f} s ({cost.peak:.0f} MB)"
