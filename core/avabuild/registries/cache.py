"""The layer cache in a registry: what is known by key, with its blobs, for machines that have an empty store.

An entry is a manifest tagged `KIND-KEY` in one repository. Its annotation says what the store records for the
key, its layers are the blobs that go with it, its config what was found out about them. All of it is held
against digests. A cache that is out of reach is told of once and then left alone: a build never fails of it.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from avabuild.common.errors import AvabuildError
from avabuild.registries.connections import Registries
from avabuild.registries.name import Remote, is_digest
from avabuild.registries.push import note_place, send_blob
from avabuild.registries.repository import Came
from avabuild.store import Kept, Scratch, Store, oci
from avabuild.store.store import disk_errors
from avabuild.tools.cancellation import Cancellation, CancelledError
from avabuild.tools.events import Event, Report

ARTIFACT = "application/vnd.avabuild.entry.v1+json"
BLOB = "application/vnd.avabuild.blob.v1"
RECORD = "org.avabuild.record"
_MOST_BLOBS = 1000  # of one key: a base has a hundred
ABOUT = ("linkage", "tree")  # what the store knows of a layer by its digest


@dataclass(frozen=True, slots=True)
class _Entry:
    """What is to be kept there, while its blobs are on their way.

    Attributes:
        there: the digest of what the registry has for it already, None for nothing.
        coming: what becomes of each blob, none of them where the entry is there as it is to be.
        anew: whether what is there may mean something else than this.
    """

    store: Store
    record: Any
    blobs: tuple[Kept, ...]
    there: Future[str | None]
    coming: tuple[Future[Came | None], ...]
    anew: bool


class Cache:
    """A store's `elsewhere`; a context manager that finishes what is being sent. Safe in several threads.

    Args:
        name: the repository, without a tag.
    """

    def __init__(self, registries: Registries, name: Remote, report: Report) -> None:
        self._name = name
        self._stop = Cancellation()
        self._repository = registries.repository(name, self._stop)
        self._pool = registries.pool
        self._report = report
        self._lock = threading.Lock()
        self._asked: dict[str, bool] = {}  # by tag: whether it came from there
        self._entries: dict[str, _Entry] = {}
        self._given_up: set[str] = set()
        self._finished = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None and not isinstance(error, AvabuildError):
            self.stop()
        else:
            try:
                self.finish()
            except BaseException:
                self.stop()
                raise

    def finish(self) -> bool:
        """Send what is left of all that was to be kept; return whether the registry has it now."""
        if self._entries and not self._finished and not self._given_up:
            self._finished = True
            with self._report.step(f"keep layers in {self._name}", "cache") as said:
                pending = [self._pool.submit(self._enter, tag, one) for tag, one in self._entries.items()]
                sent = [size for future in pending if (size := future.result()) is not None]
                if not self._given_up:
                    said.append(f"{len(sent)} new, {sum(sent) / 1e6:.1f} MB" if sent else "all were there")
        return not self._given_up

    def stop(self) -> None:
        """End what is under way."""
        self._stop.stop()
        for entry in self._entries.values():
            entry.there.cancel()
            for future in entry.coming:
                future.cancel()

    # -- from the registry -----------------------------------------------------------------------------------

    def bring(self, store: Store, kind: str, key: str) -> bool:
        """Bring what `key` of `kind` is into the store; return whether the registry has it."""
        tag = _tag(kind, key)
        with store.claims.hold(f"{self._name} {tag}"):
            if self._given_up & {"reading"} or tag in self._asked:
                return self._asked.get(tag, False)
            try:
                with disk_errors(store.root):
                    self._asked[tag] = self._brought(store, kind, key, tag)
            except (AvabuildError, OSError) as error:
                self._give_up("reading", f"the cache {self._name} is left alone: {_words(error)}")
                return False
            return self._asked[tag]

    def _brought(self, store: Store, kind: str, key: str, tag: str) -> bool:
        manifest = self._repository.manifest(tag)
        if manifest is None:
            return False
        try:
            read = manifest.read()
            record = json.loads(read["annotations"][RECORD])
            blobs = [Kept(digest=one["digest"], size=one["size"]) for one in read["layers"]]
            facts = str(read["config"]["digest"])
            if not all(is_digest(digest) for digest in (facts, *(blob.digest for blob in blobs))):
                return False
            if any(blob.size < 0 for blob in blobs) or len(blobs) > _MOST_BLOBS:
                return False
            about = oci.decode(self._repository.read(facts)) if blobs else {}
        except (ValueError, LookupError, TypeError, RecursionError):
            return False  # somebody else's
        for blob in blobs:
            self._download(store, blob, f"{kind} {blob.digest[7:19]}")
        for blob, name in itertools.product(blobs, ABOUT):
            if (known := about.get(f"{name} {blob.digest}")) is not None:
                store.record(name, blob.digest, known)
        store.record(kind, key, record)
        return True

    def _download(self, store: Store, blob: Kept, words: str) -> None:
        if store.has(blob.digest, blob.size):
            return

        def progress(done: int, total: int) -> None:
            self._report.emit(Event("progress", words, done=done, total=total))

        with Scratch(store) as scratch:
            partial = scratch.path / "fetched"
            self._repository.fetch(blob.digest, blob.size, partial, progress)
            store.adopt(partial, blob.digest)
            note_place(store, self._repository, blob.digest)

    # -- to the registry -------------------------------------------------------------------------------------

    def keep(
        self, store: Store, kind: str, key: str, record: Any, blobs: Sequence[Kept], *, anew: bool = False
    ) -> None:
        """Begin to send the blobs of `key`; its entry follows in the end, when all is known about them."""
        tag = _tag(kind, key)
        with self._lock:
            if tag in self._entries or self._given_up or self._asked.get(tag):
                return
            there = self._pool.submit(self._known, tag)  # ahead of what waits for it, so nothing is stuck
            coming = tuple(self._pool.submit(self._send, store, blob, there, anew=anew) for blob in blobs)
            self._entries[tag] = _Entry(store, record, tuple(blobs), there, coming, anew)

    def _known(self, tag: str) -> str | None:
        if self._given_up:
            raise CancelledError
        try:
            return self._repository.digest(tag)
        except AvabuildError as error:
            self._give_up("writing", f"nothing is kept in the cache {self._name}: {_words(error)}")
            raise

    def _send(self, store: Store, blob: Kept, there: Future[str | None], *, anew: bool) -> Came | None:
        if self._given_up:
            raise CancelledError
        if there.result() and not anew:
            return None

        def progress(done: int, total: int) -> None:
            self._report.emit(Event("progress", f"layer {blob.digest[7:19]}", "upload", done, total))

        try:
            return send_blob(self._repository, store, blob.digest, blob.size, progress)
        except (AvabuildError, OSError) as error:
            self._give_up("writing", f"nothing is kept in the cache {self._name}: {_words(error)}")
            raise

    def _enter(self, tag: str, entry: _Entry) -> int | None:
        """Finish an entry; return the bytes that were sent for it, None when it was there or can't be."""
        if self._given_up:
            return None
        try:
            if (there := entry.there.result()) and not entry.anew:
                return None
            came = [future.result() for future in entry.coming]
            facts = oci.encode(dict(_facts(entry)))
            digest = entry.store.put(facts)
            manifest = oci.encode(_manifest(entry, facts))
            if there == f"sha256:{hashlib.sha256(manifest).hexdigest()}":
                return None
            send_blob(self._repository, entry.store, digest, len(facts), lambda *_: None)
            self._repository.put_manifest(tag, manifest)
        except CancelledError:
            return None
        except (AvabuildError, OSError) as error:
            self._give_up("writing", f"nothing is kept in the cache {self._name}: {_words(error)}")
            return None
        return sum(blob.size for blob, how in zip(entry.blobs, came, strict=True) if how == "sent")

    def _give_up(self, what: str, words: str) -> None:
        with self._lock:
            first = not self._given_up
            self._given_up.add(what)
        if first:
            self._report.warn(words)


def _words(error: AvabuildError | OSError) -> str:
    return error.message if isinstance(error, AvabuildError) else str(error)


def _facts(entry: _Entry) -> Iterator[tuple[str, Any]]:
    for blob, name in itertools.product(entry.blobs, ABOUT):
        if (known := entry.store.recall(name, blob.digest)) is not None:
            yield f"{name} {blob.digest}", known


def _manifest(entry: _Entry, facts: bytes) -> dict[str, Any]:
    layers = [{"mediaType": BLOB, "digest": blob.digest, "size": blob.size} for blob in entry.blobs]
    record = json.dumps(entry.record, sort_keys=True, separators=(",", ":"))
    made = oci.manifest(facts, layers, {RECORD: record})
    made["artifactType"] = made["config"]["mediaType"] = ARTIFACT
    return made


def _tag(kind: str, key: str) -> str:
    name = key.removeprefix("sha256:")
    if not (len(name) == 64 and name.isalnum()):
        name = hashlib.sha256(key.encode(errors="surrogateescape")).hexdigest()
    return f"{kind}-{name}"
