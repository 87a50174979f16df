"""Where users and administrators keep what tools are to know of registries: credentials, settings, trust.

Source: containers-auth.json(5), containers-registries.conf(5), containers-registries.conf.d(5) and
containers-certs.d(5).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

_SYSTEM = (Path("/etc/containers"), Path("/etc/docker"))


def auth_files(environ: Mapping[str, str]) -> tuple[Path, ...]:
    """Return the files that may have credentials of this user, the one that a login goes to first.

    `$REGISTRY_AUTH_FILE` alone when it is set; else `$XDG_RUNTIME_DIR/containers/auth.json`, else that of
    `/run/containers/UID`; then the user's configuration, where it outlives a reboot; then docker's own.
    """
    if named := environ.get("REGISTRY_AUTH_FILE"):
        return (Path(named),)
    runtime, docker = environ.get("XDG_RUNTIME_DIR"), environ.get("DOCKER_CONFIG")
    own = Path(f"/run/containers/{os.getuid()}/auth.json")
    first: tuple[Path, ...] = ()
    if runtime and Path(runtime).is_dir():
        first = (Path(runtime) / "containers" / "auth.json",)
    elif os.access(own, os.R_OK):
        first = (own,)
    docker_directory = Path(docker) if docker else _home(environ) / ".docker"
    return (*first, settings_directory(environ) / "auth.json", docker_directory / "config.json")


def settings_directory(environ: Mapping[str, str]) -> Path:
    """Return where the user's own settings of containers are."""
    return Path(environ.get("XDG_CONFIG_HOME") or _home(environ) / ".config") / "containers"


def settings_directories(environ: Mapping[str, str]) -> tuple[Path, ...]:
    """Return all directories of such settings, the user's own first."""
    return (settings_directory(environ), *_SYSTEM)  # docker's has certificates alone


def main_registries_conf(environ: Mapping[str, str]) -> Path | None:
    """Return the one registries.conf that counts, without what is dropped in; None where there is none."""
    named = environ.get("CONTAINERS_REGISTRIES_CONF")
    own = [directory / "registries.conf" for directory in settings_directories(environ)[:2]]
    return next((path for path in ([Path(named)] if named else own) if os.path.isfile(path)), None)  # noqa: PTH113 - no error where a home is closed


def registries_conf(environ: Mapping[str, str]) -> tuple[Path, ...]:
    """Return the registries.conf that counts, the user's before the host's, and then what is dropped in.

    Each of them counts more than those before it.
    """
    directories = settings_directories(environ)
    first = main_registries_conf(environ)
    below = reversed(directories[:2])
    dropped = [path for one in below for path in sorted((one / "registries.conf.d").glob("*.conf"))]
    return (*([first] if first else ()), *dropped)


def _home(environ: Mapping[str, str]) -> Path:
    return Path(environ.get("HOME") or Path.home())
