"""Trials: a program that tries what the kernel lets this user do, and prints what it found as JSON.

It is run by its path and imports the standard library alone: an interpreter starts in 15 ms this way, and its
forks are cheap and have one thread. Each namespace that may be had is opened in a child, where every
directory is tried; the child's mounts are gone with it.

    python -I -S trial_worker.py '{"directories": [...], "ranges": {...}, "fuse": null, "entry": []}'

Source: user_namespaces(7), mount(2), Linux's Documentation/filesystems/overlayfs.rst, newuidmap(1).
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

_NEWNS, _NEWUSER, _NEWPID = 0x0002_0000, 0x1000_0000, 0x2000_0000
_PRIVATE, _REC, _DETACH = 1 << 18, 0x4000, 2
_NOSUID, _NODEV, _NOEXEC = 2, 4, 8
_PR_SET_PDEATHSIG = 1
_SEVERAL = 2  # ids in a map, from which on there are others than one's own
_STARTS, _NOT_STARTED = 3, "sealing memfd copy"  # as in `tools.process`, which this file may not import
_libc = ctypes.CDLL(None, use_errno=True)
_libc.mount.argtypes = (*[ctypes.c_char_p] * 3, ctypes.c_ulong, ctypes.c_char_p)

Found = dict[str, Any]
Fuse = Mapping[str, Any] | None  # `program`, and whether it is tried `always` or where the kernel refuses


def main(asked: Mapping[str, Any]) -> Found:
    """Try everything; `asked` is described above, `ranges` being the arguments of newuidmap and newgidmap."""
    if asked.get("inside"):
        return _inside(asked["directories"], asked["fuse"])
    with _scratch(asked["directories"]) as scratch:
        found = {"single": _in_child(lambda: _single(scratch, asked["fuse"]))}
        if os.geteuid() == 0:
            found["root"] = _in_child(lambda: _as_root(scratch, asked["fuse"]))
        if asked["ranges"] and not found["single"].get("error"):
            found["subuid"] = _ranged(scratch, asked["ranges"], asked["fuse"])
        if asked["entry"] and found["single"].get("error"):
            found["entry"] = _through(asked, scratch)
    return found


# -- directories to try in -----------------------------------------------------------------------------------


@contextmanager
def _scratch(directories: list[str]) -> Iterator[dict[str, str]]:
    """Make a directory of ours in each, one for all that are on the same mount; yield directory -> ours."""
    made: dict[object, str] = {}
    scratch: dict[str, str] = {}
    try:
        for directory in directories:
            with suppress(OSError):
                mount = (Path(directory).stat().st_dev, os.statvfs(directory).f_flag)
                if mount not in made:
                    made[mount] = tempfile.mkdtemp(prefix=".avabuild-trial-", dir=directory)
                scratch[directory] = made[mount]
        yield scratch
    finally:
        for path in made.values():
            shutil.rmtree(path, ignore_errors=True)


def _try_all(scratch: Mapping[str, str], fuse: Fuse, *, others: bool, user: bool) -> Found:
    """Try each directory; `others`: whether ids besides our own are mapped, `user`: in a user namespace."""
    made = {
        ours: _try(Path(ours), fuse, others=others, user=user) for ours in dict.fromkeys(scratch.values())
    }
    return {directory: made[ours] for directory, ours in scratch.items()}


def _try(place: Path, fuse: Fuse, *, others: bool, user: bool) -> Found:
    found = {"chown": others and _works(lambda: _give_away(place)), "xattr": _works(lambda: _mark(place))}
    found["overlay"] = _works(lambda: _overlay(place, None, user=user))
    program = fuse["program"] if fuse and (fuse["always"] or not found["overlay"]) else None
    found["fuse"] = bool(program) and _works(lambda: _overlay(place, program, user=user))
    return found


def _works(act: Callable[[], None]) -> bool:
    try:
        act()
    except OSError:
        return False
    return True


def _give_away(place: Path) -> None:
    file = place / "given"
    try:
        file.touch()
        os.chown(file, 1, 1)
    finally:
        file.unlink(missing_ok=True)


def _mark(place: Path) -> None:
    os.setxattr(place, "user.avabuild", b"1")


def _overlay(place: Path, program: str | None, *, user: bool) -> None:
    """Mount an overlay, by the kernel or `program`, and leave whiteouts and opaque directories in it."""
    own = Path(tempfile.mkdtemp(dir=place))
    try:
        lower, upper, work, merged = (own / name for name in ("lower", "upper", "work", "merged"))
        for directory in (lower / "tree", upper, work, merged):
            directory.mkdir(parents=True)
        for file in (lower / "file", lower / "tree" / "leaf"):
            file.touch()
        options = f"lowerdir={lower},upperdir={upper},workdir={work}"
        if program is None:
            _mount_overlay(merged, options + (",userxattr" if user else ""))
        else:
            _run([program, "-o", options, str(merged)])
        try:
            (merged / "file").unlink()
            shutil.rmtree(merged / "tree")
            (merged / "tree").mkdir()
            (merged / "new").write_text("new")
        finally:
            _libc.umount2(os.fsencode(merged), _DETACH)
    finally:
        for hidden in own.glob("work/*"):
            hidden.chmod(0o700)
        shutil.rmtree(own, ignore_errors=True)


def _mount_overlay(target: Path, options: str) -> None:
    """Mount it so that its end does not wait until the whole disk is written; kernels before 5.10 can't."""
    try:
        _mount("overlay", target, "overlay", 0, f"{options},volatile")
    except OSError:
        _mount("overlay", target, "overlay", 0, options)


