"""Run a command as a user who can open no user namespace: `UID COMMAND...`, as root.

The limit is that of a user namespace of its own, in which all ids are mapped; the machine's is left alone.
"""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path

NEWUSER = 0x10000000  # CLONE_NEWUSER of <sched.h>
LIMIT = Path("/proc/sys/user/max_user_namespaces")


def main(user: int, command: list[str]) -> int:
    inner, outer = os.pipe()
    mapped, done = os.pipe()
    before = Path("/proc/self/ns/user").readlink()
    child = os.fork()
    if child == 0:
        if ctypes.CDLL(None, use_errno=True).unshare(NEWUSER):
            os._exit(99)
        os.write(outer, b"x")
        os.read(mapped, 1)
        if Path("/proc/self/ns/user").readlink() == before:
            os._exit(98)
        LIMIT.write_text("0")
        os.setgroups([])
        os.setresgid(user, user, user)
        os.setresuid(user, user, user)
        os.execvp(command[0], command)
    os.read(inner, 1)
    for kind in ("uid", "gid"):
        Path(f"/proc/{child}/{kind}_map").write_text("0 0 4294967295")
    os.write(done, b"x")
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


if __name__ == "__main__":
    raise SystemExit(main(int(sys.argv[1]), sys.argv[2:]))
