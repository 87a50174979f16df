"""The builds that run at once, and how all of them are stopped from another thread."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from avabuild.tools.buildah import Tools
from avabuild.tools.cancellation import Cancellation


class Halt:
    """How one build is stopped from another thread: whatever of it runs ends, and nothing of it starts."""

    def __init__(self, tools: Tools, failed: threading.Event, downloads: Cancellation) -> None:
        self._tools = tools
        self._failed = failed
        self.downloads = downloads

    def stop(self) -> None:
        """Stop the build; it raises soon."""
        self._failed.set()
        self.downloads.stop()
        self._tools.stop()


class Running:
    """The builds that run; `stop` ends them all, and those that are begun afterwards at once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._halts: set[Halt] = set()
        self.stopped = False

    @contextmanager
    def build(
        self, tools: Tools, failed: threading.Event | None = None, downloads: Cancellation | None = None
    ) -> Iterator[Halt]:
        """Count a build among those that run while the block does."""
        halt = Halt(tools, failed or threading.Event(), downloads or Cancellation())
        with self._lock:
            self._halts.add(halt)
            stopped = self.stopped
        if stopped:
            halt.stop()
        try:
            yield halt
        finally:
            with self._lock:
                self._halts.discard(halt)

    def stop(self) -> None:
        """Stop every build."""
        with self._lock:
            self.stopped = True
            halts = tuple(self._halts)
        for halt in halts:
            halt.stop()
