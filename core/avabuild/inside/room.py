"""Room: the file systems that a step sees around its container's own, and how they are taken away again.

All is done in mount and PID namespaces of the step's own, after the container's root has become ours: a link
in the container can't lead out of it. What had to be made to mount upon is removed at the end, so that no
layer has it.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from contextlib import suppress

from avabuild.inside import kernel
from avabuild.inside.kernel import MS_BIND, MS_NODEV, MS_NOEXEC, MS_NOSUID, MS_RDONLY, MS_REC, MS_REMOUNT

DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
_LINKS = {
    "fd": "/proc/self/fd",
    "stdin": "/proc/self/fd/0",
    "stdout": "/proc/self/fd/1",
    "stderr": "/proc/self/fd/2",
    "ptmx": "pts/ptmx",
}
_READ_ONLY_PROC = ("bus", "fs", "irq", "sys", "sysrq-trigger")
_HIDDEN_PROC = ("kcore", "keys", "latency_stats", "sched_debug", "timer_list")
_FLAGS = (
    (os.ST_NOSUID, MS_NOSUID), (os.ST_NODEV, MS_NODEV), (os.ST_NOEXEC, MS_NOEXEC),
    (0x400, 0x400), (0x800, 0x800), (0x1000, 1 << 21),  # noatime, nodiratime, relatime (statvfs(3), mount(2))
)  # fmt: skip


class Room:
    """What is mounted around a container, in the order in which it is done.

    Making one enters the container: `root` becomes this process's root, the old one its directory.
    """

    def __init__(self, root: str, binds: Sequence[tuple[str, str, bool]]) -> None:
        self._made: list[str] = []  # to mount upon
        self._mounted: list[str] = []
        self._sources: dict[str, int] = {}  # host paths that are to be mounted, held open
        kernel.mount(None, "/", flags=MS_REC | kernel.MS_SLAVE)
        kernel.mount(root, root, flags=MS_BIND | MS_REC)
        wanted = ["/proc", "/sys", "/etc/resolv.conf", *(f"/dev/{name}" for name in DEVICES)]
        for path in (*wanted, *(source for source, _, _ in binds)):
            try:
                self._sources[path] = os.open(path, os.O_PATH | os.O_CLOEXEC)
            except FileNotFoundError:
                if path not in wanted:
                    raise
        self._hosts = _host_names()
        self._binds = binds
        old = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        os.chdir(root)
        kernel.pivot_root()
        os.fchdir(old)  # where the sources are found, until it is let go of
        os.close(old)

    def furnish(self) -> None:
        """Mount everything, then let go of the old root."""
        self._proc()
        self._sys()
        self._dev()
        if "/etc/resolv.conf" in self._sources:
            self._bind("/etc/resolv.conf", "/etc/resolv.conf", writable=False)
        self._names()
        for source, target, writable in self._binds:
            self._bind(source, target, writable=writable)
        kernel.unmount(".")
        os.chdir("/")
        for descriptor in self._sources.values():
            os.close(descriptor)

    def clear(self) -> None:
        """Take everything away that the container did not have."""
        for target in reversed(self._mounted):
            with suppress(OSError):
                kernel.unmount(target)
        for path in reversed(self._made):
            with suppress(OSError):
                os.rmdir(path) if stat.S_ISDIR(os.lstat(path).st_mode) else os.unlink(path)

    def _proc(self) -> None:
        """A proc of the step's own; the host's where the kernel refuses one, since part of it is hidden."""
        target = self._directory("/proc")
        try:
            kernel.mount("proc", target, "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)
        except PermissionError:
            kernel.mount(self._open("/proc"), target, flags=MS_BIND | MS_REC)
        self._mounted.append(target)
        for name in _READ_ONLY_PROC:
            with suppress(OSError):  # not every kernel has all of them
                kernel.mount(f"/proc/{name}", f"/proc/{name}", flags=MS_BIND | MS_REC)
                _remount_read_only(f"/proc/{name}")
        for name in _HIDDEN_PROC:
            with suppress(OSError):
                kernel.mount(self._open("/dev/null"), f"/proc/{name}", flags=MS_BIND)

    def _sys(self) -> None:
        target = self._directory("/sys")
        kernel.mount(self._open("/sys"), target, flags=MS_BIND | MS_REC)
        self._mounted.append(target)
        try:
            kernel.mount_read_only(target)
        except OSError:  # a kernel before 5.12
            _remount_read_only(target)

    def _dev(self) -> None:
        target = self._directory("/dev")
        kernel.mount("tmpfs", target, "tmpfs", MS_NOSUID, "mode=755,size=65536k")
        self._mounted.append(target)
        for name in DEVICES:
            if f"/dev/{name}" in self._sources:
                os.close(os.open(f"/dev/{name}", os.O_CREAT | os.O_WRONLY, 0o666))
                kernel.mount(self._open(f"/dev/{name}"), f"/dev/{name}", flags=MS_BIND)
        for name, text in _LINKS.items():
            os.symlink(text, f"/dev/{name}")
        os.mkdir("/dev/pts", 0o755)
        os.mkdir("/dev/shm", 0o1777)  # noqa: S108
        options = "newinstance,ptmxmode=0666,mode=0620"
        try:
            kernel.mount("devpts", "/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, f"{options},gid=5")
        except OSError:  # the group is not mapped here
            kernel.mount("devpts", "/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, options)
        kernel.mount("shm", "/dev/shm", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777")  # noqa: S108

    def _names(self) -> None:
        """The host's names, from a file in the step's own /dev."""
        descriptor = os.open("/dev/.hosts", os.O_CREAT | os.O_WRONLY, 0o644)
        os.write(descriptor, self._hosts)
        os.close(descriptor)
        target = self._file("/etc/hosts")
        kernel.mount("/dev/.hosts", target, flags=MS_BIND)
        self._mounted.append(target)

    def _bind(self, source: str, target: str, *, writable: bool) -> None:
        state = os.stat(self._sources[source])
        place = self._directory(target) if stat.S_ISDIR(state.st_mode) else self._file(target)
        kernel.mount(self._open(source), place, flags=MS_BIND | MS_REC)
        self._mounted.append(place)
        if not writable:
            _remount_read_only(place)

    def _open(self, source: str) -> str:
        """Return a path of what was opened before the root changed, by way of the old root's /proc."""
        return f"proc/self/fd/{self._sources[source]}"

    def _directory(self, path: str) -> str:
        """Return `path` with its links followed, made a directory when there is nothing."""
        path = os.path.realpath(path)
        if not os.path.isdir(path):
            self._directory(os.path.dirname(path))
            with suppress(FileExistsError):  # a step beside this one was quicker
                os.mkdir(path, 0o755)
                self._made.append(path)
        return path

    def _file(self, path: str) -> str:
        """Return `path` with its links followed, made an empty file when there is nothing."""
        path = os.path.realpath(path)
        self._directory(os.path.dirname(path))
        with suppress(FileExistsError):
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644))
            self._made.append(path)
        return path


def _remount_read_only(target: str) -> None:
    """Make one mount read-only; what a namespace may not take off stays on (mount_namespaces(7))."""
    had = os.statvfs(target).f_flag
    kept = sum(flag for seen, flag in _FLAGS if had & seen)
    kernel.mount(None, target, flags=MS_REMOUNT | MS_BIND | MS_RDONLY | kept)


def _host_names() -> bytes:
    names = b""
    with suppress(OSError), open("/etc/hosts", "rb") as file:
        names = file.read()
    return names if b"localhost" in names else b"127.0.0.1 localhost\n::1 localhost\n" + names