# -- namespaces ----------------------------------------------------------------------------------------------


def _single(scratch: Mapping[str, str], fuse: Fuse) -> Found:
    uid, gid = os.geteuid(), os.getegid()
    _unshare(_NEWUSER | _NEWNS)
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"0 {uid} 1")
    Path("/proc/self/gid_map").write_text(f"0 {gid} 1")
    found = {"directories": _try_all(scratch, fuse, others=False, user=True)}
    place = next(iter(scratch.values()), None)
    return {**found, "proc": bool(place) and _mounts_proc(str(place))}


def _as_root(scratch: Mapping[str, str], fuse: Fuse) -> Found:
    _unshare(_NEWNS)
    _mount("none", Path("/"), None, _REC | _PRIVATE)
    return {"directories": _try_all(scratch, fuse, others=True, user=False)}


def _ranged(scratch: Mapping[str, str], ranges: Mapping[str, list[str]], fuse: Fuse) -> Found:
    """Open a namespace whose ids newuidmap and newgidmap map from outside."""
    opened, mapped = os.pipe(), os.pipe()

    def inside() -> Found:
        os.close(mapped[1])
        _unshare(_NEWUSER | _NEWNS)
        os.write(opened[1], b"x")
        if os.read(mapped[0], 1) != b"x":
            return {}
        os.setresgid(0, 0, 0)
        os.setresuid(0, 0, 0)
        return {"directories": _try_all(scratch, fuse, others=True, user=True)}

    def outside(child: int) -> str:
        os.close(opened[1])
        if not os.read(opened[0], 1):
            return ""
        for program, arguments in ranges.items():
            try:
                _run([program, str(child), *arguments])
            except OSError as error:
                return str(error.strerror)
        os.write(mapped[1], b"x")
        return ""

    return _in_child(inside, outside)


def _through(asked: Mapping[str, Any], scratch: Mapping[str, str]) -> Found:
    """Run this program by the one that opens a namespace where we may not, as `buildah unshare` does."""
    inner = json.dumps({"inside": True, "directories": dict(scratch), "fuse": asked["fuse"]})
    argv = [*asked["entry"], sys.executable, "-I", "-S", __file__, inner]
    for _ in range(_STARTS):
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        if done.returncode == 0 or _NOT_STARTED not in done.stderr:
            break
    if done.returncode:
        return {"error": (done.stderr.strip().splitlines() or ["it failed"])[-1]}
    return dict(json.loads(done.stdout))


def _inside(scratch: Mapping[str, str], fuse: Fuse) -> Found:
    ids = sum(int(line.split()[2]) for line in Path("/proc/self/uid_map").read_text().splitlines())
    several = ids >= _SEVERAL
    found = {"directories": _try_all(scratch, fuse, others=several, user=True), "several": several}
    return {**found, "proc": _mounts_proc(next(iter(scratch.values()), "/tmp"))}  # noqa: S108 - to mount on


def _mounts_proc(place: str) -> bool:
    """Whether a new /proc may be mounted, in a PID namespace of its own."""
    child = os.fork()
    if child == 0:
        code = 1
        with suppress(OSError):
            _unshare(_NEWPID)
            inner = os.fork()
            if inner == 0:
                os._exit(0 if _works(lambda: _mount_proc(place)) else 1)
            code = os.waitstatus_to_exitcode(os.waitpid(inner, 0)[1])
        os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def _mount_proc(place: str) -> None:
    _mount("proc", Path(place), "proc", _NOSUID | _NODEV | _NOEXEC)


def _in_child(act: Callable[[], Found], meanwhile: Callable[[int], str] = lambda _: "") -> Found:
    """Return what `act` finds in a forked child, or its error; `meanwhile` helps from outside."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            os.close(reader)
            os.write(writer, json.dumps(_told(act)).encode())
            code = 0
        finally:
            os._exit(code)
    os.close(writer)
    trouble = meanwhile(child)
    if trouble:
        os.kill(child, signal.SIGKILL)
    with os.fdopen(reader, "rb") as file:
        said = file.read()
    os.waitpid(child, 0)
    return {"error": trouble} if trouble else json.loads(said or b'{"error": "the trial died"}')


def _told(act: Callable[[], Found]) -> Found:
    try:
        return act()
    except OSError as error:
        name = errno.errorcode.get(error.errno or 0, "")
        return {"error": f"{error.filename or 'unshare'}: {error.strerror}", "errno": name}


# -- calls ---------------------------------------------------------------------------------------------------


def _unshare(flags: int) -> None:
    _checked(_libc.unshare(flags), "unshare")


def _mount(source: str, target: Path, kind: str | None, flags: int, data: str = "") -> None:
    done = _libc.mount(
        source.encode(), os.fsencode(target), kind.encode() if kind else None, flags, os.fsencode(data)
    )
    _checked(done, "mount")


def _checked(result: int, what: str) -> None:
    if result:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), what)


def _run(argv: list[str]) -> None:
    """Run a program; raise OSError with what it said when it fails."""
    try:
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise OSError(errno.ENOENT, f"{argv[0]} is not on PATH") from None
    if done.returncode:
        said = (done.stderr.strip().splitlines() or [f"{argv[0]} failed"])[-1]
        raise OSError(errno.EPERM, said)


if __name__ == "__main__":
    print(json.dumps(main(json.loads(sys.argv[1]))))  # noqa: T201 - what it is for
