"""A terminal of its own for the command in a kept container."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
import time

PROGRAM = """
import fcntl, os, subprocess, sys, termios
from contextlib import contextmanager
from avabuild import entering

class Here:
    "Started on this host instead of in a container."
    def __init__(self, source, out, err):
        def own():
            os.setsid()
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)
        self.process = subprocess.Popen(["sh"], stdin=source, stdout=out, stderr=err, preexec_fn=own)
    @contextmanager
    def ending(self):
        yield os.pidfd_open(self.process.pid)
    def wait(self):
        return self.process.wait()

sys.exit(entering._in_terminal(Here))
"""


def talk(*keys: bytes) -> tuple[int, str]:
    """Type `keys` one after another into the program on a terminal; return its exit code and what it showed."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen([sys.executable, "-c", PROGRAM], stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    said = b""
    for key in keys:
        time.sleep(0.5)
        os.write(ours, key)
    while True:
        try:
            data = os.read(ours, 4096)
        except OSError:
            break
        if not data:
            break
        said += data
    os.close(ours)
    return process.wait(timeout=20), said.decode()


def test_a_shell_has_a_terminal_and_its_exit_code_is_told():
    code, said = talk(b"tty; echo is-$((40+2))\n", b"exit 3\n")
    assert code == 3, said
    assert "/dev/pts/" in said
    assert "is-42" in said


def test_an_interrupt_is_the_commands_own():
    code, said = talk(b"trap 'echo caught' INT; sleep 30\n", b"\x03", b"exit 4\n")
    assert code == 4, said
    assert "caught" in said


def test_the_end_of_the_input_ends_the_shell():
    code, _ = talk(b"\x04")
    assert code == 0
