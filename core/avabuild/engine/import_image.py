"""Intake: handing images to the local storage, as uncompressed layers and only those that it lacks.

The storage inflates a compressed layer twice, once for its diff ID and once to extract it, in one thread and
much slower than ISA-L does. So a layer that is new to it is inflated here, into the tool that takes single
layers (feed.py), or where there is no such tool into a file, beside what else goes on. The image then names
it by its diff ID; by that name the storage knows what it has, however that came there.
"""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import Protocol

from avabuild.common.errors import StepError
from avabuild.engine.feed import RECORD, Feed, Feeding
from avabuild.engine.layout import Composed, write_layout, write_plain_layout
from avabuild.layer.inflate import inflate
from avabuild.store import Store
from avabuild.store.blob import Blob
from avabuild.store.store import disk_errors

ROOM = 4  # times the bytes to inflate that the disk must have free: the storage writes them twice more
FED = 10_000_000  # bytes unpacked that are worth an import ahead of the image: it starts one process
PULLED = 150_000_000  # the same where each costs an image: a tenth of a second


class Importing(Feeding, Protocol):
    """What the intake asks of the tools."""

    def held_layers(self) -> Mapping[str, int] | None:
        """Return the diff IDs of the storage's layers with their sizes, None when that can't be told."""

    def pull(self, layout: Path) -> str:
        """Import the layout, and return the image's id."""


class Intake:
    """Imports images; safe to use from several threads, one of which imports at a time.

    `scratch` is where layers are inflated, on the store's disk; `jobs` how many at once.
    """

    def __init__(self, store: Store, tools: Importing, scratch: Path, jobs: int) -> None:
        self._store = store
        self._tools = tools
        self._feed = Feed(store, tools, scratch / RECORD)
        self._directory = scratch / "plain"
        self._jobs = jobs
        self._lock = threading.Lock()
        self._inflated: dict[str, Future[Path]] = {}

    def prepare(self, blob: Blob) -> None:
        """Begin to inflate `blob`, which will be imported soon, unless the storage has it."""
        if self._feed.works:
            return
        held = self._tools.held_layers()
        if held is not None and blob.diff_id not in held and self._has_room((blob,)):
            self._begin(blob)

    @property
    def worth(self) -> int:
        """How many bytes unpacked are worth `ahead`."""
        return FED if self._feed.works else PULLED

    def ahead(self, composed: Composed, layout: Callable[[], Path]) -> None:
        """Have the storage hold the layers of an image on which others will stand."""
        if not self._feed.give(composed.blobs):
            self.take(composed, layout)

    def take(self, composed: Composed, layout: Callable[[], Path]) -> str:
        """Import an image by way of a new directory that `layout` names; return its id."""
        self._feed.give(composed.blobs)
        identity = self._pull(composed, layout)
        self._feed.settle(composed.blobs)
        return identity

    def _pull(self, composed: Composed, layout: Callable[[], Path]) -> str:
        held = self._tools.held_layers()
        missing = [b for b in composed.blobs if held is not None and b.diff_id not in held]
        if held is None or not self._has_room(missing):
            return self._whole(composed, layout())
        inflated = {blob.diff_id: self._begin(blob) for blob in missing}
        try:
            paths = {diff_id: future.result() for diff_id, future in inflated.items()}
            directory = layout()
            write_plain_layout(self._store, composed, directory, paths, held)
            return self._tools.pull(directory)
        except StepError as error:
            if "no such file" not in error.tail:
                raise
            return self._whole(composed, layout())  # somebody removed a layer from the storage meanwhile
        finally:
            self._drop(inflated)

    def close(self) -> None:
        """Wait for what is being inflated."""
        self._pool.shutdown(cancel_futures=True)

    @property
    def loose(self) -> bool:
        """Whether layers were taken ahead of an image which never came."""
        return self._feed.loose

    def withdraw(self) -> None:
        """Remove them, as far as nothing else stands on them."""
        self._feed.withdraw()

    def _whole(self, composed: Composed, layout: Path) -> str:
        write_layout(self._store, composed, layout)
        return self._tools.pull(layout)

    def _has_room(self, blobs: Sequence[Blob]) -> bool:
        needed = ROOM * sum(max(blob.unpacked, blob.size) for blob in blobs)
        return shutil.disk_usage(self._store.root).free > needed

    @cached_property
    def _pool(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(self._jobs, "inflate")

    def _begin(self, blob: Blob) -> Future[Path]:
        with self._lock:
            if blob.diff_id not in self._inflated:
                self._inflated[blob.diff_id] = self._pool.submit(self._inflate, blob)
            return self._inflated[blob.diff_id]

    def _inflate(self, blob: Blob) -> Path:
        self._directory.mkdir(exist_ok=True)
        out = self._directory / blob.diff_id.removeprefix("sha256:")
        try:
            with disk_errors(self._directory), out.open("wb") as target:
                inflate(self._store.blob_path(blob.digest), target)
        except BaseException:
            out.unlink(missing_ok=True)
            raise
        return out

    def _drop(self, inflated: Mapping[str, Future[Path]]) -> None:
        for diff_id, future in inflated.items():
            if not future.cancelled() and future.exception() is None:
                future.result().unlink(missing_ok=True)
            with self._lock:
                self._inflated.pop(diff_id, None)
