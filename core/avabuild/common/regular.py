"""Files that somebody else named: only regular ones are read, and no more of them than they may have.

A pipe waits for ever, a device has no end, and the kernel's own files (`/proc/kcore`) say nothing true of
their size. Standard library only.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

TEXT = 1 << 20  # bytes of what people write by hand
_KINDS = (
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)
_KERNELS = frozenset(
    (
        *("binfmt_misc", "bpf", "cgroup", "cgroup2", "configfs", "debugfs", "devpts", "efivarfs", "fusectl"),
        *("mqueue", "nsfs", "proc", "pstore", "rpc_pipefs", "securityfs", "selinuxfs", "sysfs", "tracefs"),
    )
)


def oddity(state: os.stat_result) -> str | None:
    """Say what is found, `a named pipe`, where it is no directory and no file with an end; else None."""
    return special(state) or kernels(state)


def special(state: os.stat_result) -> str | None:
    """Say what a pipe, socket or device is; None of any other."""
    return next((words for is_one, words in _KINDS if is_one(state.st_mode)), None)


def kernels(state: os.stat_result) -> str | None:
    """Say that a file or directory is of the kernel's making; None of any other."""
    if os.major(state.st_dev) or state.st_dev not in _kernels_devices():  # what is on a disk has a major
        return None
    return "one of the kernel's own files, as below /proc and /sys"


def _kernels_devices() -> frozenset[int]:
    """Return the devices of the file systems that the kernel makes up (proc(5), mountinfo)."""
    found = set()
    try:
        lines = Path("/proc/self/mountinfo").read_text(errors="replace").splitlines()
    except OSError:
        return frozenset()
    for line in lines:
        before, _, after = line.partition(" - ")
        if after.split(" ")[0] in _KERNELS:
            major, _, minor = before.split(" ")[2].partition(":")
            found.add(os.makedev(int(major), int(minor)))
    return frozenset(found)


def read(path: Path, most: int = TEXT) -> bytes:
    """Return the content of a regular file of at most `most` bytes.

    Raises:
        OSError: it can't be read, is no regular file, or is larger; `strerror` says which.
    """
    _check(path.stat())
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        _check(os.fstat(descriptor))  # another one may be there by now
        data = file.read(most + 1)
    if len(data) > most:
        raise OSError(errno.EFBIG, f"it is larger than {most >> 20} MB")
    return data


def _check(state: os.stat_result) -> None:
    if found := oddity(state):
        raise OSError(errno.EINVAL, f"it is {found}; name a regular file")
    if stat.S_ISDIR(state.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
