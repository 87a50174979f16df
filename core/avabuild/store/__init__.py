"""The cache: content-addressed blobs, an index from layer key to blob, and the scratch space of builds."""

from avabuild.store.elsewhere import Elsewhere, Kept
from avabuild.store.scratch import Scratch
from avabuild.store.store import Store

__all__ = ["Elsewhere", "Kept", "Scratch", "Store"]
