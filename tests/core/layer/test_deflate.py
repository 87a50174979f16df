"""Deflate: one content, one member, in whichever thread and wherever its stack is."""

from __future__ import annotations

import gzip
import random
import threading
import zlib
from collections.abc import Callable
from typing import TypeVar

import pytest
from isal import isal_zlib

from avabuild.layer import deflate

Found = TypeVar("Found")


def in_a_thread(act: Callable[[], Found]) -> Found:
    found: list[Found] = []
    thread = threading.Thread(target=lambda: found.append(act()))
    thread.start()
    thread.join()
    return found[0]


@pytest.fixture(scope="module")
def moody() -> list[bytes]:
    """Contents whose streams ISA-L gives otherwise in this thread than in another: two of 8192 are.

    The string that begins with the third byte comes again, and one of the threads alone finds it.
    """
    chance = random.Random(1)
    words = [chance.randbytes(8) for _ in range(60_000)]
    contents = [b"ab" + word + b"....................." + word + bytes(5000) for word in words]

    def streams() -> list[bytes]:
        return [isal_zlib.compress(data, 1, -15) for data in contents]

    pairs = zip(contents, streams(), in_a_thread(streams), strict=True)
    found = [data for data, here, there in pairs if here != there]
    assert found, "ISA-L gives one stream wherever it runs: `member` need not ask twice any more"
    return found


def test_a_member_is_the_same_where_isa_l_gives_two_streams(moody):
    tail = random.Random(2).randbytes(1 << 20)
    for data in (*moody, *(short + tail for short in moody[:5])):
        made = deflate.member(data)
        assert made == in_a_thread(lambda data=data: deflate.member(data))
        assert gzip.decompress(made) == data


class Steady:
    """A compressor that counts how many bytes it is given."""

    def __init__(self) -> None:
        self.given = 0

    def compress(self, data: bytes, level: int, window: int) -> bytes:
        self.given += len(data)
        packed = zlib.compressobj(level, zlib.DEFLATED, window)
        return packed.compress(data) + packed.flush()

    def crc32(self, data: bytes) -> int:
        return zlib.crc32(data)


@pytest.mark.parametrize("fails", [2, 3, 5, 7])
def test_a_thread_that_lacks_memory_fails_the_call_and_nothing_waits(monkeypatch, fails):
    class Failing(Steady):
        def compress(self, data: bytes, level: int, window: int) -> bytes:
            self.given += 1
            if self.given == fails:
                raise MemoryError
            return bytes([self.given])  # never twice the same: all are asked

    monkeypatch.setattr(deflate, "isal_zlib", Failing())
    with pytest.raises(MemoryError):
        deflate.member(b"one and one")


def test_a_long_content_is_compressed_once_and_its_beginning_thrice(monkeypatch):
    steady = Steady()
    monkeypatch.setattr(deflate, "isal_zlib", steady)
    data = b"one and one and one " * 50_000
    assert gzip.decompress(deflate.member(data)) == data
    assert steady.given == len(data) + 2 * (40 << 10)
