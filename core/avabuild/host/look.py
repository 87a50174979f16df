"""Looking: the findings of this machine, from a few files, the versions of tools and the trials.

The trials run beside the versions, so that all of it takes as long as the slower of them.
"""

from __future__ import annotations

import json
import os
import re
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from avabuild.common.errors import HostError
from avabuild.host import trial_worker
from avabuild.host.findings import Directory, Findings, Kind, OwnStorage, Tool, Trial
from avabuild.host.means import FEEDER
from avabuild.host.places import Candidate, candidates, existing, name, trouble
from avabuild.host.settings import Settings
from avabuild.host.storage_conf import Configured, configured
from avabuild.host.subids import arguments, free_range

PATIENCE = 20  # seconds: a network's file system may hang
_KINDS: tuple[Kind, ...] = ("root", "subuid", "single")
TOOLS = (
    "buildah", FEEDER, "skopeo", "mmdebstrap", "fuse-overlayfs", "newuidmap", "newgidmap", "crun", "runc",
)  # fmt: skip
_ASKED = ("buildah", "skopeo")  # which start quickly enough to be asked for their versions
_KERNEL = (
    "user/max_user_namespaces",
    "kernel/unprivileged_userns_clone",
    "kernel/apparmor_restrict_unprivileged_userns",
)
_NOT_ROOT = Trial(works=False, why="the user is not root")
_NO_NEED = Trial(works=False, why="was not tried: our own namespace works")


def look(environ: Mapping[str, str], settings: Settings) -> Findings:
    """Try and read everything that the choice depends on, and what `avabuild doctor` tells besides."""
    uid = os.geteuid()
    user, tools = name(uid), {tool: Path(path) for tool in TOOLS if (path := find_tool(tool, environ))}
    versions = {tool: _start([str(tools[tool]), "--version"], environ) for tool in _ASKED if tool in tools}
    own = configured(environ, uid)
    wanted = _candidates(environ, settings, uid)
    usable = [one.path for one in wanted if not trouble(one.path, uid)]
    tried = [*usable, *([own.root] if storage_trouble(own.root) == "" else [])]
    fuse = _open_fuse()
    found = _trials(environ, tried, uid, user, tools, fuse, settings)
    said = {tool: _version(process.communicate()[0]) for tool, process in versions.items()}
    if "mmdebstrap" in tools:
        said["mmdebstrap"] = _version(tools["mmdebstrap"].read_bytes()[:8192].decode(errors="replace"))
    mounts = _mounts()
    return Findings(
        uid=uid,
        user=user,
        root=_trial(found, "root") if uid == 0 else _NOT_ROOT,
        **_modes(found),
        proc=any(found.get(key, {}).get("proc", False) for key in ("single", "entry")),
        fuse=fuse,
        cgroup=_cgroup(),
        tools=tuple(Tool(name=tool, path=path, version=said.get(tool, "")) for tool, path in tools.items()),
        own=_own(own, found, mounts),
        directories=tuple(_directory(one, trouble(one.path, uid), found, mounts) for one in wanted),
        kernel=tuple(_kernel()),
        free_ids=free_range(),
        limits=(resource.getrlimit(resource.RLIMIT_NOFILE)[0], resource.getrlimit(resource.RLIMIT_NPROC)[0]),
        session=_session(environ, uid),
    )


def _candidates(environ: Mapping[str, str], settings: Settings, uid: int) -> tuple[Candidate, ...]:
    if settings.root:
        return (Candidate(settings.root, settings.origin("root")),)
    return candidates(environ, uid)


def _trials(
    environ: Mapping[str, str],
    tried: list[Path],
    uid: int,
    user: str,
    tools: Mapping[str, Path],
    fuse: Trial,
    settings: Settings,
) -> dict[str, Any]:
    """Run the worker; return what it found by mode, or the reason that it never came to try."""
    ranges, why = arguments(uid, user)
    program = tools.get("fuse-overlayfs") if fuse.works else None
    asked: dict[str, Any] = {
        "directories": sorted({str(existing(path)) for path in tried}),
        "ranges": ranges,
        "fuse": {"program": str(program), "always": settings.storage_driver == "fuse"} if program else None,
        "entry": [str(tools["buildah"]), "unshare"] if "buildah" in tools else [],
    }
    argv = [sys.executable, "-I", "-S", trial_worker.__file__, json.dumps(asked)]
    try:
        done = subprocess.run(
            argv, capture_output=True, text=True, check=False, timeout=PATIENCE, env=dict(environ)
        )
    except subprocess.TimeoutExpired:
        raise HostError(
            f"trying {', '.join(asked['directories'])} did not end in {PATIENCE} s",
            hint="one of them may be on a network that does not answer: name another with AVABUILD_ROOT=DIR",
        ) from None
    found = dict(json.loads(done.stdout)) if done.returncode == 0 else {}
    if not found:
        raise HostError(f"the trials failed: {done.stderr.strip()[-400:]}", hint="please report it")
    if not ranges:
        found["subuid"] = {"error": why}
    return found


