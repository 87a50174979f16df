"""Elsewhere: another place that knows what keys were made into, asked when the store doesn't."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

from avabuild.common.value import Value
from avabuild.store.blob import Blob

if TYPE_CHECKING:
    from avabuild.store.store import Store


class Kept(Value):
    """A blob that goes with what is recorded for a key."""

    digest: str
    size: int

    @classmethod
    def of(cls, blob: Blob) -> Kept:
        """Return the blob of a layer."""
        return cls(digest=blob.digest, size=blob.size)


class Elsewhere(Protocol):
    """What the store asks and tells; none of it fails, and all of it may be called from any thread."""

    def bring(self, store: Store, kind: str, key: str) -> bool:
        """Bring what `key` of `kind` is, with its blobs; return whether the store has it now."""

    def keep(
        self, store: Store, kind: str, key: str, record: Any, blobs: Sequence[Kept], *, anew: bool = False
    ) -> None:
        """Be told what `key` of `kind` is: its blobs are in the store, and stay while the run lasts.

        What is known of it there stays as it is, unless this is something `anew`.
        """

    def stop(self) -> None:
        """End what is under way soon."""
