"""Programs that are run, logged line by line, timed, and stopped together from any thread."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager, closing, suppress
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from avabuild.common.errors import DiskFullError, HostError, StepError
from avabuild.tools.events import Event, Report
from avabuild.tools.streams import Pipe, Sink, read_lines

TAIL = 40
_SHOWN = 2000  # characters of a line, or of a piece of one, that is told
_LOGGED = 64 << 20  # bytes of a log: a step may print as long as it likes
_ENOUGH = b"\n(the log ends here: it has %d MB)\n" % (_LOGGED >> 20)
_MOST = 32 << 20  # characters of output that are kept: an image's description is far shorter
# buildah's copy of itself in memory was still being written by a fork of ours: it did nothing, and says so.
_NOT_STARTED = "sealing memfd copy"
_STARTS = 3
_NO_NETAVARK = 'could not find "netavark"'  # buildah since it left CNI, in any of its commands
_FULL = ("no space left on device", "disk quota exceeded", "io: read/write on closed pipe")


class Running(Protocol):
    """What is waited for: a process of `sh`, or one inside."""

    def ending(self) -> AbstractContextManager[int]:
        """Yield a descriptor that is readable once it has ended."""

    def wait(self) -> int:
        """Wait; return the exit code, negative for a signal."""

    def stop(self) -> None:
        """Ask it to end."""

    def kill(self) -> None:
        """End it."""


Start = Callable[[Pipe, Pipe], Running]


class ProcessRunner:
    """Runs things one after another or side by side; each has its lines in `log` and in the report."""

    def __init__(self, report: Report, log: Path) -> None:
        self.log = log
        self.report = report
        self._running: dict[int, Running] = {}
        self._lock = threading.Lock()
        self._stopped = False
        self._cleaning = threading.local()  # `on` in the threads that go on after `stop`

    def follow(self, tool: str, shown: str, place: str | None, timeout: float | None, start: Start) -> str:
        """Wait for what `start` starts; return what it printed on its standard output, of very much the end.

        Raises:
            StepError: it failed, or took longer than `timeout` seconds; with `shown`, and what it said last.
            DiskFullError: it said so.
            HostError: it lacks what this host should have.
        """
        out = _Kept()
        tail: deque[str] = deque(maxlen=TAIL)
        with closing(_Log(self.log)) as log:
            log.write(f"$ {shown}\n")

            def line(text: str) -> None:
                shown = text.rstrip("\n")
                if len(shown) > _SHOWN:
                    shown = f"{shown[:_SHOWN]}… ({len(shown)} characters)"
                tail.append(shown)
                log.write(text)
                self.report.emit(Event("output", place or tool, shown))

            def kept(text: str) -> None:
                out.add(text)
                line(text)

            code = self._wait(start, kept, line, timeout)
            for _ in range(_STARTS):
                if code == 0 or not any(_NOT_STARTED in text for text in tail):
                    break
                out.clear()
                tail.clear()
                code = self._wait(start, kept, line, timeout)
        if code is None:
            raise StepError(
                f"the command was stopped after {timeout:g} s",
                command=shown,
                tail="\n".join(tail),
                log=str(self.log),
                place=place,
                late=True,
            )
        if code != 0:
            raise _failure(tool, shown, code, "\n".join(tail), str(self.log), place)
        return out.text

    def _wait(self, start: Start, out: Sink, err: Sink, timeout: float | None) -> int | None:
        """Return the exit code, negative for a signal; None when it took longer than `timeout` seconds."""
        late = threading.Event()
        with Pipe() as printed, Pipe() as complained:
            with self._lock:
                if self._halted:
                    raise KeyboardInterrupt
                running = start(printed, complained)
                self._running[id(running)] = running
            printed.started()
            complained.started()

            def end() -> None:
                late.set()
                running.kill()

            timer = threading.Timer(timeout or 0, end)
            try:
                if timeout:
                    timer.start()
                with running.ending() as ended:
                    read_lines(ended, {printed.reader: out, complained.reader: err})
                code = running.wait()
            finally:
                timer.cancel()
                with self._lock:
                    self._running.pop(id(running), None)
                    halted = self._halted
                if halted:
                    raise KeyboardInterrupt
        return None if late.is_set() else code

    def stop(self) -> None:
        """End every running command and its children; only `reopen_for_cleanup` starts more."""
        with self._lock:
            self._stopped = True
            every = list(self._running.values())
        for running in every:
            with suppress(ProcessLookupError, OSError):
                running.stop()

    def reopen_for_cleanup(self, act: Callable[[], Any]) -> None:
        """Run `act` even after `stop`, swallowing what a half-made container answers.

        Only this thread goes on: what others were about to start stays stopped.
        """
        outer = getattr(self._cleaning, "on", False)
        self._cleaning.on = True
        try:
            with suppress(StepError):
                act()
        finally:
            self._cleaning.on = outer

    @property
    def stopped(self) -> bool:
        """Whether what ran was ended in the middle of what it did."""
        return self._stopped

    @property
    def _halted(self) -> bool:
        """Whether this thread may start nothing more."""
        return self._stopped and not getattr(self._cleaning, "on", False)


class _Kept:
    """What a program printed, the last `_MOST` characters or somewhat more: a step may print without end."""

    def __init__(self) -> None:
        self._parts: deque[str] = deque()
        self._length = 0

    def add(self, text: str) -> None:
        self._parts.append(text)
        self._length += len(text)
        while self._length - len(self._parts[0]) > _MOST:
            self._length -= len(self._parts.popleft())

    def clear(self) -> None:
        self._parts.clear()
        self._length = 0

    @property
    def text(self) -> str:
        return "".join(self._parts)


class _Log:
    """A log that is added to, up to a size; what can't be logged is done all the same: cleaning up too."""

    def __init__(self, path: Path) -> None:
        self._file: BinaryIO | None = None
        self._left = 0
        with suppress(OSError):
            self._file = path.open("ab", buffering=0)
            self._left = _LOGGED - os.fstat(self._file.fileno()).st_size

    def write(self, text: str) -> None:
        if self._file and self._left > 0:
            data = text.encode("utf-8", "replace")
            if len(data) > self._left:
                data = data[: self._left] + _ENOUGH
            self._left -= len(data)
            with suppress(OSError):
                self._file.write(data)

    def close(self) -> None:
        if self._file:
            self._file.close()


def _failure(tool: str, shown: str, code: int, tail: str, log: str, place: str | None) -> Exception:
    lowered = tail.lower()
    if any(words in lowered for words in _FULL):
        return DiskFullError(
            f"no space left while running: {shown}",
            place=place,
            hint="free some space in the image storage and in TMPDIR",
        )
    if _NO_NETAVARK in tail:
        return HostError(
            f"{tool} starts nothing here: it asks for netavark, though no network is made",
            hint="apt-get install netavark",
        )
    how = f"was killed by signal {-code}" if code < 0 else f"failed with exit code {code}"
    return StepError(f"{tool} {how}", command=shown, tail=tail, log=log, place=place)
