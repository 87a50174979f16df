"""Subordinate ids: the ranges that a host gives a user, as newuidmap and newgidmap take them.

Source: subuid(5), newuidmap(1).
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

COUNT = 65_536
"""How many ids a user is usually given, and images use."""
_FIRST = 100_000  # where useradd(8) begins
_FILES = {"newuidmap": Path("/etc/subuid"), "newgidmap": Path("/etc/subgid")}


def arguments(uid: int, user: str) -> tuple[dict[str, list[str]], str]:
    """Return program -> what it is told after the process, or none of them and why."""
    made = {}
    for program, file in _FILES.items():
        try:
            ranges = id_ranges(file.read_text(), user, uid)
        except OSError as error:
            return {}, f"{file}: {(error.strerror or str(error)).lower()}"
        if not ranges:
            return {}, f"{file} has no range for {user}"
        own, inside = uid if program == "newuidmap" else os.getegid(), 1
        made[program] = ["0", str(own), "1"]
        for first, count in ranges:
            made[program] += [str(inside), str(first), str(count)]
            inside += count
    return made, ""


def free_range() -> int:
    """Return the first of as many ids as a user is given that nobody has yet."""
    ends = [_FIRST]
    for file in _FILES.values():
        with suppress(OSError):
            parts = (line.strip().split(":") for line in file.read_text().splitlines())
            numbers = (part[1:] for part in parts if len(part) == 3)
            ends += [int(first) + int(count) for first, count in numbers if (first + count).isdigit()]
    return max(ends)


def id_ranges(text: str, user: str, uid: int) -> list[tuple[int, int]]:
    """Return the ranges, first id and count, that a subuid(5) file gives to the user."""
    parts = (line.strip().split(":") for line in text.splitlines())
    owned = (part for part in parts if len(part) == 3 and part[0] in {user, str(uid)})
    return [(int(first), int(count)) for _, first, count in owned if first.isdigit() and count.isdigit()]
