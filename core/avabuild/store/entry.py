"""Entries of the index: what a key was made into, as JSON that says by itself whether it is damaged."""

from __future__ import annotations

import hashlib
import json
import os
from typing import Any

_HEAD, _SUM, _TAIL = b'{"data": ', b', "sum": "', b'"}\n'
_HEX = 64


def entry_name(kind: str, key: str) -> str:
    """Return where below a store's root `key` of `kind` is recorded."""
    name = key.removeprefix("sha256:")
    if not name.isalnum():
        name = hashlib.sha256(os.fsencode(key)).hexdigest()
    return f"index/{kind}/{name}.json"


def encode_entry(name: str, data: Any) -> bytes:
    """Return the text of the entry `name`."""
    body = json.dumps(data, sort_keys=True).encode()
    return _HEAD + body + _SUM + _sum(name, body) + _TAIL


def decode_entry(name: str, text: bytes) -> Any | None:
    """Return what the entry `name` says; None when it is damaged, or is another one's."""
    end = len(text) - len(_SUM) - _HEX - len(_TAIL)
    body = text[len(_HEAD) : end]
    if text != _HEAD + body + _SUM + _sum(name, body) + _TAIL:
        return None
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _sum(name: str, body: bytes) -> bytes:
    return hashlib.sha256(name.encode() + b"\n" + body).hexdigest().encode()
