"""`avabuild prune`: free what no present image and no running build needs."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import closing
from typing import Annotated, TypeVar

import typer

from avabuild.cli.options import RootOption
from avabuild.cli.shown import echo

Number = TypeVar("Number", int, float)


def prune(
    older_than: Annotated[
        str | None,
        typer.Option(metavar="AGE", help="Remove only what has been unused for this long: 30d, 12h, 2w."),
    ] = None,
    keep_size: Annotated[
        str | None,
        typer.Option(metavar="SIZE", help="Stop when the cache is this small: 50GB, 800MB, 2GiB."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what would be removed, and remove nothing.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    root: RootOption = None,
) -> None:
    """Remove from the cache and the storage what neither a present image nor a running build needs.

    The least recently used goes first; whatever is removed can be made again.

    Example: avabuild prune --older-than 30d --keep-size 50GB --dry-run
    """
    import dataclasses

    from avabuild.cli.options import host_for
    from avabuild.cli.table import grid
    from avabuild.cli.units import human, read_age, read_size
    from avabuild.images.prune import Wish, choose, planned
    from avabuild.images.prune import prune as remove
    from avabuild.run.run import Workplace
    from avabuild.tools.events import Report

    wish = Wish(
        older_than=_read(older_than, "--older-than", read_age) or 0.0,
        keep_size=_read(keep_size, "--keep-size", read_size),
    )
    with closing(Workplace.on(host_for({"root": root}))) as workplace:
        store, tools = workplace.store, workplace.tools(Report(lambda _: None), "prune")
        chosen = choose(store, tools, wish)
        removed = planned(chosen, store) if dry_run else remove(store, tools, chosen)
    total = sum(one.size for one in removed)
    if as_json:
        listed = [dataclasses.asdict(one) for one in removed]
        echo(json.dumps({"dry_run": dry_run, "freed": total, "removed": listed}, indent=2))
        return
    if removed:
        rows = [(one.kind, str(one.count), human(one.size)) for one in removed]
        echo("\n".join(grid(("kind", "count", "size"), rows, {"count", "size"})))
    echo(f"{human(total)} {'would be freed' if dry_run else 'freed'}")
    if chosen.running:
        echo(f"{chosen.running} running: what they may use was kept", err=True)


def _read(text: str | None, option: str, read: Callable[[str], Number]) -> Number | None:
    try:
        return None if text is None else read(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint=option) from None