def _modes(found: Mapping[str, Any]) -> dict[str, Trial]:
    """Return the trials of users' namespaces; where ours are refused, what `buildah unshare` gives counts."""
    entry = found.get("entry", {})
    if "directories" not in entry:
        why = str(entry.get("error") or _NO_NEED.why)
        failed = found.get("single", {}).get("error")
        without = found.get("subuid") or {"error": failed}
        return {
            "subuid": _trial({"subuid": without}, "subuid"),
            "single": _trial(found, "single"),
            "entry": Trial(works=False, why=why),
        }
    single = _trial(found, "single")
    missing = Trial(
        works=False, why=f"buildah unshare maps {'several ids' if entry['several'] else 'one id'}"
    )
    given, other = ("subuid", "single") if entry["several"] else ("single", "subuid")
    return {given: Trial(works=True, why=single.why), other: missing, "entry": Trial(works=True)}


def _trial(found: Mapping[str, Any], mode: str) -> Trial:
    said = found.get(mode) or {"error": "was not tried"}
    return Trial(
        works="directories" in said, why=str(said.get("error", "")), error=str(said.get("errno", ""))
    )


def _directory(one: Candidate, why: str, found: Mapping[str, Any], mounts: Mapping[str, str]) -> Directory:
    if why:
        return Directory(path=one.path, origin=one.origin, trouble=why)
    there = existing(one.path)
    try:
        measured = measure(there)
    except OSError as error:
        return Directory(path=one.path, origin=one.origin, trouble=str(error.strerror).lower())
    seen = _by_mode(found)
    said = {mode: seen[mode].get(str(there), {}) for mode in _KINDS if mode in seen}
    able = {
        ability: tuple(mode for mode, trial in said.items() if trial.get(ability))
        for ability in ("overlay", "fuse", "chown", "xattr")
    }
    return Directory(
        path=one.path,
        origin=one.origin,
        filesystem=_filesystem(there, mounts),
        overlay=able["overlay"],
        fuse=able["fuse"],
        chown=able["chown"],
        xattr=bool(able["xattr"]),
        noexec=bool(measured["mount"][1] & os.ST_NOEXEC),
        **measured,
    )


def measure(path: Path) -> dict[str, Any]:
    """Return what may change of the directory, or the nearest above it that exists: free space, its mount."""
    there = existing(path)
    status = os.statvfs(there)
    return {"free": status.f_bavail * status.f_frsize, "mount": (there.stat().st_dev, status.f_flag)}


def _by_mode(found: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    entry = found.get("entry", {})
    seen: dict[str, dict[str, Any]] = {mode: found.get(mode, {}).get("directories", {}) for mode in _KINDS}
    if "directories" in entry:
        seen["subuid" if entry["several"] else "single"] = entry["directories"]
    return seen


def _own(own: Configured, found: Mapping[str, Any], mounts: Mapping[str, str]) -> OwnStorage:
    candidate = Candidate(own.root, "the user's own image storage")
    directory = _directory(candidate, storage_trouble(own.root), found, mounts)
    return OwnStorage(directory=directory, run=own.run, driver=own.driver, mount_program=own.mount_program)


def storage_trouble(root: Path) -> str:
    """Say why images can't be kept at `root`; it may be shared with whom its owner likes."""
    there = existing(root)
    return "" if there.is_dir() and os.access(there, os.W_OK | os.X_OK) else f"{there} can't be written"


# -- files and tools -----------------------------------------------------------------------------------------


def find_tool(name: str, environ: Mapping[str, str]) -> str | None:
    """Return the program on PATH, or where distributions keep what ordinary users' PATH leaves out."""
    return shutil.which(name, path=environ.get("PATH")) or shutil.which(name, path="/usr/sbin:/sbin")


def _start(argv: list[str], environ: Mapping[str, str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=dict(environ)
    )


def _version(text: str) -> str:
    found = re.search(r"(?:version |VERSION = ')v?(\d[\w.~+-]*)", text)
    return found[1] if found else ""


def _session(environ: Mapping[str, str], uid: int) -> bool | None:
    named = environ.get("XDG_RUNTIME_DIR")
    return None if not named else not trouble(Path(named), uid) and Path(named).is_dir()


def _open_fuse() -> Trial:
    try:
        os.close(os.open("/dev/fuse", os.O_RDWR))
    except OSError as error:
        return Trial(works=False, why=f"/dev/fuse: {(error.strerror or str(error)).lower()}")
    return Trial(works=True)


def _cgroup() -> str:
    """Name the control groups: v2, v1, hybrid, or nothing. Source: cgroups(7)."""
    top = Path("/sys/fs/cgroup")
    if (top / "cgroup.controllers").exists():
        return "v2"
    if (top / "unified").exists():
        return "hybrid"
    return "v1" if top.is_dir() and any(top.iterdir()) else ""


def _kernel() -> Iterator[tuple[str, str]]:
    for setting in _KERNEL:
        with suppress(OSError):
            yield setting.replace("/", "."), (Path("/proc/sys") / setting).read_text().strip()


def _mounts() -> dict[str, str]:
    """Return mount point -> kind of file system, as proc(5) has them in mountinfo."""
    found = {}
    with suppress(OSError):
        for line in Path("/proc/self/mountinfo").read_text().splitlines():
            fields, _, rest = line.partition(" - ")
            found[fields.split()[4].replace("\\040", " ")] = rest.split()[0]
    return found


def _filesystem(path: Path, mounts: Mapping[str, str]) -> str:
    real = path.resolve()
    return next((mounts[str(one)] for one in (real, *real.parents) if str(one) in mounts), "")
