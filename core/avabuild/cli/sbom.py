"""`avabuild sbom`: what is installed in an image, as a software bill of materials."""

from __future__ import annotations

from contextlib import closing
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from avabuild.cli.inspect import IMAGE
from avabuild.cli.options import InsecureOption, RootOption
from avabuild.cli.shown import echo

if TYPE_CHECKING:
    from avabuild.images.sbom.sbom import Format


class Kind(StrEnum):
    """The formats of a bill."""

    SPDX = "spdx"
    CYCLONEDX = "cyclonedx"

    @property
    def known(self) -> Format:
        """The same for those who make it."""
        return "spdx" if self is Kind.SPDX else "cyclonedx"


def sbom(
    image: IMAGE,
    kind: Annotated[
        Kind, typer.Option("--format", "-f", help="SPDX 2.3 or CycloneDX 1.6, in JSON.")
    ] = Kind.SPDX,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="File to write instead of printing it."),
    ] = None,
    insecure: InsecureOption = False,
    root: RootOption = None,
) -> None:
    """Print a bill of an image's Debian and Python packages, read from its layers without a container.

    Example: avabuild sbom ava-keras:py311-cpu --format cyclonedx -o keras.cdx.json
    """
    from avabuild.cli.options import host_for
    from avabuild.images.find import find
    from avabuild.images.sbom.sbom import sbom_of
    from avabuild.images.writing import write_file
    from avabuild.run.run import Workplace
    from avabuild.tools.events import Report

    with closing(Workplace.on(host_for({"root": root}))) as workplace:
        tools = workplace.tools(Report(lambda _: None), "sbom")
        found = find(image, tools, workplace.store, insecure=insecure)
        data = sbom_of(found, tools, workplace.store, kind.known)
    if output is None:
        echo(data.decode(), nl=False)
    else:
        write_file(output, data)
        echo(output)
