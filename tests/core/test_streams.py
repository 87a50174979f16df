from __future__ import annotations

import subprocess
import sys
import time

from avabuild.streams import close_quietly, pipe, read_lines


def run(program: str) -> tuple[list[str], list[str]]:
    """Run a Python program; return the lines of its two outputs."""
    said: list[str] = []
    complained: list[str] = []
    with pipe() as (out, out_end), pipe() as (err, err_end):
        process = subprocess.Popen([sys.executable, "-c", program], stdout=out_end, stderr=err_end)
        close_quietly(out_end)
        close_quietly(err_end)
        read_lines(process.pid, {out: said.append, err: complained.append})
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
    with pipe() as (out, out_end):
        program = "import time; print('now', flush=True); time.sleep(1)"
        process = subprocess.Popen([sys.executable, "-c", program], stdout=out_end)
        close_quietly(out_end)
        read_lines(process.pid, {out: lambda _: arrived.append(time.monotonic() - began)})
        process.wait()
    assert arrived[0] < time.monotonic() - began - 0.5


def test_what_a_program_leaves_running_is_not_waited_for():
    program = "import subprocess; subprocess.Popen(['sleep', '30']); print('done')"
    began = time.monotonic()
    assert run(program) == (["done\n"], [])
    assert time.monotonic() - began < 10


def test_a_program_that_is_gone_is_still_heard():
    with pipe() as (out, out_end):
        process = subprocess.Popen(["echo", "there was one"], stdout=out_end)
        close_quietly(out_end)
        process.wait()
        said: list[str] = []
        read_lines(process.pid, {out: said.append})
    assert said == ["there was one\n"]
