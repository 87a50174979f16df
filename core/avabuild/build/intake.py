"""Intake: handing images to the local storage, as uncompressed layers and only those that it lacks.

The storage inflates a compressed layer twice, once for its diff ID and once to extract it, in one thread and
much slower than ISA-L does. So a layer that is new to it is inflated here, beside what else goes on, and
named by its diff ID; by that name the storage knows what it has, however that came there.
"""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import Protocol

from avabuild.base.facts import DAMAGE, opened
from avabuild.blob import BLOCK, Blob
from avabuild.build.layout import Composed, write_layout, write_plain_layout
from avabuild.errors import StepError, StoreError
from avabuild.store import Store
from avabuild.store.store import disk_errors

ROOM = 4  # times the bytes to inflate that the disk must have free: the storage writes them twice more


class Importing(Protocol):
    """What the intake asks of the tools."""

    def held_layers(self) -> Mapping[str, int] | None:
        """Return the diff IDs of the storage's layers with their sizes, None when that can't be told."""

    def pull(self, layout: Path) -> str:
        """Import the layout, and return the image's id."""


class Intake:
    """Imports images; safe to use from several threads.

    `directory` is where layers are inflated, on the store's disk; `jobs` how many at once.
    """

    def __init__(self, store: Store, tools: Importing, directory: Path, jobs: int) -> None:
        self._store = store
        self._tools = tools
        self._directory = directory
        self._jobs = jobs
        self._lock = threading.Lock()
        self._inflated: dict[str, Future[Path]] = {}

    def prepare(self, blob: Blob) -> None:
        """Begin to inflate `blob`, which will be imported soon, unless the storage has it."""
        held = self._tools.held_layers()
        if held is not None and blob.diff_id not in held and self._has_room((blob,)):
            self._begin(blob)

    def take(self, composed: Composed, layout: Callable[[], Path]) -> str:
        """Import an image by way of a new directory that `layout` names; return its id."""
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
        compressed = self._store.blob_path(blob.digest)
        try:
            with disk_errors(self._directory), opened(compressed) as source, out.open("wb") as target:
                shutil.copyfileobj(source, target, BLOCK)
        except BaseException as error:
            out.unlink(missing_ok=True)
            if not isinstance(error, DAMAGE):
                raise
            hint = f"remove {compressed}; it is made again"
            raise StoreError(f"a layer in the cache is damaged: {error}", hint=hint) from error
        return out

    def _drop(self, inflated: Mapping[str, Future[Path]]) -> None:
        for diff_id, future in inflated.items():
            if not future.cancelled() and future.exception() is None:
                future.result().unlink(missing_ok=True)
            with self._lock:
                self._inflated.pop(diff_id, None)
