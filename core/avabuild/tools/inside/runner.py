"""The runner: a step in namespaces of its own, without an OCI runtime.

Three processes: the one that waits, in the build's namespace; the first of the step's PID namespace, which
furnishes the room, reaps what ends and clears up; and the command. When the first one is killed the kernel
ends every process of the step, and when the one that waits is killed it takes the first along.
"""

from __future__ import annotations

import fcntl
import os
import select
import signal
import socket
import stat
import struct
import termios
from collections.abc import Sequence
from contextlib import suppress

from avabuild.tools.inside import syscalls
from avabuild.tools.inside.account import account
from avabuild.tools.inside.mounts import Room
from avabuild.tools.inside.refusals import refusals
from avabuild.tools.inside.step import Step

FAILED = 125  # the step could not be begun
# What the command of a step may do as root: the default set of containers (containers-common,
# containers.conf(5), default_capabilities).
CAPABILITIES = {
    "chown": 0, "dac_override": 1, "fowner": 3, "fsetid": 4, "kill": 5, "setgid": 6, "setuid": 7,
    "setpcap": 8, "net_bind_service": 10, "sys_chroot": 18, "setfcap": 31,
}  # fmt: skip
_HOSTNAME = "localhost"
_SET_FLAGS, _UP, _RUNNING = 0x8914, 0x1, 0x40  # netdevice(7)


def run(step: Step) -> int:
    """Run `step` with this process's standard streams; return its exit code, negative for a signal.

    The process must be root in a user namespace, or the host's root, and have one thread only.
    """
    network = syscalls.CLONE_NEWNET if step.network == "none" else 0
    syscalls.unshare(
        syscalls.CLONE_NEWNS | syscalls.CLONE_NEWPID | syscalls.CLONE_NEWIPC | syscalls.CLONE_NEWUTS | network
    )
    with suppress(OSError):  # a kernel without cgroups
        syscalls.unshare(syscalls.CLONE_NEWCGROUP)
    with suppress(OSError):  # the user's keys are at their limit; no step gets at a keyring in any case
        syscalls.leave_keyring()
    reader, writer = os.pipe()
    first = os.fork()
    if first == 0:
        os.close(reader)
        _first(step, writer)
    os.close(writer)
    with os.fdopen(reader) as told:
        code = told.read()
    os.waitpid(first, 0)
    return int(code) if code else -signal.SIGKILL


def _first(step: Step, writer: int) -> None:
    """Be the step's process 1; never return."""
    code = FAILED
    try:
        syscalls.die_with_parent()
        if _nobody_reads(writer):
            os._exit(0)  # who waits was killed before that
        syscalls.set_hostname(_HOSTNAME)
        if step.network == "none":
            _loopback()
        os.umask(0o022)
        room = Room(step.root, step.binds)
        try:
            room.furnish()
            code = _watch(step)
        finally:
            if step.clear:
                room.clear()
    except (OSError, ValueError) as error:
        os.write(2, f"avabuild: the step could not be started: {error}\n".encode())
    finally:
        os.write(writer, str(code).encode())
        os._exit(0)


def _watch(step: Step) -> int:
    """Start the command, reap whatever ends, and end what it left running."""
    command = os.fork()
    if command == 0:
        _command(step)
    code = 0
    while True:
        ended, status = os.wait()
        if ended == command:
            code = os.waitstatus_to_exitcode(status)
            break
    try:
        os.kill(-1, signal.SIGKILL)
        while True:
            os.wait()
    except (ProcessLookupError, ChildProcessError):
        return code


def _command(step: Step) -> None:
    """Become the command; never return."""
    code = FAILED
    try:
        os.setsid()
        _own_null()
        with suppress(OSError):  # its input is no terminal, or somebody else's
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)
        who = account(step.user)
        if not step.set_uid:
            syscalls.forbid_new_privileges()
        refusals(namespaces="userns" in step.privileges).load()
        _become(who.uid, who.gid, who.groups)
        env = {"HOME": who.home, **step.env}
        os.makedirs(step.cwd, exist_ok=True)
        os.chdir(step.cwd)
        os.closerange(3, 1 << 20)
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        code = 127
        os.execvpe(step.argv[0], list(step.argv), env)
    except (OSError, ValueError) as error:
        os.write(2, f"avabuild: {step.argv[0]} can't be started: {error}\n".encode())
    finally:
        os._exit(code)


def _own_null() -> None:
    """Take the room's /dev/null for streams that are the host's: root could change that one's mode."""
    own = os.stat("/dev/null").st_rdev
    for descriptor, flags in ((0, os.O_RDONLY), (1, os.O_WRONLY), (2, os.O_WRONLY)):
        state = os.fstat(descriptor)
        if stat.S_ISCHR(state.st_mode) and state.st_rdev == own:
            os.dup2(os.open("/dev/null", flags), descriptor)


def _nobody_reads(writer: int) -> bool:
    """Whether the other end of a pipe is closed (poll(2): POLLERR on the end for writing)."""
    poll = select.poll()
    poll.register(writer, 0)
    return bool(poll.poll(0))


def _loopback() -> None:
    """Turn on the loopback device of a network namespace that has nothing else."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, _SET_FLAGS, struct.pack("16sh14x", b"lo", _UP | _RUNNING))


def _become(uid: int, gid: int, groups: Sequence[int]) -> None:
    """Give up what containers may not do; root keeps the groups that the user has on the host."""
    number = 0
    while True:
        if number not in CAPABILITIES.values() and not syscalls.drop_capability(number):
            break
        number += 1
    if uid or gid:
        if groups:
            os.setgroups(groups)
        os.setgid(gid)
        os.setuid(uid)
