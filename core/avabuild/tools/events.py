"""Events: what a build says of itself while it runs; how they look is the command line's business."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Literal

Kind = Literal["start", "finish", "fail", "progress", "note", "warn", "output"]


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened.

    Attributes:
        kind: `start`, `finish` and `fail` bracket a step; `progress` counts it; `note` and `warn` are
            sentences; `output` is a line that a tool printed.
        image: the image that is built, empty for what belongs to none or to all.
        step: the step's name (`layer tensorflow-cpu`), empty for notes.
        text: what to add: a result, a sentence, a line.
        done: bytes so far, for progress.
        total: bytes in all, 0 where unknown.
        seconds: how long the step took, for finish and fail.
    """

    kind: Kind
    step: str = ""
    text: str = ""
    done: int = 0
    total: int = 0
    seconds: float = 0.0
    image: str = ""


class Report:
    """Where a build's events go; safe to use from several threads.

    Attributes:
        seconds: what the steps of each phase took.
        lasting: the warnings that hold for the image as long as it is there.
    """

    def __init__(self, sink: Callable[[Event], None], image: str = "") -> None:
        self._sink = sink
        self._image = image
        self._lock = threading.Lock()
        self.seconds: dict[str, float] = {}
        self.lasting: list[str] = []

    def of(self, image: str) -> Report:
        """Return the report of one image: its events go to the same place under its name."""
        other = Report(self._sink, image)
        other._lock = self._lock
        return other

    @property
    def alone(self) -> threading.Lock:
        """Held while something is told that no event may interrupt."""
        return self._lock

    def emit(self, event: Event) -> None:
        """Hand one event to the sink, one at a time."""
        with self._lock:
            self._sink(replace(event, image=self._image) if self._image else event)

    def note(self, text: str) -> None:
        """Say a sentence."""
        self.emit(Event("note", text=text))

    def warn(self, text: str, *, lasting: bool = False) -> None:
        """Say a sentence that should not be missed; runs with nothing to do say a `lasting` one again."""
        if lasting:
            self.lasting.append(text)
        self.emit(Event("warn", text=text))

    @contextmanager
    def step(self, name: str, phase: str) -> Iterator[list[str]]:
        """Bracket a step; the list that is yielded takes the words for its end. Seconds add up by phase."""
        began = time.monotonic()
        said: list[str] = []
        self.emit(Event("start", name))
        try:
            yield said
        except BaseException:
            self.emit(Event("fail", name, seconds=time.monotonic() - began))
            raise
        spent = time.monotonic() - began
        with self._lock:
            self.seconds[phase] = self.seconds.get(phase, 0.0) + spent
        self.emit(Event("finish", name, ", ".join(said), seconds=spent))


def silent(event: Event) -> None:
    """Drop the event."""
