"""Where an image goes while it is built: each layer is offered as it is made, the image finishes it."""

from __future__ import annotations

from typing import Protocol

from avabuild.engine.layout import Composed
from avabuild.registries.pushed import Pushed
from avabuild.store.blob import Blob


class Publication(Protocol):
    """One image on its way to a registry, or nowhere."""

    def offer(self, blob: Blob, words: str) -> None:
        """Take a layer that is there now, which `words` name; return without waiting for it."""

    def finish(self, image: Composed) -> Pushed | None:
        """Take the whole image; return what came of it, None where it goes nowhere."""


class NoPublication:
    """The image goes nowhere."""

    def offer(self, blob: Blob, words: str) -> None:
        """Do nothing."""

    def finish(self, image: Composed) -> None:
        """Do nothing."""
