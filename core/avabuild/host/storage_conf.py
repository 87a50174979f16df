"""The user's own image storage: where podman and buildah keep images, by what configures them.

Source: containers-storage.conf(5), and types/options.go of containers/storage 1.43 (buildah 1.28). Root's
file may be named by CONTAINERS_STORAGE_CONF, which ordinary users' programs don't heed; theirs is in the XDG
config directory, and the system's gives them a place and a driver where they have none.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from avabuild.host.places import home

_SYSTEM = (Path("/etc/containers/storage.conf"), Path("/usr/share/containers/storage.conf"))
_FOR_USERS = {"overlay", "overlay2", "vfs", "btrfs"}  # drivers of the system's file that count for users


class Configured(NamedTuple):
    """What is configured: roots, a driver's name or nothing, and what mounts overlays or None."""

    root: Path
    run: Path | None
    driver: str = ""
    mount_program: Path | None = None


def configuration_files(environ: Mapping[str, str], uid: int) -> tuple[Path, ...]:
    """Return the files that may configure the user's storage."""
    if uid == 0:
        named = environ.get("CONTAINERS_STORAGE_CONF")
        return (Path(named),) if named else _SYSTEM
    return (_xdg(environ, "XDG_CONFIG_HOME", ".config") / "containers" / "storage.conf", *_SYSTEM)


def configured(environ: Mapping[str, str], uid: int) -> Configured:
    """Return where the user's images are; defaults where nothing is said, or nothing that can be read."""
    files = configuration_files(environ, uid)
    own = files[0] if uid else next((path for path in files if path.exists()), None)
    said = _read(own) if own and own.exists() else {}
    system = _read(next((path for path in _SYSTEM if path.exists()), None)) if uid else {}
    lines = [said.get("graphroot"), said.get("rootless_storage_path"), system.get("rootless_storage_path")]
    root = next((path for line in lines[: 3 if uid else 1] if (path := _path(line, environ, uid))), None)
    default = (
        _xdg(environ, "XDG_DATA_HOME", ".local/share") / "containers" / "storage"
        if uid
        else Path("/var/lib/containers/storage")
    )
    driver = str(environ.get("STORAGE_DRIVER") or said.get("driver") or "")
    if not driver and not said and system.get("driver") in _FOR_USERS:
        driver = str(system["driver"])
    return Configured(
        root or default,
        _path(said.get("runroot"), environ, uid)
        or (_session(environ, uid) if uid else Path("/run/containers/storage")),
        "overlay" if driver == "overlay2" else driver,
        _of_options(environ.get("STORAGE_OPTS", "")) or _of_tables(said.get("options")),
    )


def _read(path: Path | None) -> dict[str, Any]:
    with suppress(OSError, ValueError):
        found = tomllib.loads(path.read_text("utf-8")).get("storage") if path else None
        return found if isinstance(found, dict) else {}
    return {}


def _path(said: object, environ: Mapping[str, str], uid: int) -> Path | None:
    """Return a path of a configuration, its variables replaced."""
    if not said or not isinstance(said, str):
        return None
    known = {**environ, "HOME": str(home(environ)), "UID": str(uid)}
    text = re.sub(r"\$\{?(\w+)\}?", lambda found: known.get(found[1], ""), said)
    path = Path(text).expanduser()
    return path if path.is_absolute() else None


def _of_tables(options: object) -> Path | None:
    """Return what `[storage.options.overlay]`, or the older `[storage.options]`, has to mount overlays."""
    tables = [options.get("overlay"), options] if isinstance(options, dict) else []
    named = [table.get("mount_program") for table in tables if isinstance(table, dict)]
    return next((Path(name) for name in named if name and isinstance(name, str)), None)


def _of_options(text: str) -> Path | None:
    """Return what STORAGE_OPTS has: `overlay.mount_program=/usr/bin/fuse-overlayfs,...`."""
    found = re.search(r"(?:^|,)(?:overlay2?\.)?mount_program=([^,]+)", text)
    return Path(found[1]) if found else None


def _session(environ: Mapping[str, str], uid: int) -> Path | None:
    """Return the run root of a user's session, or None where there is no such session."""
    top = Path(environ.get("XDG_RUNTIME_DIR") or f"/run/user/{uid}")
    with suppress(OSError):
        if top.stat().st_uid == uid and os.access(top, os.W_OK):
            return top / "containers"
    return None


def _xdg(environ: Mapping[str, str], variable: str, default: str) -> Path:
    named = environ.get(variable)
    return Path(named) if named else home(environ) / default
