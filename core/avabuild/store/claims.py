"""Claims: who makes what in this process, so that no two builds make one thing and none waits idly for it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Claims:
    """Keys that are being made, each by one of the builds of this process; safe to use from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._taken: dict[str, list[Callable[[], None]]] = {}

    def take(self, key: str, then: Callable[[], None] | None = None) -> bool:
        """Return whether `key` is now the caller's to make, and to `leave`.

        When it is another's, `then` is called from their thread once they have left it, made or not.
        """
        with self._lock:
            if key not in self._taken:
                self._taken[key] = []
                return True
            if then:
                self._taken[key].append(then)
            return False

    def leave(self, key: str) -> None:
        """Give `key` back, and tell those who wait for it."""
        with self._lock:
            waiting = self._taken.pop(key)
        for then in waiting:
            then()

    @contextmanager
    def hold(self, key: str) -> Iterator[None]:
        """Wait until `key` is the caller's, and hold it for as long as the block runs."""
        left = threading.Event()
        while not self.take(key, left.set):
            left.wait()
            left = threading.Event()
        try:
            yield
        finally:
            self.leave(key)
