"""Which ids a namespace has: the user as its root, and in mode `subuid` the ranges that the host gives them.

Source: user_namespaces(7).
"""

from __future__ import annotations

import os
import pwd
import subprocess
from pathlib import Path

from avabuild.common.errors import HostError
from avabuild.host.subids import arguments


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
    told, why = arguments(uid, pwd.getpwuid(uid).pw_name)
    if why:
        raise HostError(why, hint="avabuild doctor says what can be done")
    for program, ids in told.items():
        done = subprocess.run([program, str(pid), *ids], capture_output=True, text=True, check=False)
        if done.returncode:
            raise HostError(f"{program} refuses: {done.stderr.strip()}", hint="avabuild doctor says why")
