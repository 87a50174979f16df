"""Room: the file systems that a step sees around its container's own, and how they are taken away again.

All is done in mount and PID namespaces of the step's own, after the container's root has become ours: a link
in the container can't lead out of it. What had to be made to mount upon is removed at the end, so that no
layer has it.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Sequence
from contextlib import suppress

from avabuild.tools.inside import syscalls
from avabuild.tools.inside.syscalls import (
    MS_BIND,
    MS_NODEV,
    MS_NOEXEC,
    MS_NOSUID,
    MS_PRIVATE,
    MS_RDONLY,
    MS_REC,
    MS_REMOUNT,
    MS_SLAVE,
)

# Linux's Documentation/admin-guide/devices.txt
DEVICES = {"null": (1, 3), "zero": (1, 5), "full": (1, 7), "random": (1, 8), "urandom": (1, 9), "tty": (5, 0)}
_LINKS = {
    "fd": "/proc/self/fd",
    "stdin": "/proc/self/fd/0",
    "stdout": "/proc/self/fd/1",
    "stderr": "/proc/self/fd/2",
    "ptmx": "pts/ptmx",
}
# What containers-common hides and protects (containers/common, pkg/config: its default masked and read-only
# paths), and what else tells of the host's memory, or lets its root tell the kernel something.
_READ_ONLY_PROC = ("asound", "bus", "driver", "fs", "irq", "sys", "sysrq-trigger")
_HIDDEN = (
    "/proc/acpi", "/proc/dynamic_debug", "/proc/interrupts", "/proc/iomem", "/proc/ioports", "/proc/kallsyms",
    "/proc/kcore", "/proc/keys", "/proc/kmsg", "/proc/kpagecgroup", "/proc/kpagecount", "/proc/kpageflags",
    "/proc/latency_stats", "/proc/pagetypeinfo", "/proc/sched_debug", "/proc/scsi", "/proc/slabinfo",
    "/proc/timer_list", "/proc/timer_stats", "/proc/vmallocinfo", "/proc/vmcore", "/sys/dev/block",
    "/sys/devices/virtual/powercap", "/sys/firmware", "/sys/fs/bpf", "/sys/fs/pstore", "/sys/fs/selinux",
    "/sys/kernel/debug", "/sys/kernel/security", "/sys/kernel/tracing",
)  # fmt: skip
_SHUT = MS_NOSUID | MS_NODEV | MS_NOEXEC
_FLAGS = (
    (os.ST_RDONLY, MS_RDONLY), (os.ST_NOSUID, MS_NOSUID), (os.ST_NODEV, MS_NODEV), (os.ST_NOEXEC, MS_NOEXEC),
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
        syscalls.mount(None, "/", flags=MS_REC | MS_SLAVE)
        syscalls.mount(root, root, flags=MS_BIND | MS_REC)
        restrict(root, MS_NODEV, "/")  # whatever the storage says, and the base has
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
        syscalls.pivot_root()
        os.fchdir(old)  # where the sources are found, until it is let go of
        os.close(old)

    def furnish(self) -> None:
        """Mount everything, then let go of the old root."""
        self._dev()
        self._proc()
        self._sys()
        self._hide()
        if "/etc/resolv.conf" in self._sources:
            self._bind("/etc/resolv.conf", "/etc/resolv.conf", writable=False)
        self._names()
        for source, target, writable in self._binds:
            self._bind(source, target, writable=writable)
        syscalls.unmount(".")
        os.chdir("/")
        for descriptor in self._sources.values():
            os.close(descriptor)

    def clear(self) -> None:
        """Take everything away that the container did not have."""
        for target in reversed(self._mounted):
            with suppress(OSError):
                syscalls.unmount(target)
        for path in reversed(self._made):
            with suppress(OSError):
                os.rmdir(path) if stat.S_ISDIR(os.lstat(path).st_mode) else os.unlink(path)

    def _proc(self) -> None:
        """A proc of the step's own; the host's where the kernel refuses one, since part of it is hidden."""
        target = self._directory("/proc")
        try:
            syscalls.mount("proc", target, "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)
        except PermissionError:
            syscalls.mount(self._open("/proc"), target, flags=MS_BIND | MS_REC)
        self._mounted.append(target)
        for name in _READ_ONLY_PROC:
            with suppress(FileNotFoundError):  # not every kernel has all of them
                syscalls.mount(f"/proc/{name}", f"/proc/{name}", flags=MS_BIND | MS_REC)
                restrict(f"/proc/{name}", MS_RDONLY)

    def _sys(self) -> None:
        target = self._directory("/sys")
        syscalls.mount(self._open("/sys"), target, flags=MS_BIND | MS_REC)
        self._mounted.append(target)
        restrict(target, MS_RDONLY)

    def _hide(self) -> None:
        """Put nothing in place of what tells of the machine, or lets root tell the kernel something."""
        blank = ""
        for path in _HIDDEN:
            try:
                directory = stat.S_ISDIR(os.stat(path).st_mode)
            except FileNotFoundError:  # not every kernel has all of them
                continue
            if not directory:
                syscalls.mount("/dev/null", path, flags=MS_BIND)
            elif blank:
                syscalls.mount(blank, path, flags=MS_BIND)
            else:
                syscalls.mount("tmpfs", path, "tmpfs", _SHUT | MS_RDONLY, "size=0")
                blank = path
            if not directory:
                restrict(path, MS_RDONLY)

    def _dev(self) -> None:
        """Nodes of the step's own; where the kernel makes none, the host's, whose modes can't be changed."""
        target = self._directory("/dev")
        syscalls.mount("tmpfs", target, "tmpfs", MS_NOSUID, "mode=755,size=65536k")
        self._mounted.append(target)
        for name, (major, minor) in DEVICES.items():
            path = f"/dev/{name}"
            with suppress(PermissionError):
                os.mknod(path, 0o666 | stat.S_IFCHR, os.makedev(major, minor))
            if os.path.lexists(path):  # with one id the filter says that it was made
                os.chmod(path, 0o666)  # noqa: S103 - as everywhere; the umask was on
            elif path in self._sources:
                os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o666))
                syscalls.mount(self._open(path), path, flags=MS_BIND)
                restrict(path, MS_RDONLY)
        for name, text in _LINKS.items():
            os.symlink(text, f"/dev/{name}")
        os.mkdir("/dev/pts", 0o755)
        os.mkdir("/dev/shm", 0o1777)  # noqa: S108
        options = "newinstance,ptmxmode=0666,mode=0620"
        try:
            syscalls.mount("devpts", "/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, f"{options},gid=5")
        except OSError:  # the group is not mapped here
            syscalls.mount("devpts", "/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, options)
        syscalls.mount("shm", "/dev/shm", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777")  # noqa: S108

    def _names(self) -> None:
        """The host's names, from a file in the step's own /dev."""
        descriptor = os.open("/dev/.hosts", os.O_CREAT | os.O_WRONLY, 0o644)
        os.write(descriptor, self._hosts)
        os.close(descriptor)
        target = self._file("/etc/hosts")
        syscalls.mount("/dev/.hosts", target, flags=MS_BIND)
        self._mounted.append(target)

    def _bind(self, source: str, target: str, *, writable: bool) -> None:
        state = os.stat(self._sources[source])
        place = self._directory(target) if stat.S_ISDIR(state.st_mode) else self._file(target)
        syscalls.mount(self._open(source), place, flags=MS_BIND | MS_REC)
        self._mounted.append(place)
        flags = 0 if stat.S_ISCHR(state.st_mode) or stat.S_ISBLK(state.st_mode) else MS_NODEV
        restrict(place, flags | (0 if writable else MS_RDONLY))

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


def restrict(target: str, flags: int, old: str = "") -> None:
    """Put mount flags on `target` and all below it, so that what the host mounts there later doesn't come.

    `old` is where the host's /proc is found.
    """
    if flags & MS_RDONLY:
        syscalls.mount(None, target, flags=MS_PRIVATE | MS_REC)
    try:
        syscalls.restrict(target, flags)
    except OSError:  # a kernel before 5.12, or an engine around us whose filter doesn't know the call
        for each in _mounts(target, f"{old}proc/self"):
            had = os.statvfs(each).f_flag  # what a namespace may not take off stays on (mount_namespaces(7))
            kept = sum(flag for seen, flag in _FLAGS if had & seen)
            syscalls.mount(None, each, flags=MS_REMOUNT | MS_BIND | kept | flags)


def _mounts(target: str, process: str) -> list[str]:
    """Return where something is mounted: `target`, and all below it that can be reached (proc(5))."""
    descriptor = os.open(target, os.O_PATH | os.O_CLOEXEC)
    try:
        with open(f"{process}/fdinfo/{descriptor}", "rb") as file:
            found = {line.split()[1] for line in file if line.startswith(b"mnt_id:")}
    finally:
        os.close(descriptor)
    with open(f"{process}/mountinfo", "rb") as file:
        lines = [line.split() for line in file]
    places, before = [target], 0
    while len(found) > before:  # a mount that was moved may come before what it is mounted upon
        before = len(found)
        for number, parent, _, _, place, *_ in lines:
            if parent in found and number not in found and not place.endswith(b"//deleted"):
                found.add(number)
                places.append(os.fsdecode(re.sub(rb"\\([0-7]{3})", _byte, place)))
    return places


def _byte(found: re.Match[bytes]) -> bytes:
    return bytes([int(found[1], 8)])


def _host_names() -> bytes:
    names = b""
    with suppress(OSError), open("/etc/hosts", "rb") as file:
        names = file.read()
    return names if b"localhost" in names else b"127.0.0.1 localhost\n::1 localhost\n" + names
