"""Classic BPF: the instructions that filters of system calls are written in, and how one is loaded.

Source: seccomp(2), linux/filter.h, linux/bpf_common.h, Linux's
Documentation/userspace-api/seccomp_filter.rst.
"""

from __future__ import annotations

import ctypes
import os
import struct

# Load a word, and it, jump if equal, if greater, if a bit is set, jump, return.
LOAD, AND, IF, IF_MORE, IF_ANY, JUMP, RETURN = 0x20, 0x54, 0x15, 0x25, 0x45, 0x05, 0x06
NUMBER, ARCHITECTURE, ARGUMENTS = 0, 4, 16  # offsets in struct seccomp_data
ALLOW = 0x7FFF_0000

_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER = 22, 2


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))


def instruction(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    """Return one instruction; the jumps count the instructions that are passed over."""
    return struct.pack("HBBI", code, if_true, if_false, value)


def argument(number: int) -> bytes:
    """Return what loads the lower half of a call's argument, counted from 0."""
    return instruction(LOAD, ARGUMENTS + 8 * number)


def fail(error: int) -> bytes:
    """Return what answers a call with the error; the error 0 is success, and nothing is done."""
    return instruction(RETURN, 0x0005_0000 | error)


class Filter:
    """A program, ready to be loaded where nothing may be allocated: between fork and exec."""

    def __init__(self, code: bytes) -> None:
        self._code = ctypes.create_string_buffer(code, len(code))
        self._program = _Program(len(code) // 8, ctypes.addressof(self._code))
        self._prctl = ctypes.CDLL(None, use_errno=True).prctl

    def load(self) -> None:
        """Put this process and all its children under the filter, for good.

        Needs CAP_SYS_ADMIN in the user namespace, so that setuid programs keep working (seccomp(2)). Of
        several filters the one that is loaded last says which error a call gets that more than one refuses.
        """
        if self._prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(self._program), 0, 0):
            number = ctypes.get_errno()
            raise OSError(number, f"seccomp: {os.strerror(number)}")
