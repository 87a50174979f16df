"""`avabuild rm`: throw local images away."""

from __future__ import annotations

import json
from contextlib import closing
from typing import Annotated

import typer

from avabuild.cli.options import RootOption
from avabuild.cli.shown import echo


def rm(
    images: Annotated[
        list[str], typer.Argument(metavar="IMAGE...", help="Names or ids in the local storage.")
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    root: RootOption = None,
) -> None:
    """Remove images of avabuild from the local storage; the cache makes them again quickly.

    Example: avabuild rm ava-keras:py311-cpu
    """
    import dataclasses

    from avabuild.cli.options import host_for
    from avabuild.cli.units import human
    from avabuild.images.remove import remove
    from avabuild.run.run import Workplace
    from avabuild.tools.events import Report

    with closing(Workplace.on(host_for({"root": root}))) as workplace:
        tools = workplace.tools(Report(lambda _: None), "rm")
        for name in images:
            gone = remove(name, tools, workplace.store)
            if as_json:
                echo(json.dumps(dataclasses.asdict(gone)))
            elif gone.kept:
                echo(f"{gone.reference}: name removed; the image is still {', '.join(gone.kept)}")
            else:
                echo(f"{gone.reference}: removed, {human(gone.freed)} freed")
    if not as_json:
        echo("its layers are still in the cache: avabuild prune frees those that no image needs", err=True)
