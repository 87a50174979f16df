"""An interpreter of classic BPF: what a filter of system calls answers, without a kernel of that machine."""

from __future__ import annotations

import struct


def answer(code: bytes, architecture: int, number: int, *arguments: int) -> int:
    """Run the filter as the kernel does (linux/filter.h) on one call; return its action."""
    padded = [*arguments, *([0] * (6 - len(arguments)))]
    data = struct.pack("<IIQ6Q", number, architecture, 0, *padded)
    instructions = list(struct.iter_unpack("HBBI", code))
    accumulator, at = 0, 0
    for _ in range(len(instructions)):
        operation, if_true, if_false, value = instructions[at]
        at += 1
        if operation == 0x20:
            (accumulator,) = struct.unpack_from("<I", data, value)
        elif operation == 0x54:
            accumulator &= value
        elif operation == 0x15:
            at += if_true if accumulator == value else if_false
        elif operation == 0x25:
            at += if_true if accumulator > value else if_false
        elif operation == 0x45:
            at += if_true if accumulator & value else if_false
        elif operation == 0x05:
            at += value
        elif operation == 0x06:
            return value
        else:
            raise AssertionError(f"instruction {operation:#x} is not known")
    raise AssertionError("the filter does not end")
