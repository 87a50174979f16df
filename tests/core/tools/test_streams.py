from __future__ import annotations

import os
import subprocess
import sys
import time

from avabuild.tools.streams import Pipe, ending, read_lines


def run(program: str) -> tuple[list[str], list[str]]:
    """Run a Python program; return the lines of its two outputs."""
    said: list[str] = []
    complained: list[str] = []
    with Pipe() as out, Pipe() as err:
        process = subprocess.Popen([sys.executable, "-c", program], stdout=out.writer, stderr=err.writer)
        out.started()
        err.started()
        with ending(process.pid) as ended:
            read_lines(ended, {out.reader: said.append, err.reader: complained.append})
        process.wait()
    return said, complained


def test_lines_of_both_outputs_arrive_whole():
    program = "import sys; print('one'); print('two', end=''); print('three', file=sys.stderr)"
    assert run(program) == (["one\n", "two"], ["three\n"])


def test_a_long_output_is_complete():
    said, _ = run("for n in range(200_000): print(n)")
    assert [int(line) for line in said] == list(range(200_000))


def test_a_letter_that_two_reads_share_is_whole_and_what_is_no_text_is_replaced():
    program = "import os, time; os.write(1, b'caf\\xc3'); time.sleep(0.1); os.write(1, b'\\xa9\\n\\xff\\n'); os.write(1, b'\\xc3')"
    assert run(program)[0] == ["café\n", "\ufffd\n", "\ufffd"]


def test_a_line_arrives_when_it_is_written():
    began = time.monotonic()
    arrived = []
    with Pipe() as out:
        program = "import time; print('now', flush=True); time.sleep(1)"
        process = subprocess.Popen([sys.executable, "-c", program], stdout=out.writer)
        out.started()
        with ending(process.pid) as ended:
            read_lines(ended, {out.reader: lambda _: arrived.append(time.monotonic() - began)})
        process.wait()
    assert arrived[0] < time.monotonic() - began - 0.5


def test_what_a_program_leaves_running_is_not_waited_for():
    program = "import subprocess; subprocess.Popen(['sleep', '30']); print('done')"
    began = time.monotonic()
    assert run(program) == (["done\n"], [])
    assert time.monotonic() - began < 10


def test_a_program_that_is_gone_is_still_heard():
    with Pipe() as out:
        process = subprocess.Popen(["echo", "there was one"], stdout=out.writer)
        out.started()
        process.wait()
        said: list[str] = []
        with ending(process.pid) as ended:
            read_lines(ended, {out.reader: said.append})
    assert said == ["there was one\n"]


def test_a_pipe_closes_nothing_that_was_opened_meanwhile():
    with Pipe() as pipe:
        pipe.started()
        reader, writer = os.pipe()  # has the number that became free
        assert writer == pipe.writer or reader == pipe.writer
    os.write(writer, b"still open")
    assert os.read(reader, 10) == b"still open"
    os.close(reader)
    os.close(writer)
