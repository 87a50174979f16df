"""Which ids a namespace has: the user as its root, and in mode `subuid` the ranges that the host gives them.

Source: user_namespaces(7), newuidmap(1), subuid(5).
"""

from __future__ import annotations

import os
import pwd
import subprocess
from pathlib import Path

from avabuild.errors import HostError


def map_ids(pid: int, *, ranges: bool) -> None:
    """Map the ids of the new user namespace that `pid` is in.

    Raises:
        HostError: newuidmap or newgidmap refuses.
    """
    uid, gid = os.geteuid(), os.getegid()
    if not ranges:
        Path(f"/proc/{pid}/setgroups").write_text("deny")
        Path(f"/proc/{pid}/uid_map").write_text(f"0 {uid} 1")
        Path(f"/proc/{pid}/gid_map").write_text(f"0 {gid} 1")
        return
    name = pwd.getpwuid(uid).pw_name
    for program, own, file in (("newuidmap", uid, "/etc/subuid"), ("newgidmap", gid, "/etc/subgid")):
        argv = [program, str(pid), "0", str(own), "1"]
        inside = 1
        for first, count in id_ranges(Path(file).read_text(), name, uid):
            argv += [str(inside), str(first), str(count)]
            inside += count
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        if done.returncode:
            raise HostError(f"{program} refuses: {done.stderr.strip()}", hint="avabuild doctor says why")


def id_ranges(text: str, name: str, uid: int) -> list[tuple[int, int]]:
    """Return the ranges, first id and count, that a subuid(5) file gives to the user."""
    parts = (line.strip().split(":") for line in text.splitlines())
    owned = (part for part in parts if len(part) == 3 and part[0] in {name, str(uid)})
    return [(int(first), int(count)) for _, first, count in owned if first.isdigit() and count.isdigit()]
