"""The fake-root filter: in a namespace with one id, what only root may do with others is said to succeed.

With a single id mapped there is nobody to give a file to, and packages' scripts fail when they try. So chown
and its kin, set*id, capset and the making of device nodes do nothing and succeed; new files are root's.
The storage's own marks of deleted files (character device 0:0) are made.
Everything else is let through: file capabilities, FIFOs and sockets are real.

Source: seccomp(2), Linux's Documentation/userspace-api/seccomp_filter.rst; system call numbers from the
kernel's tables (arch/x86/entry/syscalls/syscall_{64,32}.tbl, include/uapi/asm-generic/unistd.h).
"""

from __future__ import annotations

import platform
from collections.abc import Iterator, Mapping

from avabuild.tools.inside.bpf import (
    ALLOW,
    AND,
    ARCHITECTURE,
    IF,
    JUMP,
    LOAD,
    NUMBER,
    RETURN,
    Filter,
    argument,
    fail,
    instruction,
)

X86_64 = {
    "chown": 92, "fchown": 93, "lchown": 94, "fchownat": 260, "setuid": 105, "setgid": 106, "setreuid": 113,
    "setregid": 114, "setresuid": 117, "setresgid": 119, "setgroups": 116, "setfsuid": 122, "setfsgid": 123,
    "capset": 126, "mknod": 133, "mknodat": 259,
}  # fmt: skip
I386 = {
    "chown": 182, "fchown": 95, "lchown": 16, "fchownat": 298, "chown32": 212, "fchown32": 207,
    "lchown32": 198, "setuid": 23, "setgid": 46, "setreuid": 70, "setregid": 71, "setresuid": 164,
    "setresgid": 170, "setgroups": 81, "setfsuid": 138, "setfsgid": 139, "setuid32": 213, "setgid32": 214,
    "setreuid32": 203, "setregid32": 204, "setresuid32": 208, "setresgid32": 210, "setgroups32": 206,
    "setfsuid32": 215, "setfsgid32": 216, "capset": 185, "mknod": 14, "mknodat": 297,
}  # fmt: skip
AARCH64 = {
    "fchownat": 54, "fchown": 55, "setuid": 146, "setgid": 144, "setreuid": 145, "setregid": 143,
    "setresuid": 147, "setresgid": 149, "setgroups": 159, "setfsuid": 151, "setfsgid": 152, "capset": 91,
    "mknodat": 33,
}  # fmt: skip
ARM = {
    "chown": 182, "fchown": 95, "lchown": 16, "fchownat": 325, "chown32": 212, "fchown32": 207,
    "lchown32": 198, "setuid": 23, "setgid": 46, "setreuid": 70, "setregid": 71, "setresuid": 164,
    "setresgid": 170, "setgroups": 81, "setfsuid": 138, "setfsgid": 139, "setuid32": 213, "setgid32": 214,
    "setreuid32": 203, "setregid32": 204, "setresuid32": 208, "setresgid32": 210, "setgroups32": 206,
    "setfsuid32": 215, "setfsgid32": 216, "capset": 185, "mknod": 14, "mknodat": 324,
}  # fmt: skip
# By machine: the audit architecture of each kind of program that it runs (linux/audit.h), and its numbers.
TABLES: Mapping[str, tuple[tuple[int, Mapping[str, int]], ...]] = {
    "x86_64": ((0xC000_003E, X86_64), (0x4000_0003, I386)),
    "aarch64": ((0xC000_00B7, AARCH64), (0x4000_0028, ARM)),
}

_SUCCEED = fail(0)
_KIND, _CHARACTER, _BLOCK = 0o170000, 0o020000, 0o060000  # of a mode, inode(7)
_MODE_ARGUMENT = {"mknod": 1, "mknodat": 2}
_WHITEOUT = 0  # the device that marks a deletion in an overlay: anybody may make it, and must
_NODE_SIZE = 9  # instructions for one call that makes nodes


def program(machine: str) -> bytes:
    """Return the filter for `machine` (`uname -m`), 8 bytes an instruction.

    Raises KeyError for a machine whose calls are not in the tables.
    """
    made = [instruction(LOAD, ARCHITECTURE)]
    for architecture, numbers in TABLES[machine]:
        block = list(_block(numbers))
        made += [instruction(IF, architecture, 1, 0), instruction(JUMP, len(block)), *block]
    return b"".join([*made, instruction(RETURN, ALLOW)])


def _block(numbers: Mapping[str, int]) -> Iterator[bytes]:
    """Yield what decides for one architecture; it always returns, so that what follows is not reached."""
    plain = [number for name, number in numbers.items() if name not in _MODE_ARGUMENT]
    nodes = [(number, _MODE_ARGUMENT[name]) for name, number in numbers.items() if name in _MODE_ARGUMENT]
    yield instruction(LOAD, NUMBER)
    for index, number in enumerate(plain):
        to_the_end = len(plain) - 1 - index + len(nodes) * _NODE_SIZE + 1
        yield instruction(IF, number, to_the_end, 0)
    for number, place in nodes:
        yield instruction(IF, number, 0, _NODE_SIZE - 1)
        yield argument(place)
        yield instruction(AND, _KIND)
        yield instruction(IF, _BLOCK, 4, 0)
        yield instruction(IF, _CHARACTER, 0, 2)
        yield argument(place + 1)
        yield instruction(IF, _WHITEOUT, 0, 1)
        yield instruction(RETURN, ALLOW)
        yield _SUCCEED
    yield instruction(RETURN, ALLOW)
    yield _SUCCEED


class FakeRoot(Filter):
    """The filter for this machine, or for another."""

    def __init__(self, machine: str = "") -> None:
        super().__init__(program(machine or platform.machine()))
