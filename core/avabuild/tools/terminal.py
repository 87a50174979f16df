"""Entering a working container that a failed build kept, and letting it go."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import termios
import tty
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from threading import Thread

from avabuild.common.errors import ImageError, StepError
from avabuild.tools import argv
from avabuild.tools.buildah import Tools
from avabuild.tools.container import Container
from avabuild.tools.inside.namespace import Started

_CHUNK = 1 << 16
Begin = Callable[[int, int, int], Started]  # with the standard input, output and error


def enter(name: str, command: Sequence[str], tools: Tools) -> int:
    """Run `command` in the working container with this process's streams; return its exit code.

    They are passed on: what the command has open itself it can give another mode, or owner. On a terminal it
    has one of its own. The code of what was ended by a
    signal is negative.

    Raises:
        ImageError: there is no such container.
    """
    _require(name, tools)
    found = Container(tools, name)

    def begin(source: int, out: int, err: int) -> Started:
        return found.begin(command, source, out, err)

    return _in_terminal(begin) if os.isatty(0) and os.isatty(1) else _in_pipes(begin)


def leave(name: str, tools: Tools) -> None:
    """Remove the working container, and the image that it stands on when nothing else has that.

    Raises:
        ImageError: there is no such container.
    """
    _require(name, tools)
    image = Container(tools, name).image
    tools.buildah(argv.remove_container(name))
    with suppress(StepError):  # somebody's image
        tools.buildah(argv.remove_images([image]))


def _require(name: str, tools: Tools) -> None:
    known = tools.container_names()
    if name not in known:
        kept = [one for one in known if one.startswith("avabuild-")]
        hint = (
            f"there are: {', '.join(kept)}"
            if kept
            else "a build with --keep leaves the container of a failed step"
        )
        raise ImageError(f"there is no working container {name}", hint=hint)


def _in_pipes(begin: Begin) -> int:
    (source, feed), (out, said), (err, told) = os.pipe(), os.pipe(), os.pipe()
    started = begin(source, said, told)
    for descriptor in (source, said, told):
        os.close(descriptor)
    Thread(target=_carry, args=(0, feed, feed), daemon=True).start()  # nobody may end our input
    printed = [Thread(target=_carry, args=(end, to, end)) for end, to in ((out, 1), (err, 2))]
    for thread in printed:
        thread.start()
    code = started.wait()
    for thread in printed:
        thread.join()
    return code


def _carry(source: int, target: int, pipe: int) -> None:
    """Carry bytes until there are no more, or nobody takes them; then close `pipe`, which is ours."""
    with suppress(OSError):
        while data := os.read(source, _CHUNK):
            while data:
                data = data[os.write(target, data) :]
    os.close(pipe)


def _in_terminal(begin: Begin) -> int:
    ours, theirs = pty.openpty()
    with suppress(OSError):  # a terminal of no size
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, fcntl.ioctl(0, termios.TIOCGWINSZ, b"\0" * 8))
    started = begin(theirs, theirs, theirs)
    os.close(theirs)
    try:
        with _raw(), started.ending() as ended:
            _pass_on(ours, ended)
        return started.wait()
    finally:
        os.close(ours)


@contextmanager
def _raw() -> Iterator[None]:
    """Have the terminal hand on every key."""
    before = termios.tcgetattr(0)
    tty.setraw(0, termios.TCSADRAIN)  # what was typed before is not lost
    try:
        yield
    finally:
        termios.tcsetattr(0, termios.TCSADRAIN, before)


def _pass_on(terminal: int, ended: int) -> None:
    """Carry bytes between this terminal and the command's until that has ended."""
    while True:
        ready, _, _ = select.select([0, terminal, ended], [], [])
        if terminal in ready:
            try:
                data = os.read(terminal, _CHUNK)
            except OSError:  # nobody has it open any more
                return
            os.write(1, data)
        elif 0 in ready:
            os.write(terminal, os.read(0, _CHUNK) or b"\4")  # the end of our input is Ctrl-D for theirs
        elif ended in ready:
            return
