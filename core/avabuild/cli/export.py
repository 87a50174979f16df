"""`avabuild export`: an image as an archive, or as what other tools build it from."""

from __future__ import annotations

import re
from contextlib import closing
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from avabuild.cli.inspect import IMAGE
from avabuild.cli.options import InsecureOption, RootOption
from avabuild.cli.shown import echo


class Kind(StrEnum):
    """What an image is exported as."""

    CONTAINERFILE = "containerfile"
    OCI_ARCHIVE = "oci-archive"
    DOCKER_ARCHIVE = "docker-archive"
    DEF = "def"
    OCI = "oci"


_TEXTS = {Kind.CONTAINERFILE, Kind.DEF}


def export(
    image: IMAGE,
    kind: Annotated[
        Kind | None,
        typer.Option(
            "--format",
            "-f",
            help="What to write (default: a containerfile); def is a definition for Apptainer.",
        ),
    ] = None,
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            metavar="PATH",
            help="A new directory, or the archive's file; else NAME-TAG. Or as of recipe: oci:DIR, "
            "oci-archive:FILE, docker-archive:FILE.",
        ),
    ] = None,
    insecure: InsecureOption = False,
    root: RootOption = None,
) -> None:
    """Write an image as an archive, or as a Containerfile or definition with the versions of its lock.

    Example: avabuild export ava-keras:py311-cpu --format containerfile -o keras/
    """
    from avabuild.cli.options import host_for
    from avabuild.images.export.export import export as write
    from avabuild.images.find import find
    from avabuild.run.run import Workplace
    from avabuild.tools.events import Report

    chosen, path = _chosen(kind, output)
    with closing(Workplace.on(host_for({"root": root}))) as workplace:
        tools = workplace.tools(Report(lambda _: None), "export")
        found = find(image, tools, workplace.store, insecure=insecure)
        place = (path or Path(_name(found.reference, chosen))).absolute()
        echo(write(found, chosen.value, place, tools, workplace.store))


def _chosen(kind: Kind | None, output: str | None) -> tuple[Kind, Path | None]:
    """Return what to write, and where, of options that may both say it."""
    prefix, colon, rest = (output or "").partition(":")
    named = next((one for one in Kind if one.value == prefix and one not in _TEXTS), None) if colon else None
    if named and (not rest or ":" in rest):
        raise typer.BadParameter(f'"{output}" is no output; write {prefix}:PATH', param_hint="--output")
    if named and kind not in {None, named}:
        raise typer.BadParameter(f'"{output}" is no {kind}; give one of both', param_hint="--format")
    path = Path(rest) if named else Path(output) if output else None
    return named or kind or Kind.CONTAINERFILE, path


def _name(reference: str, kind: Kind) -> str:
    plain = re.sub(r"[^\w.-]+", "-", reference.rpartition("/")[2])
    return f"{plain}.tar" if kind in {Kind.OCI_ARCHIVE, Kind.DOCKER_ARCHIVE} else plain
