"""Deflate: gzip members around raw deflate streams, new or taken from a zip (RFC 1951, RFC 1952)."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator

from isal import isal_zlib

HEADER = (
    b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"  # of a member: deflate, no flags, no time, unknown system
)

_TRIES = 5


def trailer(crc32: int, size: int) -> bytes:
    """Return the end of a gzip member whose content has this CRC-32 and size in bytes."""
    return struct.pack("<II", crc32, size & 0xFFFFFFFF)


def member(data: bytes) -> bytes:
    """Return `data` as a whole gzip member, by ISA-L's level 1.

    Once in many thousand blocks ISA-L was seen to give a stream that inflates to the same and is another: a
    stream counts when it came out twice in a row, since a layer's digest must not depend on chance.
    """
    stream = b""
    for _ in range(_TRIES):
        before, stream = stream, isal_zlib.compress(data, 1, -15)
        if stream == before:
            break
    return HEADER + stream + trailer(isal_zlib.crc32(data), len(data))


def inflated(chunks: Iterable[bytes], size: int, crc32: int, at_most: int) -> Iterator[bytes]:
    """Inflate one raw deflate stream and hold it against what a zip's directory says of it.

    Args:
        chunks: the stream.
        size: bytes that it is said to inflate to.
        crc32: their CRC-32, as said.
        at_most: bytes of one yielded piece, so that a small stream can't fill the memory.

    Raises:
        ValueError: the stream is damaged, is not what was said, or does not end just where `chunks` do.
    """
    stream, rest = isal_zlib.decompressobj(-15), b""
    done = crc = 0
    for chunk in chunks:
        rest, more = chunk, True
        while more and not stream.eof:
            try:
                data = stream.decompress(rest, at_most)
            except isal_zlib.IsalError as error:  # type: ignore[misc] # its stub declares an instance
                raise ValueError("its deflate stream is damaged") from error
            rest = stream.unconsumed_tail
            more = bool(rest) or len(data) == at_most
            done += len(data)
            if done > size:
                raise ValueError(f"it inflates to more than its {size} bytes")
            crc = isal_zlib.crc32(data, crc)
            yield data
    if not stream.eof or stream.unused_data or rest:
        raise ValueError("its deflate stream is cut short or followed by something else")
    if done != size or crc != crc32:
        raise ValueError("its content does not match its CRC-32 and size")
