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
    typer.Option(metavar="MODE", help="Namespaces: root, subuid, single or none; else the best that works."),
]
RootOption = Annotated[
    str | None,
    typer.Option(metavar="DIR", help="Keep images and temporary files of builds there; else where it fits."),
]
StorageDriverOption = Annotated[
    str | None,
    typer.Option(metavar="DRIVER", help="Stack layers by overlay, fuse or vfs; else the best that works."),
]
RunnerOption = Annotated[
    str | None,
    typer.Option(metavar="RUNNER", help="Run steps by `buildah` run; else by our `own` runner."),
]
InsecureOption = Annotated[bool, typer.Option("--insecure", help="Let the registry do without verified TLS.")]


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
