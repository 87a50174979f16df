"""Run as somebody who builds: a step that attacks the host, in a container of an image, as builds start theirs.

    host.py IMAGE [WAY]

What it could get at is prepared here: a key in our session's keyring, a process, doors to knock at, a file, and
for root capabilities that programs inherit. WAY is `check` for a step that is started
as a check is. Prints what the step printed.
"""

from __future__ import annotations

import ctypes
import json
import os
import socket
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

from avabuild.common.errors import AvabuildError
from avabuild.host.host import probe
from avabuild.run.run import Workplace
from avabuild.tools.argv import Bind
from avabuild.tools.container import container
from avabuild.tools.events import Report

libc = ctypes.CDLL(None, use_errno=True)
ADD_KEY, KEYCTL = {"x86_64": (248, 250), "aarch64": (217, 219)}[os.uname().machine]


def have_a_key() -> None:
    assert libc.syscall(KEYCTL, 1, None) >= 0, "a session keyring of ours"
    assert libc.syscall(ADD_KEY, b"user", b"avabuild-canary", b"the host's own", 14, -3) > 0


def be_inherited() -> None:
    """Put all that we may do into the inheritable and ambient sets."""
    header, sets = (ctypes.c_uint32 * 2)(0x2008_0522, 0), (ctypes.c_uint32 * 6)()
    assert libc.capget(header, sets) == 0
    sets[2], sets[5] = sets[1], sets[4]
    assert libc.capset(header, sets) == 0
    for number in range(41):
        libc.prctl(47, 2, number, 0, 0)


def door(listener: socket.socket) -> None:
    def serve() -> None:
        while True:
            with listener.accept()[0] as client:
                client.sendall(b"the door\n")

    listener.listen()
    threading.Thread(target=serve, daemon=True).start()


def main(image: str, way: str = "") -> int:
    have_a_key()
    be_inherited()
    loopback, abstract = socket.create_server(("127.0.0.1", 0)), socket.socket(socket.AF_UNIX)
    abstract.bind(f"\0avabuild-{os.getpid()}")
    door(loopback)
    door(abstract)
    home = Path.cwd()
    sleeper = subprocess.Popen(["sh", "-c", "read x; : avabuild-sleeper"], stdin=subprocess.PIPE)
    told = {
        "port": loopback.getsockname()[1],
        "abstract": f"avabuild-{os.getpid()}",
        "sleeper": sleeper.pid,
        "build": os.getpid(),
        "secret": str(home / "secret"),
        "cgroup": str(Path("/proc/self/ns/cgroup").readlink()),
    }
    program = home / "attacks.py"
    binds = [Bind(source=str(path), target=target) for path, target in (
        ("/usr", "/usr"), (program, "/attacks.py"), (home / "data", "/data"))]  # fmt: skip
    python = next(path for path in ("/usr/bin/python3", "/usr/local/bin/python3") if Path(path).exists())
    argv = [python, "-I", "-S", "/attacks.py", json.dumps(told)]
    with closing(Workplace.on(probe(os.environ))) as workplace:
        tools = workplace.tools(Report(lambda _: None), "test")
        try:
            with container(tools, image, f"test-{os.getpid()}") as box:
                if way == "check":
                    said = box.run_as_image(argv, binds, place="test")
                else:
                    said = box.run(argv, binds, place="test", set_uid=True)
        except AvabuildError as error:
            sys.stderr.write(f"{error}\n{getattr(error, 'tail', '')}\n")
            return 1
        finally:
            sleeper.kill()
            sleeper.wait()
    sys.stdout.write(said)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(*sys.argv[1:]))
