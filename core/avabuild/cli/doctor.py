"""`avabuild doctor`: what this host lets its user build, why, and what would better it."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from avabuild.cli.options import ModeOption, RootOption, RunnerOption, StorageDriverOption, flags_of, host_for
from avabuild.cli.units import human

if TYPE_CHECKING:
    from avabuild.host.advice import Remark
    from avabuild.host.host import Host
    from avabuild.host.means import Means

_MARKS = {
    "good": ("ok", "green"),
    "spare": ("-", "dim"),
    "limited": ("limited", "yellow"),
    "bad": ("missing", "red"),
}
_WIDE = 1000  # columns for logs and pipes: nothing is folded
_MODES = {
    "root": "you are root",
    "subuid": "a range of ids is mapped, and files in images keep their owners",
    "single": "one id is mapped, and new files in images are root's",
    "none": "no namespaces: wheels and files on image or archive bases, with --output",
}


def doctor(
    mode: ModeOption = None,
    root: RootOption = None,
    storage_driver: StorageDriverOption = None,
    runner: RunnerOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say how images are built on this host, what was found, and what an administrator could better.

    Looks anew, whatever earlier runs found; builds nothing. Exits with 6 when nothing can be built.

    Example: avabuild doctor --mode single
    """
    from avabuild.common.errors import HostError
    from avabuild.host.advice import can_build, remarks
    from avabuild.host.choose import choose
    from avabuild.host.survey import survey

    host = host_for(flags_of(mode, root, storage_driver, runner))
    findings = survey(host, os.environ, anew=True)
    refused, means = None, None
    try:
        means = choose(findings, host.settings)
    except HostError as error:
        refused = error
    said = remarks(findings, means)
    able = can_build(said, means)
    if as_json:
        secret = {"debian_mirror"}  # its URL may hold a password
        data = {
            "can_build": able,
            "means": means.model_dump(mode="json") if means else None,
            "refused": refused.message if refused else None,
            "remarks": [remark.model_dump() for remark in said],
            "host": _facts(host),
            "settings": host.settings.model_dump(mode="json", exclude=secret),
            "findings": findings.model_dump(mode="json"),
        }
        typer.echo(json.dumps(data, indent=2, ensure_ascii=False))
    else:
        _print(host, means, said)
    if refused:
        raise refused
    if not able:
        names = ", ".join(remark.about for remark in said if remark.state == "bad")
        raise HostError(f"nothing can be built here: {names}", hint="see what is missing above")


def _print(host: Host, means: Means | None, said: Sequence[Remark]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False, markup=False)
    if not console.is_terminal:
        console.width = _WIDE
    for name, value in _summary(host, means):
        console.print(f"{name:<9}{value}", soft_wrap=True)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for head in ("", "of", "found", "leads to"):
        table.add_column(head, overflow="fold", no_wrap=head in {"", "of"})
    for remark in said:
        mark, style = _MARKS[remark.state]
        table.add_row(Text(mark, style), remark.about, remark.found, remark.leads)
    console.print()
    with console.capture() as captured:
        console.print(table)
    for line in captured.get().splitlines():
        typer.echo(line.rstrip())
    if any(remark.admin for remark in said):
        console.print("\nAn administrator could better it:")
    for remark in said:
        for line in remark.admin:
            console.print(f"  {remark.about:<12}{line}", soft_wrap=True)


def _summary(host: Host, means: Means | None) -> Iterator[tuple[str, str]]:
    """Yield what is chosen, by name."""
    if means:
        yield "mode", f"{means.mode}: {_MODES[means.mode]}"
        if means.storage:
            yield "images", f"{means.storage.root}"
        yield "place", f"{means.place}"
        if means.mode != "none":
            yield "steps", "our own runner" if means.runner == "own" else "buildah run"
    for name, value in _facts(host).items():
        yield name, ", ".join(value) if isinstance(value, list) else str(value)
    for name, origin in host.settings.origins:
        yield "chosen", f"{name.replace('_', '-')} by {origin}"


def _facts(host: Host) -> dict[str, object]:
    """Return what else a build has of this host."""
    from avabuild.host.places import existing

    free = shutil.disk_usage(existing(host.cache)).free
    facts: dict[str, object] = {"cache": f"{host.cache} ({human(free)} free)", "cores": host.cores}
    facts["proxies"] = list(host.proxies) or "none"
    facts["bundle"] = str(host.ca_bundle or "none")
    if host.sharing:
        facts["shared"] = str(host.sharing.directory)
    if host.mirror:
        facts["mirror"] = "set"
    return facts
