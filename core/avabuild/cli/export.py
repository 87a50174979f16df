"""`avabuild export`: an image as an archive, or as what other tools build it from."""

from __future__ import annotations

import re
from contextlib import closing
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from avabuild.cli.host import InsecureOption
from avabuild.cli.inspect import IMAGE


class Kind(StrEnum):
    """What an image is exported as."""

    CONTAINERFILE = "containerfile"
    OCI_ARCHIVE = "oci-archive"
    DOCKER_ARCHIVE = "docker-archive"
    DEF = "def"


def export(
    image: IMAGE,
    kind: Annotated[
        Kind, typer.Option("--format", "-f", help="What to write; def is a definition for Apptainer.")
    ] = Kind.CONTAINERFILE,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="PATH", help="A new directory, or the archive's file; else NAME-TAG."
        ),
    ] = None,
    insecure: InsecureOption = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show a traceback with an error.")] = False,
) -> None:
    """Write an image as an archive, or as a Containerfile or definition with the versions of its lock.

    Example: avabuild export ava-keras:py311-cpu --format containerfile -o keras/
    """
    del debug  # main() looks for it
    from avabuild.cli.host import host_for
    from avabuild.images.exporting import export as write
    from avabuild.images.finding import find
    from avabuild.report import Report
    from avabuild.workplace import Workplace

    with closing(Workplace.on(host_for())) as workplace:
        tools = workplace.tools(Report(lambda _: None), "export")
        found = find(image, tools, workplace.store, insecure=insecure)
        place = (output or Path(_name(found.reference, kind))).absolute()
        typer.echo(write(found, kind.value, place, tools, workplace.store))


def _name(reference: str, kind: Kind) -> str:
    plain = re.sub(r"[^\w.-]+", "-", reference.rpartition("/")[2])
    return f"{plain}.tar" if kind in {Kind.OCI_ARCHIVE, Kind.DOCKER_ARCHIVE} else plain
