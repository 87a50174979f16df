"""The cache: content-addressed blobs, an index from layer key to blob, and the scratch space of builds."""

from avabuild.store.scratch import Scratch
from avabuild.store.store import Elsewhere, Kept, Store

__all__ = ["Elsewhere", "Kept", "Scratch", "Store"]
