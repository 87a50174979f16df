"""Deflate: gzip members around raw deflate streams, new or taken from a zip (RFC 1951, RFC 1952)."""

from __future__ import annotations

import struct
import threading
from collections import Counter
from collections.abc import Iterable, Iterator

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
    """Return the stream that ISA-L gives wherever its state is in memory, but in a few of thousands.

    Its loop hashes the third byte of a stream from a register that still has the state's address, which is
    on the thread's stack (`.write_first_byte` of igzip_icf_body_h1_gr_bt.asm, ISA-L 2.31). Where that hash is
    one of the first bytes', matches with these are found or missed, and a layer's digest would depend on
    chance. So another thread, with another stack, is asked as well; of several the most, where they differ.
    """
    near = data[:_NEAR]
    here = isal_zlib.compress(near, 1, -15)
    if here == _elsewhere(near, 1)[0]:
        return here if len(data) <= _NEAR else isal_zlib.compress(data, 1, -15)
    return Counter(_elsewhere(data, _VOTES)).most_common(1)[0][0]


def _elsewhere(data: bytes, count: int) -> list[bytes]:
    """Return the streams of so many threads, which are there at once and so have stacks of their own."""
    streams: list[bytes] = []
    together = threading.Barrier(count)

    def compress() -> None:
        streams.append(isal_zlib.compress(data, 1, -15))
        together.wait()

    threads = [threading.Thread(target=compress) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return streams


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
