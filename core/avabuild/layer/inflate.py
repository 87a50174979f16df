"""Inflating a layer of the store into its plain tar."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import BinaryIO

from avabuild.common import damage
from avabuild.common.errors import StoreError
from avabuild.common.tars import opened
from avabuild.layer.blob import BLOCK


def inflate(compressed: Path, target: BinaryIO) -> None:
    """Write the tar of the layer at `compressed` to `target`.

    Raises:
        StoreError: the layer is damaged; part of it was written.
        OSError: it can't be read, or `target` not be written.
    """
    try:
        with opened(compressed) as source:
            shutil.copyfileobj(source, target, BLOCK)
    except damage.TAR as error:
        hint = f"remove {compressed}; it is made again"
        raise StoreError(f"a layer in the cache is damaged: {error}", hint=hint) from error
