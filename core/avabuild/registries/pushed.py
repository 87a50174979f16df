"""What a push came to, as a value."""

from __future__ import annotations

from avabuild.common.value import Value
from avabuild.registries.name import Remote


class Pushed(Value):
    """What a push came to.

    Attributes:
        name: the image, by tag.
        digest: of its manifest.
        layers: how many it has; `sent` and `mounted` are how many of them.
        uploaded: bytes of those that were sent.
    """

    name: Remote
    digest: str
    layers: int = 0
    sent: int = 0
    mounted: int = 0
    uploaded: int = 0

    @property
    def pinned(self) -> str:
        """The name that always means this image."""
        return f"{self.name.bare}@{self.digest}"

    def __str__(self) -> str:
        sent = f"{self.sent} of {self.layers} layers sent, {self.uploaded / 1e6:.1f} MB" if self.sent else ""
        mounted = f"{self.mounted} mounted from another repository" if self.mounted else ""
        return ", ".join(text for text in (sent, mounted) if text) or "all layers were there"
