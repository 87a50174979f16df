"""Cancellation: stopping transfers and tools at once, by ending what their threads wait for."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any


class CancelledError(Exception):
    """The transfer, or the tool, was stopped by its owner."""


class Cancellation:
    """One owner's way to stop all of its transfers; safe to use from any thread."""

    def __init__(self) -> None:
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._sockets: set[socket.socket] = set()
        self._others: list[Cancellation] = []
        self._acts: list[Callable[[], None]] = []

    def stop(self) -> None:
        """Make every transfer raise CancelledError soon."""
        with self._lock:
            self._stopped.set()
            for one in self._sockets:
                _shut(one)
            for act in self._acts:
                act()
            others = tuple(self._others)
        for other in others:
            other.stop()

    def part(self) -> Cancellation:
        """Return the cancellation of a part: stopping the whole stops it, and not the other way round."""
        made = Cancellation()
        with self._lock:
            self._others.append(made)
        if self._stopped.is_set():
            made.stop()
        return made

    @contextmanager
    def ending(self, act: Callable[[], None]) -> Iterator[None]:
        """Have `act` end what the block waits for, when stopped meanwhile or before; then CancelledError."""
        with self._lock:
            self._acts.append(act)
            if self._stopped.is_set():
                act()
        try:
            yield
        finally:
            with self._lock:
                self._acts.remove(act)
        self.check()

    def check(self) -> None:
        """Raise CancelledError when stopped."""
        if self._stopped.is_set():
            raise CancelledError

    def sleep(self, seconds: float) -> None:
        """Wait, but no longer than until stopped."""
        self._stopped.wait(seconds)
        self.check()

    def trace(self, event: str, info: Mapping[str, Any]) -> None:
        """Learn of a new connection: the `trace` extension of an httpx request."""
        if event not in {"connection.connect_tcp.complete", "connection.start_tls.complete"}:
            return
        found = info["return_value"].get_extra_info("socket")
        if isinstance(found, socket.socket):
            with self._lock:
                self._sockets.add(found)
                if self._stopped.is_set():
                    _shut(found)


def _shut(one: socket.socket) -> None:
    """Wake who reads `one`. A TLS socket's own `shutdown` would drop its state under the reader's feet."""
    with suppress(OSError):
        socket.socket.shutdown(one, socket.SHUT_RDWR)
