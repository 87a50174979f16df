"""The server: the process that holds a build's namespace open, and starts what runs in it.

Its standard input is a socket. It enters the namespace, says that it has, waits until its ids are
mapped, and then takes requests: each comes with a socket of its own and the standard streams for what it
starts. A request is a step, or a module of ours whose `main` is called. The answer is the process's id at
once, and its exit code at the end. When the socket is closed the server ends, and with it all that runs.

It imports little: it is started for every build.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import socket
import sys
from contextlib import suppress

from avabuild.common.errors import HostError
from avabuild.tools.inside import syscalls
from avabuild.tools.inside.fake_root import FakeRoot
from avabuild.tools.inside.refusals import refusals
from avabuild.tools.inside.runner import run
from avabuild.tools.inside.step import Step

BIGGEST = 1 << 20  # bytes of a request


def serve(control: socket.socket, mode: str, *, entered: bool) -> None:
    """Enter the namespace for `mode` unless we are in it, and serve until `control` is closed."""
    os.setsid()  # a Ctrl-C is the engine's to handle
    try:
        if not entered:
            syscalls.unshare(syscalls.CLONE_NEWNS | (0 if mode == "root" else syscalls.CLONE_NEWUSER))
        control.sendall(b"entered %d" % os.getpid())
        if control.recv(16) != b"mapped":
            return
        syscalls.drop_inherited()  # before the filter, which would only say that it was done
        if mode == "single":
            FakeRoot().load()
        syscalls.mount(None, "/", flags=syscalls.MS_REC | syscalls.MS_SLAVE)
        syscalls.be_unreadable()
    except OSError as error:
        control.sendall(f"{error.errno} {error}".encode())
        return
    control.sendall(b"ready")
    with suppress(HostError):  # a machine on which only `buildah run` runs steps
        refusals(namespaces=False)  # once for all of them
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # who asked is told by the process itself
    while True:
        data, descriptors, _, _ = socket.recv_fds(control, BIGGEST, 4)
        if not data:
            return
        if os.fork() == 0:
            control.close()
            _answer(json.loads(data), *descriptors)
        for descriptor in descriptors:
            os.close(descriptor)


def _answer(request: dict[str, str | list[str]], channel: int, *streams: int) -> None:
    """Do what was asked in a process of its own; never return."""
    code = 70
    try:
        syscalls.die_with_parent()
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.setsid()
        for number, descriptor in enumerate(streams):
            os.dup2(descriptor, number)
        os.set_inheritable(channel, False)  # noqa: FBT003
        os.write(channel, b"%d\n" % os.getpid())
        code = _do(request)
    except BaseException as error:  # noqa: BLE001 - there is nobody else to say it
        with suppress(OSError):
            os.write(2, f"avabuild: {type(error).__name__}: {error}\n".encode())
    finally:
        with suppress(OSError):
            os.write(channel, b"%d\n" % code)
        os._exit(0)


def _do(request: dict[str, str | list[str]]) -> int:
    if "step" in request:
        return run(Step.from_json(str(request["step"])))
    code = importlib.import_module(str(request["module"])).main(list(request["arguments"]))
    sys.stdout.flush()
    return int(code)


if __name__ == "__main__":
    serve(socket.socket(fileno=os.dup(0)), sys.argv[1], entered=sys.argv[2:] == ["entered"])
