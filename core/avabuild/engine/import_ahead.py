"""Importing an image into the local storage while its upper layers are still being made.

The storage extracts layers one by one, lowest first, and that is the slowest part of a build. So as soon as
enough layers are there and all below them, they are imported; the whole image then finds them in the storage.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Self

from avabuild.engine.context import Context
from avabuild.engine.layout import Composed, compose_image
from avabuild.layer.base import Base
from avabuild.store.oci import Piece, Settings


class Importer:
    """Takes the pieces of an image in any order; imports prefixes of it; a context manager."""

    def __init__(self, context: Context, base: Base, arch: str) -> None:
        self._context = context
        self._base = base
        self._arch = arch
        self._slots: list[Piece | bool | None] = []
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(1, "import")
        self._running: Future[None] | None = None
        self._busy = False  # also after a failure, so that nothing follows it
        self._closed = False
        self._done = 0
        self._lower: list[Piece] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self._closed = True
        self._pool.shutdown(wait=True, cancel_futures=True)

    def begin(self) -> None:
        """Import the base alone, which needs nothing that is made here."""
        with self._lock:
            self._start([])

    def expect(self, count: int) -> None:
        """Say how many pieces, from the lowest, will be handed in."""
        with self._lock:
            self._slots = [False] * count

    def fill(self, index: int, piece: Piece | None) -> None:
        """Hand in the piece at `index`, or None when there is none after all."""
        if piece:
            self._context.intake.prepare(piece.blob)
        with self._lock:
            self._slots[index] = piece
            if pieces := self._ready():
                self._start(pieces)

    def lower(self, pieces: Sequence[Piece]) -> None:
        """Hand in the exec layers below, which stand before slot 0."""
        with self._lock:
            self._lower = list(pieces)
        self.fill(0, None)

    def _ready(self) -> list[Piece]:
        """Take the longest prefix there is, when what was not imported yet of it is worth it."""
        end = next((i for i, slot in enumerate(self._slots) if slot is False), len(self._slots))
        fresh = [slot for slot in self._slots[self._done : end] if isinstance(slot, Piece)]
        worth = sum(piece.blob.unpacked for piece in fresh) >= self._context.intake.worth
        if self._busy or self._closed or not worth or end == len(self._slots):
            return []
        self._done = end
        return [*self._lower, *(slot for slot in self._slots[:end] if isinstance(slot, Piece))]

    def _start(self, pieces: Sequence[Piece]) -> None:
        self._busy = True
        self._running = self._pool.submit(self._work, pieces)

    def _work(self, pieces: Sequence[Piece]) -> None:
        """Import `pieces`, then what became ready meanwhile."""
        self._import(pieces)
        while True:
            with self._lock:
                self._busy = False
                pieces = self._ready()
                self._busy = bool(pieces)
            if not pieces:
                return
            self._import(pieces)

    def _import(self, pieces: Sequence[Piece]) -> None:
        context = self._context
        composed = compose_image(context.store, self._base, pieces, Settings(), self._arch)
        title = f"import the base and {len(pieces)} layers"
        with context.importing(), context.report.step(title, "import"):
            context.import_ahead(composed)

    def settle(self) -> None:
        """Wait for the import that runs; raise what any raised."""
        with self._lock:
            self._closed, running = True, self._running
        if running:
            running.result()


def import_image(context: Context, composed: Composed) -> str:
    """Import the whole image; return its id in the local storage. The caller tags it."""
    with context.importing(), context.report.step("import the image", "import"):
        return context.import_image(composed)
