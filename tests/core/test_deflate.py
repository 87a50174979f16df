"""Deflate: one content, one member, whatever the compressor does once in a while."""

from __future__ import annotations

import gzip
import zlib

from avabuild import deflate


class Moody:
    """ISA-L, whose first stream of a block is not the one that it gives otherwise."""

    def __init__(self) -> None:
        self.asked = 0

    def compress(self, data: bytes, level: int, window: int) -> bytes:
        self.asked += 1
        packed = zlib.compressobj(9 if self.asked == 1 else 1, zlib.DEFLATED, window)
        return packed.compress(data) + packed.flush()

    def crc32(self, data: bytes) -> int:
        return zlib.crc32(data)


def test_a_stream_that_came_out_otherwise_once_is_not_taken(monkeypatch):
    data = bytes(range(256)) * 40 + b"one and one and one " * 200
    steady = Moody()
    steady.asked = 1
    monkeypatch.setattr(deflate, "isal_zlib", steady)
    usual = deflate.member(data)
    moody = Moody()
    monkeypatch.setattr(deflate, "isal_zlib", moody)
    assert deflate.member(data) == usual
    assert moody.asked == 3
    assert gzip.decompress(usual) == data
