"""`avabuild plan`: show what a build would do."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from avabuild.forecast import Row
    from avabuild.plan import Plan


def plan(
    path: Annotated[Path, typer.Argument(metavar="RECIPE.toml", help="The recipe to look at.", show_default=False)],
    as_json: Annotated[bool, typer.Option("--json", help="Print the plan as JSON.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show a traceback with an error.")] = False,
) -> None:
    """Show what a build would make: base, layers in order, who asked for them, what is cached, what changed.

    Writes no lock and no image. Versions come from the lock, or from the indexes where it doesn't fit.

    Example: avabuild plan recipes/keras.toml
    """
    del debug  # read before the commands are, see main()
    from avabuild.host import probe
    from avabuild.report import Report, silent
    from avabuild.session import Session, Wishes

    session = Session(path, probe(os.environ), Report(silent), Wishes())
    shown = [(made, session.forecast(made)) for made in session.plans(session.facts(session.base_for_plan()))]
    if as_json:
        data = [{**made.model_dump(mode="json"), "forecast": [r.model_dump() for r in rows]} for made, rows in shown]
        typer.echo(json.dumps(data, indent=2, ensure_ascii=False))
        return
    for made, rows in shown:
        typer.echo("\n".join(_lines(made, rows, session.base_words)))


def _lines(plan: Plan, rows: Sequence[Row], base: str) -> list[str]:
    lines = [plan.reference, f"  base    {base}", f"  target  {_target(plan)}"]
    lines += [f"          {f.name} {f.series}{_brought(f.required_by)}" for f in plan.frameworks]
    lines.append("  layers")
    for row in rows:
        size = f", {row.download / 1e6:.1f} MB to download" if row.download else ""
        why = f" [{_short(row.why)}]" if row.why else ""
        lines.append(f"    {row.state:7} {row.name}{size} <- {', '.join(row.origins)}{why}")
        if 0 < len(row.holds) <= 6:
            lines.append(f"            {', '.join(row.holds)}")
    total = sum(row.download for row in rows)
    building = sum(row.state != "cached" for row in rows)
    lines.append(f"  {building} of {len(rows)} layers to build, {total / 1e6:.1f} MB to download")
    return lines


def _target(plan: Plan) -> str:
    python = f"Python {plan.target.python}" if plan.target.python else "no Python"
    return f"{plan.target.distribution} {plan.target.arch}, {python}, {plan.target.device}"


def _brought(required_by: Sequence[str]) -> str:
    return f" (required by {', '.join(required_by)})" if required_by else ""


def _short(why: Sequence[str]) -> str:
    return ", ".join(why[:3]) + (f" and {len(why) - 3} more" if len(why) > 3 else "")
