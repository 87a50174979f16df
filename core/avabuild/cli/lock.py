"""`avabuild lock`: write the locks of recipes without building anything."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from avabuild.cli.options import InsecureOption
from avabuild.cli.shown import echo
from avabuild.cli.table import aligned
from avabuild.cli.units import human

if TYPE_CHECKING:
    from avabuild.run.locking import Locked

_HEAD = ("image", "packages", "download", "lock", "state")


def lock(
    paths: Annotated[list[Path], typer.Argument(metavar="RECIPE.toml...", help="The recipes to lock.")],
    only: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PATTERN", help="Only images whose tag or name:tag matches: 'py311-*'. Repeatable."
        ),
    ] = None,
    upgrade: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Resolve this package again, '*' for all. Repeatable."),
    ] = None,
    full: Annotated[
        bool,
        typer.Option(
            "--full",
            help="Lock the base and apt packages too, which --locked needs; avabuild makes both for that.",
        ),
    ] = False,
    insecure: InsecureOption = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print events and the result as JSON lines.")
    ] = False,
) -> None:
    """Resolve the Python packages of every target and write them into the locks; build nothing.

    No base is needed, only the indexes; Python 2.7 and 3.5 are resolved in a container. Base and apt packages
    are added by --full; a build without a lock writes all of it.

    Example: avabuild lock recipes/*.toml --only '*-cuda*'
    """
    from packaging.utils import canonicalize_name

    from avabuild.cli.options import host_for
    from avabuild.cli.recipe import console_for
    from avabuild.common.errors import AvabuildError, together
    from avabuild.run.catalogue import Catalogue
    from avabuild.run.locking import lock_all
    from avabuild.run.run import Wishes, Workplace
    from avabuild.tools.events import Report

    wishes = Wishes(upgrade=frozenset(map(canonicalize_name, upgrade or ())), insecure=insecure)
    console = console_for(as_json=as_json, quiet=False, verbose=False)
    with console:
        try:
            report = Report(console.take)
            catalogue = Catalogue(paths, Workplace.on(host_for(), wishes), report, assume=True)
            entries = catalogue.entries(only or ())
            console.several = len(entries) > 1
            with closing(catalogue.workplace):
                locked = lock_all(catalogue, entries, full=full)
            together([lost.error for lost in catalogue.lost])
        except AvabuildError as error:
            console.failed(error)
            raise
    if as_json:
        for one in locked:
            echo(json.dumps(_data(one), ensure_ascii=False))
    else:
        echo("\n".join(lines_of(locked)))


def _data(one: Locked) -> dict[str, object]:
    return {
        "event": "locked",
        "reference": one.entry.plan.reference,
        "lock": str(one.entry.recipe.lock.path),
        "changed": one.changed,
        "packages": len(one.lock.python),
        "download": _download(one),
    }


def lines_of(locked: Sequence[Locked]) -> Iterator[str]:
    """Yield the table of what was locked: a line per image."""
    yield from aligned([_HEAD, *map(_cells, locked)], right=(1, 2))


def _cells(one: Locked) -> tuple[str, ...]:
    state = "written" if one.changed else "unchanged"
    lock_path = str(one.entry.recipe.lock.path)
    return (one.entry.name, str(len(one.lock.python)), human(_download(one)), lock_path, state)


def _download(one: Locked) -> int:
    return sum(package.size for package in one.lock.python)
