"""Base: an image in the store that others stand on."""

from __future__ import annotations

from typing import Any

from avabuild.common.value import Value
from avabuild.layer.facts import Facts
from avabuild.store import Store, oci
from avabuild.store.blob import Blob


class Base(Value):
    """What an image stands on; its blobs are in the store.

    Attributes:
        digest: of the base's own manifest: what a lock pins. Empty for scratch.
        config: the digest of its image config, empty for scratch.
        layers: lowest first.
        facts: what can be built on it.
    """

    digest: str = ""
    config: str = ""
    layers: tuple[Blob, ...] = ()
    facts: Facts = Facts()

    @classmethod
    def recorded(cls, data: Any) -> Base | None:
        """Return the base that was written down as `data`; None of one with facts of another avabuild."""
        try:
            return cls.model_validate(data) if "format" in data["facts"] else None
        except (ValueError, TypeError, LookupError):
            return None

    def read_config(self, store: Store) -> dict[str, Any]:
        """Return the image config, empty for scratch."""
        return oci.decode(store.read(self.config)) if self.config else {}

    def packed_otherwise(self, compression: str) -> str:
        """Say which of the layers are packed otherwise than a recipe wants its image; empty when none is.

        They stay as they came: other images on this base, and registries, have them already.
        """
        others = [blob for blob in self.layers if not blob.media_type.endswith(f"+{compression}")]
        if compression == "gzip" or not others:
            return ""
        return f"{len(others)} of the base's layers are not {compression}, and stay as they are"

    def is_whole(self, store: Store) -> bool:
        """Whether every blob of it is still in the store."""
        configured = not self.config or store.has(self.config)
        return configured and all(store.has(blob.digest, blob.size) for blob in self.layers)
