"""Graph: pieces of work that need one another, several at a time; what fails stops what needs it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Literal

State = Literal["done", "failed", "skipped"]

# Seconds between two looks of the main thread, which alone acts on signals. The kernel may hand one to
# another thread, and then nothing wakes the main one from its wait (signal(7), "Signal mask").
PULSE = 0.2


@dataclass(frozen=True, slots=True)
class Node:
    """A piece of work by its name, and the names of those that have to be done before."""

    name: str
    needs: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Ended:
    """How a piece of work ended.

    Attributes:
        node: which.
        state: `skipped` was never begun.
        error: why it failed.
        why: why it was skipped.
        seconds: how long it ran.
    """

    node: Node
    state: State
    error: BaseException | None = None
    why: str = ""
    seconds: float = 0.0


class Graph:
    """Work in an order that respects what needs what; earlier nodes go first where there is a choice.

    Args:
        nodes: what is to be done. A need that is none of them counts as done.
        work: does one node; called from several threads.
        jobs: how many at a time.
        keep_going: begin what does not need a failed node; else nothing is begun after a failure.
        stop: makes all work that runs end soon.
        ended: told of every node that ended, from one thread.
    """

    def __init__(
        self,
        nodes: Iterable[Node],
        work: Callable[[Node], None],
        *,
        jobs: int,
        keep_going: bool,
        stop: Callable[[], None],
        ended: Callable[[Ended], None],
    ) -> None:
        self._waiting = _by_urgency(tuple(nodes))
        self._work = work
        self._jobs = jobs
        self._keep_going = keep_going
        self._stop = stop
        self._tell = ended
        self._names = frozenset(node.name for node in self._waiting)
        self._ended: dict[str, Ended] = {}
        self._running: dict[Future[Ended], Node] = {}

    def run(self) -> tuple[Ended, ...]:
        """Do all there is to do; return how every node ended, in the order in which they did.

        Raises KeyboardInterrupt when it came while work ran, after that work ended.
        """
        with ThreadPoolExecutor(self._jobs, "image") as pool:
            try:
                while self._waiting or self._running:
                    self._begin(pool)
                    self._finish(wait(self._running, PULSE, FIRST_COMPLETED).done)
            except BaseException:
                self._waiting = ()
                self._stop()
                raise
        return tuple(self._ended.values())

    def _begin(self, pool: ThreadPoolExecutor) -> None:
        """Begin what can be, and give up what no longer can."""
        failed = next((end for end in self._ended.values() if end.state == "failed"), None)
        left = []
        for node in self._waiting:
            lost = next((n for n in sorted(node.needs) if n in self._ended and not self._is_done(n)), None)
            if lost:
                self._end(Ended(node, "skipped", why=f"it needs {lost}"))
            elif failed and not self._keep_going:
                self._end(Ended(node, "skipped", why=f"{failed.node.name} failed; --keep-going goes on"))
            elif len(self._running) < self._jobs and all(map(self._is_done, node.needs & self._names)):
                self._running[pool.submit(self._timed, node)] = node
            else:
                left.append(node)
        self._waiting = tuple(left)
        assert self._running or not left, "nodes need one another in a circle"  # noqa: S101

    def _is_done(self, name: str) -> bool:
        return name in self._ended and self._ended[name].state == "done"

    def _timed(self, node: Node) -> Ended:
        began = time.monotonic()
        try:
            self._work(node)
        except BaseException as error:  # noqa: BLE001 - whatever it is, it is what the node came to
            return Ended(node, "failed", error=error, seconds=time.monotonic() - began)
        return Ended(node, "done", seconds=time.monotonic() - began)

    def _finish(self, futures: Iterable[Future[Ended]]) -> None:
        for future in futures:
            del self._running[future]
            self._end(future.result())

    def _end(self, end: Ended) -> None:
        self._ended[end.node.name] = end
        self._tell(end)


def _by_urgency(nodes: tuple[Node, ...]) -> tuple[Node, ...]:
    """Return the nodes with those first that most others wait for; a circle is an error of the caller."""
    needed: dict[str, set[str]] = {node.name: set() for node in nodes}
    needs: Mapping[str, frozenset[str]] = {node.name: node.needs for node in nodes}

    def note(name: str, by: str) -> None:
        for below in needs.get(name, frozenset()):
            if below in needed and by not in needed[below]:
                needed[below].add(by)
                note(below, by)

    for node in nodes:
        note(node.name, node.name)
    return tuple(sorted(nodes, key=lambda node: -len(needed[node.name])))
