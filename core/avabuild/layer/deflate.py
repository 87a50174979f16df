"""Deflate: gzip members around raw deflate streams, new or taken from a zip (RFC 1951, RFC 1952)."""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

from isal import isal_zlib

HEADER = (
    b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"  # of a member: deflate, no flags, no time, unknown system
)

_NEAR = 40 << 10  # bytes that tell: a match leads back by 32 KiB at most
_VOTES = 5


def trailer(crc32: int, size: int) -> bytes:
    """Return the end of a gzip member whose content has this CRC-32 and size in bytes."""
    return struct.pack("<II", crc32, size & 0xFFFFFFFF)


def member(data: bytes) -> bytes:
    """Return `data` as a whole gzip member, by ISA-L's level 1."""
    return HEADER + _deflated(data) + trailer(isal_zlib.crc32(data), len(data))


def _deflated(data: bytes) -> bytes:
    """Return the stream that ISA-L gives on nearly every stack.

    ISA-L hashes the third byte of a stream from a register that it never set, which holds an address on the
    thread's stack (`.write_first_byte` of igzip_icf_body_h1_gr_bt.asm, ISA-L 2.31). Where that hash is also
    one of a first byte, ISA-L finds or misses a match, and a layer's digest would depend on chance. So a
    second thread, with its own stack, compresses the beginning too; if the two differ, several threads vote.
    """
    near = data[:_NEAR]
    here = isal_zlib.compress(near, 1, -15)
    if here == _elsewhere(near, 1)[0]:
        return here if len(data) <= _NEAR else isal_zlib.compress(data, 1, -15)
    return Counter(_elsewhere(data, _VOTES)).most_common(1)[0][0]


def _elsewhere(data: bytes, count: int) -> list[bytes]:
    """Return the streams of `count` threads; each runs while the next one does, so no two share a stack."""

    def compress() -> list[bytes]:
        others = _elsewhere(data, count - 1) if count > 1 else []
        return [*others, isal_zlib.compress(data, 1, -15)]

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(compress).result()


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
