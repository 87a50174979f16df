"""The crew of one build: threads that make things by key, none of which waits for another build's work."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any

from avabuild.engine.python.pool import Pool
from avabuild.store.claims import Claims

Work = Callable[[Sequence[str]], None]


class Crew:
    """Makes what has a key. What another build is making is left to it, and looked at again when it ended."""

    def __init__(self, pool: Pool, claims: Claims) -> None:
        self._pool = pool
        self._claims = claims

    def submit(
        self, keys: Sequence[str], work: Work, after: Sequence[Future[Any]] = (), urgency: int = 0
    ) -> Future[None]:
        """Return the future of `work`, begun when `after` is done and nothing of smaller `urgency` waits.

        `work` is called with those of `keys` that nobody else is making, and again for the others once they
        were left: it has to find out itself what is there by then.
        """
        promise: Future[None] = Future()
        left = len(after)
        lock = threading.Lock()

        def arrived(done: Future[Any]) -> None:
            nonlocal left
            if done.cancelled() or done.exception():
                _end(promise, done.exception() if not done.cancelled() else None)
                return
            with lock:
                left -= 1
                last = left == 0
            if last:
                self._later(keys, work, promise, urgency)

        for future in after:
            future.add_done_callback(arrived)
        if not after:
            self._later(keys, work, promise, urgency)
        return promise

    def _later(self, keys: Sequence[str], work: Work, promise: Future[None], urgency: int) -> None:
        try:
            self._pool.submit(urgency, lambda: self._run(keys, work, promise, urgency))
        except RuntimeError:  # the build has ended meanwhile
            promise.cancel()

    def _run(self, keys: Sequence[str], work: Work, promise: Future[None], urgency: int) -> None:
        mine = [key for key in keys if self._claims.take(key)]
        try:
            if mine:
                work(mine)
        except BaseException as error:  # noqa: BLE001 - it is the future's
            _end(promise, error)
            return
        finally:
            for key in mine:
                self._claims.leave(key)
        others = [key for key in keys if key not in mine]
        if not others:
            _end(promise)
        elif self._claims.take(others[0], lambda: self._later(others, work, promise, urgency)):
            self._claims.leave(others[0])
            self._later(others, work, promise, urgency)


def _end(promise: Future[Any], error: BaseException | None = None) -> None:
    if promise.done():
        return
    if error is not None:
        promise.set_exception(error)
    else:
        promise.set_result(None)
