"""The fake-root filter: in a namespace with one id, what only root may do with others is said to succeed.

With a single id mapped there is nobody to give a file to, and packages' scripts fail when they try. So chown
and its kin, set*id, capset and the making of device nodes do nothing and succeed; new files are root's.
The storage's own marks of deleted files (character device 0:0) are made.
Everything else is let through: file capabilities, FIFOs and sockets are real.

Source: seccomp(2), Linux's Documentation/userspace-api/seccomp_filter.rst; system call numbers from the
kernel's tables (arch/x86/entry/syscalls/syscall_{64,32}.tbl, include/uapi/asm-generic/unistd.h).
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct
from collections.abc import Iterator, Mapping

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

# Classic BPF (linux/filter.h, linux/bpf_common.h): load a word, jump if equal, jump, return, and.
_LOAD, _IF, _JUMP, _RETURN, _AND = 0x20, 0x15, 0x05, 0x06, 0x54
_ALLOW = 0x7FFF_0000
_SUCCEED = 0x0005_0000  # SECCOMP_RET_ERRNO with the error 0
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16  # offsets in struct seccomp_data
_KIND, _CHARACTER, _BLOCK = 0o170000, 0o020000, 0o060000  # of a mode, inode(7)
_MODE_ARGUMENT = {"mknod": 1, "mknodat": 2}
_WHITEOUT = 0  # the device that marks a deletion in an overlay: anybody may make it, and must
_NODE_SIZE = 9  # instructions for one call that makes nodes

_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER = 22, 2


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))


def program(machine: str) -> bytes:
    """Return the filter for `machine` (`uname -m`), 8 bytes an instruction.

    Raises KeyError for a machine whose calls are not in the tables.
    """
    made = [_instruction(_LOAD, _ARCHITECTURE)]
    for architecture, numbers in TABLES[machine]:
        block = list(_block(numbers))
        made += [_instruction(_IF, architecture, 1, 0), _instruction(_JUMP, len(block)), *block]
    return b"".join([*made, _instruction(_RETURN, _ALLOW)])


def _block(numbers: Mapping[str, int]) -> Iterator[bytes]:
    """Yield what decides for one architecture; it always returns, so that what follows is not reached."""
    plain = [number for name, number in numbers.items() if name not in _MODE_ARGUMENT]
    nodes = [(number, _MODE_ARGUMENT[name]) for name, number in numbers.items() if name in _MODE_ARGUMENT]
    yield _instruction(_LOAD, _NUMBER)
    for index, number in enumerate(plain):
        to_the_end = len(plain) - 1 - index + len(nodes) * _NODE_SIZE + 1
        yield _instruction(_IF, number, to_the_end, 0)
    for number, argument in nodes:
        yield _instruction(_IF, number, 0, _NODE_SIZE - 1)
        yield _instruction(_LOAD, _ARGUMENTS + 8 * argument)
        yield _instruction(_AND, _KIND)
        yield _instruction(_IF, _BLOCK, 4, 0)
        yield _instruction(_IF, _CHARACTER, 0, 2)
        yield _instruction(_LOAD, _ARGUMENTS + 8 * (argument + 1))
        yield _instruction(_IF, _WHITEOUT, 0, 1)
        yield _instruction(_RETURN, _ALLOW)
        yield _instruction(_RETURN, _SUCCEED)
    yield _instruction(_RETURN, _ALLOW)
    yield _instruction(_RETURN, _SUCCEED)


def _instruction(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("HBBI", code, if_true, if_false, value)


class FakeRoot:
    """The filter, ready to be loaded where nothing may be allocated: between fork and exec."""

    def __init__(self, machine: str = "") -> None:
        code = program(machine or platform.machine())
        self._code = ctypes.create_string_buffer(code, len(code))
        self._program = _Program(len(code) // 8, ctypes.addressof(self._code))
        self._prctl = ctypes.CDLL(None, use_errno=True).prctl

    def load(self) -> None:
        """Put this process and all its children under the filter, for good.

        Needs CAP_SYS_ADMIN in the user namespace, so that setuid programs keep working (seccomp(2)).
        """
        if self._prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(self._program), 0, 0):
            number = ctypes.get_errno()
            raise OSError(number, f"seccomp: {os.strerror(number)}")
