"""Feed: layers are fed to the local storage one by one, each inflated into the tool that extracts it.

`buildah pull` copies a layer and hashes the copy before it extracts it. `containers-storage import-layer`, of
the same library, extracts what comes on its standard input. The image that is pulled afterwards finds its
layers there by their ids.
"""

from __future__ import annotations

import fcntl
import json
import os
import threading
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Protocol, Self

from avabuild.common.errors import StepError, StoreError
from avabuild.layer.blob import BLOCK
from avabuild.layer.inflate import inflate
from avabuild.store import Store
from avabuild.store.blob import Blob
from avabuild.store.store import disk_errors
from avabuild.tools.storage import LocalLayer, layer_ids

RECORD = "fed-layers"  # in a build's scratch


class Feeding(Protocol):
    """What the feed asks of the tools."""

    @property
    def feeds(self) -> bool:
        """Whether layers can be fed here."""

    def listed_layers(self) -> Mapping[str, LocalLayer] | None:
        """Return the storage's whole layers by id; None when they can't be told."""

    def feed_layer(self, layer: str, parent: str, source: BinaryIO) -> str:
        """Extract the tar that `source` has as `layer` on `parent`; return what is known of it."""

    def drop_layers(self, layers: Collection[str]) -> None:
        """Remove those of the layers that nothing stands on."""


class Feed:
    """Feeds the local storage; one thread at a time.

    `record` is the file that names what was fed, for the build that cleans up after this one was killed.
    """

    def __init__(self, store: Store, tools: Feeding, record: Path) -> None:
        self._store = store
        self._tools = tools
        self._record = record
        self._refused = False
        self._fed: set[str] = set()
        self._loose: set[str] = set()  # what of it is in no image yet

    @property
    def works(self) -> bool:
        """Whether layers can be fed to this storage; it has refused none so far."""
        return not self._refused and self._tools.feeds

    def give(self, blobs: Sequence[Blob]) -> bool:
        """Have the storage hold layers that stand on each other, lowest first; False when it refuses one.

        Raises:
            StoreError: a layer in the store is damaged.
        """
        there = self._tools.listed_layers() if self.works else None
        if there is None:
            return False
        parent = ""
        for blob, layer in zip(blobs, layer_ids([blob.diff_id for blob in blobs]), strict=True):
            if layer not in there and not self._feed(blob, layer, parent):
                self._refused = True
                return False
            parent = layer
        return True

    def _feed(self, blob: Blob, layer: str, parent: str) -> bool:
        """Feed one layer; a storage that has it by now, from another program, does not refuse it."""
        with disk_errors(self._record.parent), self._record.open("a") as record:
            record.write(f"{layer}\n")
        self._fed.add(layer)
        self._loose.add(layer)
        try:
            with _Inflating(self._store.blob_path(blob.digest)) as inflating:
                said = self._tools.feed_layer(layer, parent, inflating.reader)
        except StepError:
            self._fed.discard(layer)
            self._loose.discard(layer)  # if it is there, it is the other program's
            return layer in (self._tools.listed_layers() or {})
        except StoreError:
            self._tools.drop_layers([layer])  # what came before the damage is a layer to the tool
            raise
        if _diff_id(said) == blob.diff_id:
            return True
        self._tools.drop_layers([layer])
        return False

    def settle(self, blobs: Sequence[Blob]) -> None:
        """Take note that there is an image of these layers."""
        self._loose.difference_update(layer_ids([blob.diff_id for blob in blobs]))

    @property
    def loose(self) -> bool:
        """Whether layers were fed of which there is no image."""
        return bool(self._loose)

    def withdraw(self) -> None:
        """Remove the layers that were fed and that nothing stands on: the image that they were for is not.

        Those of an image that is gone are among them: what had been fed onto them kept them.
        """
        self._tools.drop_layers(self._fed)


def recorded(store: Store) -> dict[str, list[str]]:
    """Return by build the layers that it fed, of all builds that have their scratch still."""
    found = {}
    for record in (store.root / "tmp").glob(f"*/{RECORD}"):
        with suppress(OSError):  # the build has ended just now, or is another user's
            found[record.parent.name] = record.read_text().split()
    return found


def _diff_id(said: str) -> str:
    """Return the diff ID in what the tool said of the layer that it made; nothing where it said none."""
    try:
        return str(json.loads(said)["diff-digest"])
    except (ValueError, LookupError, TypeError):
        return ""


class _Inflating:
    """A thread that inflates a layer into a pipe; a context manager that ends it.

    Attributes:
        reader: the end to read from, a descriptor without a buffer.
    """

    def __init__(self, compressed: Path) -> None:
        reader, self._writer = os.pipe()
        with suppress(OSError):  # a user has so much room for pipes
            fcntl.fcntl(reader, fcntl.F_SETPIPE_SZ, BLOCK)
        self.reader = os.fdopen(reader, "rb", 0)
        self._path = compressed
        self._error: BaseException | None = None
        # An interrupt may come before anybody reads, and the thread would hold up the program's exit.
        self._thread = threading.Thread(target=self._inflate, name="inflate", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.reader.close()  # a tool that ended early leaves the thread nobody to write to
        self._thread.join()
        if self._error:
            raise self._error

    def _inflate(self) -> None:
        with suppress(BrokenPipeError), os.fdopen(self._writer, "wb") as target:
            try:
                inflate(self._path, target)
            except BrokenPipeError:
                raise
            except BaseException as error:  # noqa: BLE001 - it is raised by who waits
                self._error = error
