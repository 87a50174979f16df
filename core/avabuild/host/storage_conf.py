"""The user's own image storage: where podman and buildah keep images, by what configures them.

Source: containers-storage.conf(5) and the code of containers/storage 1.43 (buildah 1.28), types/options.go:
ordinary users are read $XDG_CONFIG_HOME/containers/storage.conf, and neither CONTAINERS_STORAGE_CONF nor what a
system-wide file says of roots; root's file may be named, and STORAGE_DRIVER and STORAGE_OPTS add to it.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

_SYSTEM = (Path("/etc/containers/storage.conf"), Path("/usr/share/containers/storage.conf"))
_MOUNT_PROGRAM = "mount_program"


class Configured(NamedTuple):
    """What is configured: roots, a driver's name or nothing, and what mounts overlays or None."""

    root: Path
    run: Path | None
    driver: str = ""
    mount_program: Path | None = None


def configuration_files(environ: Mapping[str, str], uid: int) -> tuple[Path, ...]:
    """Return the files that may configure the user's storage, of which the first that exists counts."""
    if uid == 0:
        named = environ.get("CONTAINERS_STORAGE_CONF")
        return (Path(named),) if named else _SYSTEM
    return (_config_home(environ) / "containers" / "storage.conf",)


def configured(environ: Mapping[str, str], uid: int) -> Configured:
    """Return where the user's images are; defaults where nothing is said, or nothing that can be read."""
    said = next(filter(None, map(_read, configuration_files(environ, uid))), {})
    root, run = (_path(said.get(name), environ, uid) for name in ("graphroot", "runroot"))
    driver, program = str(said.get("driver") or ""), _program(said.get("options"))
    if uid == 0:
        driver = environ.get("STORAGE_DRIVER") or driver
        program = _from_options(environ.get("STORAGE_OPTS", "")) or program
        return Configured(
            root or Path("/var/lib/containers/storage"), run or Path("/run/containers/storage"), driver, program
        )
    driver = environ.get("STORAGE_DRIVER") or driver
    return Configured(root or _data_home(environ) / "containers" / "storage", run or _run(environ, uid), driver, program)


def _read(path: Path) -> dict[str, Any]:
    with suppress(OSError, ValueError):
        found = tomllib.loads(path.read_text("utf-8")).get("storage")
        return found if isinstance(found, dict) else {}
    return {}


def _path(said: object, environ: Mapping[str, str], uid: int) -> Path | None:
    """Return a path of the configuration, its $HOME, $UID and $USER replaced."""
    if not said or not isinstance(said, str):
        return None
    known = {**environ, "HOME": str(_home(environ)), "UID": str(uid)}
    text = re.sub(r"\$\{?(\w+)\}?", lambda found: known.get(found[1], ""), said)
    path = Path(text).expanduser()
    return path if path.is_absolute() else None


def _program(options: object) -> Path | None:
    """Return what `[storage.options.overlay]`, or the older `[storage.options]`, has to mount overlays."""
    tables = [options.get("overlay"), options] if isinstance(options, dict) else []
    named = [table.get(_MOUNT_PROGRAM) for table in tables if isinstance(table, dict)]
    return next((Path(name) for name in named if name and isinstance(name, str)), None)


def _from_options(text: str) -> Path | None:
    found = re.search(rf"(?:^|,)(?:overlay2?\.)?{_MOUNT_PROGRAM}=([^,]+)", text)
    return Path(found[1]) if found else None


def _run(environ: Mapping[str, str], uid: int) -> Path | None:
    """Return the run root beside a session's directory, or None where there is no such session."""
    top = Path(environ.get("XDG_RUNTIME_DIR") or f"/run/user/{uid}")
    with suppress(OSError):
        if top.stat().st_uid == uid and os.access(top, os.W_OK):
            return top / "containers"
    return None


def _home(environ: Mapping[str, str]) -> Path:
    return Path(environ.get("HOME") or "~").expanduser()


def _config_home(environ: Mapping[str, str]) -> Path:
    named = environ.get("XDG_CONFIG_HOME")
    return Path(named) if named else _home(environ) / ".config"


def _data_home(environ: Mapping[str, str]) -> Path:
    named = environ.get("XDG_DATA_HOME")
    return Path(named) if named else _home(environ) / ".local" / "share"
