"""OpenPGP public keys: their fingerprints, and one key alone out of a file with several. Nothing is verified.

Source: RFC 4880, sections 4.2 (packets), 6.2 (ASCII armour) and 12.2 (fingerprints).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Iterator

ARMOUR = "-----BEGIN PGP PUBLIC KEY BLOCK-----"
_PUBLIC_KEY = 6  # tags of packets
_SECRET_KEY = 5


def keys(data: bytes) -> dict[str, bytes]:
    """Return every public key in `data`, armoured or not, with all that belongs to it, by fingerprint.

    Raises ValueError when there is none, when one is secret, or when `data` is cut short or something else.
    """
    packed = _dearmoured(data) if ARMOUR.encode() in data else data
    found: dict[str, bytes] = {}
    current = ""
    for tag, body, whole in _packets(packed):
        if tag == _SECRET_KEY:
            raise ValueError("it holds a secret key, which must not leave its owner")
        if tag == _PUBLIC_KEY:
            if body[:1] != b"\x04":
                raise ValueError("its key is not of version 4")
            prefix = b"\x99" + len(body).to_bytes(2, "big")
            current = hashlib.sha1(prefix + body, usedforsecurity=False).hexdigest().upper()
        if not current:
            raise ValueError("it begins with no public key")
        found[current] = found.get(current, b"") + whole
    if not found:
        raise ValueError("it holds no public key")
    return found


def _dearmoured(data: bytes) -> bytes:
    text = data.decode("ascii", "replace").replace("\r", "")
    inner = text.partition(ARMOUR)[2].partition("-----END")[0]
    lines = inner.partition("\n\n")[2].split()
    if lines and lines[-1].startswith("="):  # the checksum
        lines.pop()
    try:
        return base64.b64decode("".join(lines), validate=True)
    except binascii.Error as error:
        raise ValueError(f"its armour is damaged: {error}") from None


def _packets(data: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """Yield tag, body and the whole of each packet."""
    at = 0
    while at < len(data):
        first, start = data[at], at
        if not first & 0x80:
            raise ValueError("it is no OpenPGP key")
        if first & 0x40:
            tag, (size, at) = first & 0x3F, _new_length(data, at + 1)
        else:
            tag, octets = (first >> 2) & 0x0F, 1 << (first & 3)
            if octets == 8:
                raise ValueError("a packet of it has no length")
            size, at = int.from_bytes(data[at + 1 : at + 1 + octets], "big"), at + 1 + octets
        body = data[at : at + size]
        if len(body) != size:
            raise ValueError("it is cut short")
        at += size
        yield tag, body, data[start:at]


def _new_length(data: bytes, at: int) -> tuple[int, int]:
    first = data[at] if at < len(data) else 0
    if first < 192:
        return first, at + 1
    if first < 224:
        return ((first - 192) << 8) + int.from_bytes(data[at + 1 : at + 2], "big") + 192, at + 2
    if first == 255:
        return int.from_bytes(data[at + 1 : at + 5], "big"), at + 5
    raise ValueError("a packet of it has no length")
