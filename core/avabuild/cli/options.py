"""The host as the command line, the environment and config.toml have it, and the options that say so."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from avabuild.host.host import Host

ModeOption = Annotated[
    str | None,
    typer.Option(
        metavar="MODE", help="Namespace mode: root, subuid, single or none (default: the best that works)."
    ),
]
RootOption = Annotated[
    str | None,
    typer.Option(
        metavar="DIR", help="Directory for images and temporary files (default: chosen by free space)."
    ),
]
StorageDriverOption = Annotated[
    str | None,
    typer.Option(
        metavar="DRIVER", help="Storage driver: overlay, fuse or vfs (default: the best that works)."
    ),
]
RunnerOption = Annotated[
    str | None,
    typer.Option(
        metavar="RUNNER", help="Run steps with `buildah` run (default: with avabuild's `own` runner)."
    ),
]
InsecureOption = Annotated[bool, typer.Option("--insecure", help="Allow a registry without verified TLS.")]


def flags_of(
    mode: str | None, root: str | None, storage_driver: str | None, runner: str | None
) -> dict[str, str | None]:
    """Return what the flags say, by setting."""
    return {"mode": mode, "root": root, "storage_driver": storage_driver, "runner": runner}


def host_for(flags: Mapping[str, str | None] | None = None) -> Host:
    """Return this host, with the user's settings: of flags, the environment and config.toml.

    Raises:
        SettingsError: one of them can't be.
    """
    from avabuild.host.host import probe
    from avabuild.run.config import load_settings

    return probe(os.environ, load_settings(os.environ, flags))
