"""What an ELF file says is read from its bytes as they pass, wherever its parts are, in chunks of any size."""

from __future__ import annotations

import pytest

from avabuild.layer import elf as module
from avabuild.layer.elf import Elf, Reader


def read(data: bytes, chunk: int, ranges=()) -> Reader:
    reader = Reader(len(data), ranges)
    for start in range(0, len(data), chunk):
        if not reader.wants:
            break
        reader.feed(data[start : start + chunk])
    return reader


@pytest.fixture
def narrow(monkeypatch):
    """Only the first 200 bytes of a file are kept, as of one with a gigabyte."""
    monkeypatch.setattr(module, "KEPT", 200)
    monkeypatch.setattr(module, "_HEADERS", 128)
    monkeypatch.setattr(module, "_MORE", 2048)


FACTS = {"soname": "libmx.so.1", "needed": ("libcudart.so.9.0", "libc.so.6"), "rpath": "$ORIGIN/../lib"}


@pytest.mark.parametrize("chunk", [1, 7, 100, 4096, 1 << 20])
@pytest.mark.parametrize("names_last", [True, False])
def test_names_needs_and_paths_are_read(shared_object, chunk, names_last):
    data = shared_object(**FACTS, padding=3000, names_last=names_last)
    assert read(data, chunk).elf == Elf("EM_X86_64/64", **FACTS, size=len(data))


@pytest.mark.parametrize("chunk", [13, 64, 999])
def test_of_a_big_file_little_is_kept_and_what_has_passed_takes_another_pass(shared_object, narrow, chunk):
    needed = tuple(f"libneeded{number}.so.1" for number in range(90))
    data = shared_object("libmx.so", needed, padding=50_000, names_last=False)
    reader, passes = read(data, chunk), 1
    while reader.elf is None:
        assert reader.lacks
        assert sum(len(piece) for _, piece in reader._pieces._pieces) < 15_000
        reader, passes = read(data, chunk, reader.lacks), passes + 1
    assert reader.elf.needed == needed
    assert passes <= 3


def test_names_behind_the_dynamic_section_need_one_pass(shared_object, narrow):
    data = shared_object(**FACTS, padding=5000)
    reader = read(data, 50)
    assert reader.elf
    assert reader.elf.needed == FACTS["needed"]
    assert reader.lacks == ()


def test_what_is_no_elf_file_or_a_damaged_or_static_one_says_nothing(shared_object):
    whole = shared_object(**FACTS)
    for data in (b"\x7fELF", b"\x7fELF" + b"\xff" * 500, whole[:100], bytes(500)):
        assert read(data, 64).elf is None
    static = bytearray(whole)
    static[120:124] = (0).to_bytes(4, "little")  # its PT_DYNAMIC is none
    assert read(bytes(static), 64).elf is None


def test_every_damage_of_one_byte_ends_in_an_answer(shared_object):
    whole = shared_object(**FACTS, runpath="/opt")
    for at in range(len(whole)):
        read(whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :], 97)
