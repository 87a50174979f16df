"""Push: an image's blobs go to a registry as soon as they are made, its manifest when it is proven.

Only what the registry lacks is sent: a blob that another of its repositories has is mounted from there. What
is compressed already is sent as it is, from the store. Without its manifest nothing of this can be seen.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import Future
from types import TracebackType
from typing import Self

from avabuild.common.errors import StoreError
from avabuild.registries.connections import Registries
from avabuild.registries.name import Remote
from avabuild.registries.pushed import Pushed
from avabuild.registries.repository import Came, Progress, Repository
from avabuild.store import Store
from avabuild.tools.cancellation import Cancellation
from avabuild.tools.events import Event, Report


class Push:
    """One image on its way; a context manager that stops what is under way unless `finish` was reached.

    Args:
        name: what the image is called there.
        store: has the blobs.
        stop: ends it.
    """

    def __init__(
        self, registries: Registries, name: Remote, store: Store, report: Report, stop: Cancellation
    ) -> None:
        self._stop = stop.part()
        self._repository = registries.repository(name, self._stop)
        self._pool = registries.pool
        self._name = name
        self._store = store
        self._report = report
        self._lock = threading.Lock()
        self._moving: dict[str, Future[Came]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self._stop.stop()
            for future in self._moving.values():
                future.cancel()

    def offer(self, digest: str, size: int, words: str) -> Future[Came]:
        """Begin to bring a blob of the store there; `words` say what it is."""
        with self._lock:
            if digest not in self._moving:
                self._moving[digest] = self._pool.submit(self._bring, digest, size, words)
            return self._moving[digest]

    def finish(self, manifest: str, config: str, layers: Mapping[str, int]) -> Pushed:
        """Bring what is not there yet, then the manifest; return what came of it.

        Raises:
            UnavailableError: the registry doesn't answer, or can't do it now.
            RegistryError: it refuses, or can't be trusted.
            DiskFullError: its disk is full.
            StoreError: neither it nor the store has a blob.
        """
        data = self._store.read(manifest)
        with self._report.step(f"push {self._name}", "push") as said:
            for number, (digest, size) in enumerate(layers.items(), 1):
                self.offer(digest, size, f"layer {number} of {self._name.repository}")
            self.offer(config, self._store.blob_path(config).stat().st_size, "config").result()
            came = {digest: self._moving[digest].result() for digest in layers}
            self._repository.put_manifest(self._name.reference, data)
            counted = Counter(came.values())
            pushed = Pushed(
                name=self._name,
                digest=manifest,
                layers=len(layers),
                sent=counted["sent"],
                mounted=counted["mounted"],
                uploaded=sum(layers[digest] for digest, how in came.items() if how == "sent"),
            )
            said.append(str(pushed))
        return pushed

    def _bring(self, digest: str, size: int, words: str) -> Came:
        def progress(done: int, total: int) -> None:
            self._report.emit(Event("progress", words, "upload", done=done, total=total))

        return send_blob(self._repository, self._store, digest, size, progress)


# -- sending a blob of the store, once for all who want it there, and only when the registry lacks it --------


_SOURCES = 4  # repositories that are remembered for a blob


def send_blob(repository: Repository, store: Store, digest: str, size: int, progress: Progress) -> Came:
    """Have a blob in the repository, from another one of the registry where one is known to have it.

    Raises:
        StoreError: neither the repository nor the store has it.
    """
    place = f"{repository.registry.host} {digest}"
    with store.claims.hold(place):  # another image of this run may be sending it
        known = store.recall("registry", place) or []
        source = next((other for other in known if other != repository.name), None)
        if not store.has(digest, size) and not repository.has(digest):
            hint = "build the image again: what is missing is made anew"
            raise StoreError(f"the cache has no blob {digest} any more", hint=hint)
        came = repository.upload(digest, size, store.blob_path(digest), progress, source)
        note_place(store, repository, digest)
    return came


def note_place(store: Store, repository: Repository, digest: str) -> None:
    """Remember that the repository has a blob, which others of its registry may be given."""
    place = f"{repository.registry.host} {digest}"
    known = store.recall("registry", place) or []
    if repository.name not in known:
        store.record("registry", place, [repository.name, *known][:_SOURCES])
