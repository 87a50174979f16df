"""A terminal of its own for the command in a kept container."""

from __future__ import annotations

import os
import pty
import subprocess
import sys

PROGRAM = """
import fcntl, os, subprocess, sys, termios
from contextlib import contextmanager
from avabuild.tools import terminal as entering

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


PROMPT = b"> "


def talk(*steps: tuple[bytes, bytes]) -> tuple[int, str]:
    """Type into the program on a terminal: each key when something was shown, each time a new one.

    Return its exit code and what it showed.
    """
    ours, theirs = pty.openpty()
    env = {**os.environ, "PS1": PROMPT.decode()}
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM], stdin=theirs, stdout=theirs, stderr=theirs, env=env
    )
    os.close(theirs)
    said, seen, waiting = b"", 0, list(steps)
    while True:
        try:
            data = os.read(ours, 4096)
        except OSError:
            break
        if not data:
            break
        said += data
        while waiting and (at := said.find(waiting[0][0], seen)) >= 0:
            seen = at + len(waiting[0][0])
            os.write(ours, waiting.pop(0)[1])
    os.close(ours)
    assert waiting == [], said
    return process.wait(timeout=60), said.decode()


def test_a_shell_has_a_terminal_and_its_exit_code_is_told():
    code, said = talk((PROMPT, b"tty; echo is-$((40+2))\n"), (PROMPT, b"exit 3\n"))
    assert code == 3, said
    assert "/dev/pts/" in said
    assert "is-42" in said


def test_an_interrupt_is_the_commands_own():
    code, said = talk(
        (PROMPT, b"trap 'echo caught' INT; echo be''gun; sleep 30\n"),
        (b"begun", b"\x03"),
        (PROMPT, b"exit 4\n"),
    )
    assert code == 4, said
    assert "caught" in said


def test_the_end_of_the_input_ends_the_shell():
    code, _ = talk((PROMPT, b"\x04"))
    assert code == 0


IN_PIPES = PROGRAM.replace("_in_terminal(Here)", "_in_pipes(Here)").replace("fcntl.ioctl(0", "pass  # ")


def test_what_is_not_a_terminal_is_passed_on_and_keeps_its_mode(tmp_path):
    """The command is root in its container: the set-user-ID bit on a file of root's would be one on the host."""
    paths = [tmp_path / name for name in ("in", "out", "err")]
    paths[0].write_text("chmod 4755 /proc/self/fd/0 /proc/self/fd/1; echo out; echo err >&2; exit 3")
    streams = [paths[0].open("r+b"), *(path.open("wb") for path in paths[1:])]
    for path in paths:
        path.chmod(0o600)
    process = subprocess.run(
        [sys.executable, "-c", IN_PIPES], stdin=streams[0], stdout=streams[1], stderr=streams[2], check=False
    )
    for stream in streams:
        stream.close()
    assert process.returncode == 3, paths[2].read_text()
    assert [path.read_text() for path in paths[1:]] == ["out\n", "err\n"]
    assert [path.stat().st_mode & 0o7777 for path in paths] == [0o600] * 3


def test_the_command_ends_when_nobody_reads_what_it_prints(tmp_path):
    script = tmp_path / "in"
    script.write_text("while echo y; do :; done")
    with script.open() as source:
        process = subprocess.Popen([sys.executable, "-c", IN_PIPES], stdin=source, stdout=subprocess.PIPE)
        assert process.stdout.read(2) == b"y\n"
        process.stdout.close()
        assert process.wait(timeout=30) != 0
