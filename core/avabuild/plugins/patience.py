"""Patience: how long a plugin may take to be imported or to answer, and what stops one that takes longer."""

from __future__ import annotations

import contextvars
import sys
import threading
from collections.abc import Callable
from typing import Any, TypeVar

PATIENCE = 60.0
"""Seconds that a plugin has by default for its import and for each answer."""
IN_IMAGES = 10
"""How many times as long a framework's check may take in an image, where it imports and computes."""
SETTING = "AVABUILD_PLUGIN_TIMEOUT, or plugin-timeout in config.toml, gives plugins more seconds"

_Answer = TypeVar("_Answer")


class TooSlowError(Exception):
    """A plugin took longer than it may; says how long that is."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"it takes longer than {seconds:g} s")


def go_on_after(error: Exception) -> None:
    """Raise `error` again where a plugin was too slow: whatever else it is asked would take as long."""
    if isinstance(error.__cause__, TooSlowError):
        raise error


def within(seconds: float, ask: Callable[[], _Answer]) -> _Answer:
    """Return what `ask` returns, or raise what it raises.

    It runs in a thread of its own, with the caller's context and profile function, for nothing else can leave
    a plugin that hangs: the thread is then left to end with the process.

    Raises:
        TooSlowError: it took longer than `seconds`.
    """
    context, profile = contextvars.copy_context(), sys.getprofile()
    answers: list[Any] = []
    failures: list[BaseException] = []

    def run() -> None:
        try:
            sys.setprofile(profile)
            answers.append(context.run(ask))
        except BaseException as error:  # noqa: BLE001 - it is raised again, where somebody waits for it
            failures.append(error)
        finally:
            sys.setprofile(None)

    thread = threading.Thread(target=run, name="plugin", daemon=True)
    sys.setprofile(None)  # what it refuses to a plugin is not refused to the one who waits
    try:
        thread.start()
        thread.join(seconds)
    finally:
        sys.setprofile(profile)
    if failures:
        raise failures[0]
    if not answers:
        raise TooSlowError(seconds)
    return answers[0]  # type: ignore[no-any-return]
