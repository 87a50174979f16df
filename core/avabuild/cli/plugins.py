"""`avabuild plugins`: what is installed."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from typing import Annotated

import typer


def plugins(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """List the installed frameworks with their distributions; imports none of them.

    Example: avabuild plugins
    """
    from avabuild.registry import installed

    found = installed()
    if as_json:
        typer.echo(json.dumps([dataclasses.asdict(provider) for provider in found], indent=2))
        return
    times = Counter(provider.framework for provider in found)
    width = max(map(len, times), default=0)
    for provider in found:
        clash = "  (provided more than once: uninstall all but one)" if times[provider.framework] > 1 else ""
        typer.echo(f"{provider.framework:{width}}  {provider.distribution} {provider.version}{clash}")
