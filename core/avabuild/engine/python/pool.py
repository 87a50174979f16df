"""Pool: a few threads that do what is most urgent first."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from queue import Empty, PriorityQueue
from typing import Self

Work = Callable[[], None]
_LAST = 1 << 62  # less urgent than any work: a thread ends


class Pool:
    """A context manager: on the way out it waits for what was submitted, after an error only for what runs.

    Work must not raise. The threads hold up no exit of the program, wherever an interrupt comes.
    """

    def __init__(self, size: int, name: str) -> None:
        self._queue: PriorityQueue[tuple[int, int, Work]] = PriorityQueue()
        self._order = itertools.count()
        self._lock = threading.Lock()
        self._closed = False
        self._size, self._name = size, name
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        with self._lock:
            self._closed = True
        if kind:
            self._forget()
        for _ in range(self._size):
            self._queue.put((_LAST, next(self._order), _nothing))
        for thread in self._threads:
            thread.join()

    def submit(self, urgency: int, work: Work) -> None:
        """Have `work` done, after all of a smaller `urgency` and what came earlier with the same.

        Raises:
            RuntimeError: the pool takes nothing more.
        """
        with self._lock:
            if self._closed:
                raise RuntimeError("the pool is closed")
            self._queue.put((urgency, next(self._order), work))
            if len(self._threads) < self._size:
                name = f"{self._name}_{len(self._threads)}"
                thread = threading.Thread(target=self._run, name=name, daemon=True)
                thread.start()
                self._threads.append(thread)

    def _forget(self) -> None:
        while True:
            try:
                self._queue.get_nowait()
            except Empty:
                return

    def _run(self) -> None:
        while True:
            urgency, _, work = self._queue.get()
            if urgency == _LAST:
                return
            work()


def _nothing() -> None:
    """Stand for no work."""
