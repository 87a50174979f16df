"""The output of a running program, line by line, as it comes.

`sh` does this too, but its reading thread notices the end of a program a tenth of a second late.
"""

from __future__ import annotations

import codecs
import os
import selectors
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Self

CHUNK = 1 << 16
LONGEST = 1 << 16  # characters of a line from which it comes in pieces
GONE = -1

Sink = Callable[[str], None]


class Pipe:
    """A pipe for one output of a program; a context manager that closes what is still open, once.

    Attributes:
        reader: the end to read from.
        writer: the end that the program is given.
    """

    def __init__(self) -> None:
        self.reader, self.writer = os.pipe()
        self._open = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.started()
        os.close(self.reader)

    def started(self) -> None:
        """Close our copy of the writing end: the program has its own."""
        if self._open:  # closed twice, it would be the file that another thread opened meanwhile
            self._open = False
            os.close(self.writer)


class _Lines:
    """Bytes in, lines out, long ones in pieces; what is not UTF-8 is replaced."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._parts: list[str] = []  # of the line that has not ended
        self._length = 0

    def feed(self, data: bytes, *, last: bool = False) -> None:
        *lines, rest = self._decoder.decode(data, final=last).split("\n")
        for line in lines:
            self._parts.append(f"{line}\n")
            self._flush()
        self._parts.append(rest)
        self._length += len(rest)
        if last or self._length >= LONGEST:
            self._flush()

    def _flush(self) -> None:
        if text := "".join(self._parts):
            self._sink(text)
        self._parts.clear()
        self._length = 0


def read_lines(ended: int, sinks: Mapping[int, Sink]) -> None:
    """Hand each line that arrives at the read ends `sinks` to its sink until `ended` is readable.

    A line keeps its newline; the last may have none, and of the pieces of a long one only its end has. What
    the program left running may hold the pipes open: that is not waited for.
    """
    lines = {descriptor: _Lines(sink) for descriptor, sink in sinks.items()}
    for descriptor in lines:
        os.set_blocking(descriptor, False)
    if ended != GONE:  # else what it said is in the pipes
        _follow(lines, ended)
    for descriptor, line in lines.items():
        _drain(descriptor, line)
        line.feed(b"", last=True)


@contextmanager
def ending(pid: int) -> Iterator[int]:
    """Yield a descriptor that is readable once the child `pid` has ended, GONE when it was waited for."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        yield GONE
        return
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _follow(lines: Mapping[int, _Lines], ended: int) -> None:
    """Read until `ended`, or until no stream has more."""
    with selectors.DefaultSelector() as selector:
        for descriptor in (ended, *lines):
            selector.register(descriptor, selectors.EVENT_READ)
        while len(selector.get_map()) > 1:
            ready = [key.fd for key, _ in selector.select()]
            if ended in ready:
                return
            for descriptor in ready:
                if not _drain(descriptor, lines[descriptor]):
                    selector.unregister(descriptor)


def _drain(descriptor: int, lines: _Lines) -> bool:
    """Read what is there; return False at the end of the stream."""
    while True:
        try:
            data = os.read(descriptor, CHUNK)
        except BlockingIOError:
            return True
        if not data:
            return False
        lines.feed(data)
