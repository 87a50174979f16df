"""`avabuild images`: the images there are, on this machine or in a registry."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator
from contextlib import closing
from typing import TYPE_CHECKING, Annotated, Any

import typer

from avabuild.cli.options import InsecureOption, RootOption
from avabuild.cli.shown import echo

if TYPE_CHECKING:
    from avabuild.images.image import Image

HEAD = ("image", "Python", "SDK", "JupyterLab", "device", "framework", "size", "unpacked", "age")
_RIGHT = frozenset({"size", "unpacked", "age"})


def images(
    registry: Annotated[
        str | None,
        typer.Option(
            metavar="HOST[/PATH]",
            help="List the images of a registry instead, all of them or those below a path.",
        ),
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", "-a", help="Also list images without a name, and images of other tools.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Print only the references.")] = False,
    insecure: InsecureOption = False,
    root: RootOption = None,
) -> None:
    """List the images that avabuild made: of the local storage, or of a registry.

    Example: avabuild images --registry registry.example.com/ava-public
    """
    from avabuild.cli.options import host_for
    from avabuild.images.find import listed, listed_remote
    from avabuild.run.run import Workplace
    from avabuild.tools.events import Report

    with closing(Workplace.on(host_for({"root": root}))) as workplace:
        if registry:
            found = listed_remote(registry, workplace.host, everything=everything, insecure=insecure)
        else:
            tools = workplace.tools(Report(lambda _: None), "images")
            found = listed(tools, workplace.store, everything=everything)
    if as_json:
        echo(json.dumps([summary(image) for image in found], indent=2, ensure_ascii=False))
    elif quiet:
        echo("".join(f"{image.reference}\n" for image in found), nl=False)
    elif found:
        from avabuild.cli.table import grid

        echo("\n".join(grid(HEAD, _rows(found, time.time()), _RIGHT)))
    else:
        echo("no images; avabuild recipe builds some", err=True)


def summary(image: Image) -> dict[str, Any]:
    """Return what JSON says of an image in a list."""
    about = image.description
    return {
        "reference": image.reference,
        "id": image.id,
        "digest": image.digest or None,
        "own": about.own,
        "target": about.target or None,
        "python": about.python or None,
        "device": about.device or None,
        "frameworks": dict(about.frameworks),
        "size": image.size,
        "unpacked": image.unpacked_size,
        "made": image.came,
    }


def _rows(found: Iterable[Image], now: float) -> Iterator[tuple[str, ...]]:
    from avabuild.cli.table import NOTHING
    from avabuild.cli.units import age

    for image in found:
        about = image.description.columns
        held = (about[name] for name in ("python", "sdk", "jupyterlab", "device", "framework"))
        sizes = (_human(image.size), _human(image.unpacked_size))
        old = age(now - image.came) if image.came else NOTHING
        yield (image.reference.removeprefix("localhost/"), *held, *sizes, old)


def _human(size: int | None) -> str:
    from avabuild.cli.units import human

    return "-" if size is None else human(size)
