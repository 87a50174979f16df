"""Programs that print very much, in one line or in many, or what moves a terminal's cursor."""

from __future__ import annotations

import subprocess
import sys
import time
import tracemalloc
from pathlib import Path

from avabuild.tools import streams
from avabuild.tools.events import Event, Report
from avabuild.tools.process import ProcessRunner
from avabuild.tools.streams import Pipe, ending


class _Process:
    """A program as calls wait for it."""

    def __init__(self, program: str, out: Pipe, err: Pipe) -> None:
        argv = [sys.executable, "-c", program]
        self._process = subprocess.Popen(argv, stdout=out.writer, stderr=err.writer)

    def ending(self):
        return ending(self._process.pid)

    def wait(self) -> int:
        return self._process.wait()

    def stop(self) -> None:
        self._process.terminate()

    kill = stop


def followed(tmp_path: Path, program: str) -> tuple[str, list[Event]]:
    events: list[Event] = []
    calls = ProcessRunner(Report(events.append), tmp_path / "log")
    text = calls.follow("python", "python", None, None, lambda out, err: _Process(program, out, err))
    return text, events


ONE_LINE = "import sys\nfor _ in range({}): sys.stdout.write('x' * 1_000_000)"


def test_300_megabytes_in_one_line_take_no_minute_and_little_memory(tmp_path):
    began = time.process_time()
    text, events = followed(tmp_path, ONE_LINE.format(300))
    assert time.process_time() - began < 30
    assert (tmp_path / "log").stat().st_size < 65 << 20
    assert len(text) < 40 << 20
    assert max(len(event.text) for event in events) < 2100
    assert sum(len(event.text) for event in events) < 20_000_000


def test_what_is_kept_of_endless_output_does_not_fill_the_memory(tmp_path):
    tracemalloc.start()
    try:
        followed(tmp_path, ONE_LINE.format(150))
        assert tracemalloc.get_traced_memory()[1] < 120 << 20
    finally:
        tracemalloc.stop()


def test_a_long_line_of_a_program_of_ours_comes_whole(tmp_path):
    text, _ = followed(tmp_path, "print('x' * 5_000_000 + 'é')\nprint('last')")
    assert text == "x" * 5_000_000 + "é\nlast\n"


def test_a_line_in_pieces_is_the_line(tmp_path):
    pieces: list[str] = []
    lines = streams._Lines(pieces.append)
    for data in ("é" * 100_000).encode()[:-1], b"\xa9a\n", b"b\n\nc", b"":
        lines.feed(data, last=not data)
    assert "".join(pieces) == "é" * 100_000 + "a\nb\n\nc"
    assert pieces[-3:] == ["b\n", "\n", "c"]
