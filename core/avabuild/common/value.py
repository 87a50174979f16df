"""The base of all values: frozen, strict about unknown keys, with one canonical form to hash."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from pydantic import BaseModel, ConfigDict


class Value(BaseModel):
    """An immutable value: equal when its fields are, hashable, and refusing keys it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def canonical(data: Any) -> bytes:
    """Return the one JSON encoding of `data` (sorted keys, no spaces, UTF-8): the input of every key."""
    return json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode(
        errors="surrogatepass"
    )


def digest_of(data: Any) -> str:
    """Return `sha256:<hex>` of the canonical form of `data`."""
    return "sha256:" + hashlib.sha256(canonical(data)).hexdigest()
