"""`avabuild du`: what the cache and the local storage hold."""

from __future__ import annotations

import json
from contextlib import closing
from typing import Annotated

import typer

from avabuild.cli.options import RootOption
from avabuild.cli.shown import echo

HEAD = ("kind", "count", "size", "needed")


def du(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    verified: Annotated[
        bool, typer.Option("--verify", help="Read all of the cache, and say what is damaged (exit code 11).")
    ] = False,
    root: RootOption = None,
) -> None:
    """Show what the cache and the local storage hold by kind, and what of it present images need.

    Example: avabuild du
    """
    import dataclasses

    from avabuild.cli.options import host_for
    from avabuild.cli.table import grid
    from avabuild.cli.units import human
    from avabuild.common.errors import StoreError
    from avabuild.images.find import storage_of
    from avabuild.images.prune import present
    from avabuild.images.usage import items, needs_of, storage_usage, usage
    from avabuild.images.verifying import verify
    from avabuild.run.run import Workplace
    from avabuild.tools.events import Report

    with closing(Workplace.on(host_for({"root": root}))) as workplace:
        store, tools = workplace.store, workplace.tools(Report(lambda _: None), "du")
        cache = list(usage(store, list(items(store, needs_of(store, present(tools, store))))))
        storage = storage_of(tools)
        held = list(storage_usage(storage, store)) if storage else []
        read, damaged = verify(store) if verified else (0, ())
    if as_json:
        places = {"cache": str(store.root), "storage": str(storage.root) if storage else None}
        sums = {"cache": cache, "storage": held}
        listed = {name: [dataclasses.asdict(one) for one in found] for name, found in sums.items()}
        if verified:
            listed["damaged"] = [{"kind": d.kind, "path": str(d.path), "again": d.again} for d in damaged]
        echo(json.dumps({"places": places, **listed}, indent=2))
        raise typer.Exit(StoreError.exit_code if damaged else 0)
    for title, found in ((f"cache {store.root}", cache), (f"storage {storage and storage.root}", held)):
        if not found:
            continue
        rows = [(one.kind, str(one.count), human(one.size), human(one.needed)) for one in found]
        sums_up = (sum(one.size for one in found), sum(one.needed for one in found))
        rows.append(("total", "", human(sums_up[0]), human(sums_up[1])))
        echo(title)
        echo("\n".join(f"  {line}" for line in grid(HEAD, rows, set(HEAD[1:]))))
    for damage in damaged:
        echo(f"damaged: {damage.path} ({damage.kind}): {damage.again}")
    if damaged:
        raise StoreError(f"{len(damaged)} of {read} files of the cache are damaged", hint="builds mend them")
    if verified:
        echo(f"all {read} files of the cache that can be held against a digest are whole")
