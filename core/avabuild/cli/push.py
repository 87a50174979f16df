"""`avabuild push` and `avabuild tag`: local images under other names, and in registries."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from avabuild.cli.options import InsecureOption
from avabuild.cli.sbom import Kind
from avabuild.cli.shown import echo

if TYPE_CHECKING:
    from avabuild.registries.connections import Registries
    from avabuild.registries.pushed import Pushed
    from avabuild.run.run import Workplace
    from avabuild.tools.events import Report


def push(
    image: Annotated[str, typer.Argument(metavar="IMAGE", help="Name or id in the local storage.")],
    destination: Annotated[
        str | None,
        typer.Argument(
            metavar="[DEST]",
            help="REGISTRY/NS, below which it has its own name and tag, or REGISTRY/NAME:TAG; "
            "else what the image is called.",
        ),
    ] = None,
    sbom: Annotated[
        list[Kind] | None, typer.Option(help="Push a bill of materials of the image as well. Repeatable.")
    ] = None,
    insecure: InsecureOption = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print events as JSON lines.")] = False,
    quiet: Annotated[
        bool, typer.Option("-q", "--quiet", help="Print only the pushed digest's name.")
    ] = False,
    verbose: Annotated[bool, typer.Option("-v", "--verbose", help="Print what the tools print.")] = False,
) -> None:
    """Push a local image to a registry, and print its name there with the digest.

    Only layers that the registry lacks are sent, as they were compressed when they were made. May be
    repeated: what has arrived is not sent again.

    Example: avabuild push ava-keras:py311-cpu registry.example.com/ava-public
    """
    from avabuild.cli.options import host_for
    from avabuild.cli.recipe import console_for
    from avabuild.common.errors import AvabuildError
    from avabuild.images.push import Outgoing
    from avabuild.registries.connections import Registries
    from avabuild.run.run import Workplace
    from avabuild.tools.events import Report

    console, host = console_for(as_json=as_json, quiet=quiet, verbose=verbose), host_for()
    with (
        console,
        closing(Workplace.on(host)) as workplace,
        Registries(host, insecure=insecure) as registries,
    ):
        try:
            report = Report(console.take)
            tools = workplace.tools(report, "push")
            pushed = Outgoing(workplace.store, tools, report).push(image, destination, registries)
            if sbom:
                _push_bills(image, sbom, pushed, registries, workplace, report)
        except ValueError as error:
            raise typer.BadParameter(str(error), param_hint="DEST") from None
        except AvabuildError as error:
            console.failed(error)
            raise
        console.pushed(image, pushed)


def _push_bills(
    image: str,
    kinds: Sequence[Kind],
    pushed: Pushed,
    registries: Registries,
    workplace: Workplace,
    report: Report,
) -> None:
    """Push bills of an image that was `pushed`, as what belongs to it."""
    from avabuild.images.find import find_local
    from avabuild.images.sbom.sbom import push_bill, sbom_of

    tools, store = workplace.tools(report, "sbom"), workplace.store
    one = replace(find_local(image, tools, store), digest=pushed.digest)
    for kind in dict.fromkeys(kind.known for kind in kinds):
        with report.step(f"{kind} of {pushed.name}", "sbom"):
            data = sbom_of(one, tools, store, kind)
            push_bill(registries.repository(pushed.name), store, pushed.digest, data, kind)


def tag(
    image: Annotated[str, typer.Argument(metavar="IMAGE", help="Name or id in the local storage.")],
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="[REGISTRY/]NAME[:TAG]; its tag stays when none is given.")
    ],
) -> None:
    """Give a local image one more name, and print it.

    Example: avabuild tag ava-keras:py311-cpu registry.example.com/ava-public/ava-keras
    """
    from avabuild.cli.options import host_for
    from avabuild.images.push import Outgoing
    from avabuild.run.run import Workplace
    from avabuild.tools.events import Report, silent

    try:
        with closing(Workplace.on(host_for())) as workplace:
            report = Report(silent)
            echo(Outgoing(workplace.store, workplace.tools(report, "push"), report).tag(image, name))
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="NAME") from None
