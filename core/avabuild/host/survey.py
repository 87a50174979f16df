"""Surveying: the means of this host, from findings that are kept until the machine or the user changes."""

from __future__ import annotations

import errno
import json
import os
import platform
import stat
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from avabuild.common.errors import HostError
from avabuild.common.value import digest_of
from avabuild.host.choose import choose
from avabuild.host.findings import Directory, Findings
from avabuild.host.host import Host
from avabuild.host.look import TOOLS, find_tool, look, measure, storage_trouble
from avabuild.host.means import Means
from avabuild.host.places import prepare, trouble
from avabuild.host.storage_conf import Configured, configuration_files, configured

FORMAT = 1
_VARIABLES = (
    "HOME",
    "PATH",
    "XDG_DATA_HOME",
    "XDG_CONFIG_HOME",
    "XDG_RUNTIME_DIR",
    "SLURM_TMPDIR",
    "LOCAL_SCRATCH",
    "CONTAINERS_STORAGE_CONF",
    "STORAGE_DRIVER",
    "STORAGE_OPTS",
)
_FILES = (
    "/etc/subuid",
    "/etc/subgid",
    "/dev/fuse",
)
_KERNEL = (
    "sys/kernel/random/boot_id",
    "sys/user/max_user_namespaces",
    "sys/kernel/unprivileged_userns_clone",
    "sys/kernel/apparmor_restrict_unprivileged_userns",
)
_NAMESPACES = ("user", "mnt")
_STATUS = ("Cap", "Groups:", "NoNewPrivs:", "Seccomp:")
"""What of this process decides what the kernel lets it do: a job may have less than the shell before it."""
_PLAIN = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_OTHERS_WRITE = 0o022
_KEPT = 16
"""How many states of things are remembered."""


def means_of(host: Host, environ: Mapping[str, str]) -> Means:
    """Return how builds are done here, with the directory of its place made.

    Raises:
        HostError: nothing can be built, or a setting can't work here.
    """
    means = choose(survey(host, environ), host.settings)
    if why := prepare(means.place, host.uid):
        raise HostError(f"{means.place} {why}", hint="name a directory that is yours with AVABUILD_ROOT=DIR")
    return means


def survey(host: Host, environ: Mapping[str, str], *, anew: bool = False) -> Findings:
    """Return the findings: those that are kept, when they are of this very state of things, or new ones."""
    kept = host.cache / "host" / f"{_state(host, environ)}.json"
    if not anew:
        with suppress(OSError, ValueError):
            found = _as_of_now(Findings.model_validate_json(_own_text(kept, host.uid)), environ)
            if found:
                return found
    found = look(environ, host.settings)
    _keep(kept, found)
    return found


def _state(host: Host, environ: Mapping[str, str]) -> str:
    """A digest of what the findings depend on: another boot, user, namespace, variable, file or program."""
    tools = (find_tool(tool, environ) or tool for tool in TOOLS)
    files = [*_FILES, *tools, *map(str, configuration_files(environ, host.uid))]
    state = {
        "format": FORMAT,
        "user": [host.uid, os.getegid(), platform.node()],
        "settings": host.settings.model_dump_json(),
        "variables": {name: environ.get(name, "") for name in _VARIABLES},
        "files": {name: _status(name) for name in files},
        "kernel": [_text(name) for name in _KERNEL],
        "process": [line for line in _text("self/status").splitlines() if line.startswith(_STATUS)],
        "namespaces": [_link(f"/proc/self/ns/{name}") for name in _NAMESPACES],
    }
    return digest_of(state).removeprefix("sha256:")[:32]


def _as_of_now(found: Findings, environ: Mapping[str, str]) -> Findings | None:
    """Return the findings with the free space of now, or None when a directory is not what it was."""
    if not _still_own(found, environ):
        return None
    if any(one.trouble != trouble(one.path, found.uid) for one in found.directories):
        return None
    then = [*found.directories, *([found.own.directory] if found.own else [])]
    now = [_measured(one) for one in then]
    if [one.mount for one in now] != [one.mount for one in then]:
        return None
    own = found.own.model_copy(update={"directory": now.pop()}) if found.own else None
    return found.model_copy(update={"directories": tuple(now), "own": own})


def _still_own(found: Findings, environ: Mapping[str, str]) -> bool:
    """Whether the user's own storage is where and what it was; a session may have ended."""
    if found.own is None:
        return False
    own, now = found.own, configured(environ, found.uid)
    then = Configured(own.directory.path, own.run, own.driver, own.mount_program)
    return then == now and own.directory.trouble == storage_trouble(now.root)


def _measured(directory: Directory) -> Directory:
    return directory if directory.trouble else directory.model_copy(update=measure(directory.path))


def _own_text(path: Path, uid: int) -> str:
    """Return what a file says that this user alone can have written: it names programs that will be run.

    Raises:
        PermissionError: it is another's, or others may write it: a group may share the cache.
    """
    with os.fdopen(os.open(path, _PLAIN), encoding="utf-8") as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode) or status.st_uid != uid or status.st_mode & _OTHERS_WRITE:
            raise PermissionError(errno.EPERM, "others can have written it", str(path))
        return file.read()


def _keep(path: Path, found: Findings) -> None:
    """Write the findings for the next run, where that is possible."""
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, partial = tempfile.mkstemp(dir=path.parent)  # made 0600, and follows no link
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(json.dumps(found.model_dump(mode="json")))
            Path(partial).replace(path)
        finally:
            Path(partial).unlink(missing_ok=True)
        _forget(path.parent, found.uid)


def _forget(directory: Path, uid: int) -> None:
    """Remove the user's findings but the newest: each boot, job and namespace has some of its own."""
    status = [(path.lstat(), path) for path in directory.iterdir()]
    own = [(one.st_mtime_ns, path) for one, path in status if one.st_uid == uid]
    for _, path in sorted(own)[:-_KEPT]:
        path.unlink(missing_ok=True)


def _status(name: str) -> list[int]:
    with suppress(OSError):
        status = Path(name).stat()
        return [status.st_size, status.st_mtime_ns, status.st_mode, status.st_uid, status.st_gid]
    return []


def _text(name: str) -> str:
    with suppress(OSError):
        return (Path("/proc") / name).read_text()
    return ""


def _link(name: str) -> str:
    with suppress(OSError):
        return os.readlink(name)  # noqa: PTH115 - it names no file
    return ""
