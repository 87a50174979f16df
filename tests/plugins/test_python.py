from __future__ import annotations

import subprocess
import sys

import pytest

from avabuild.layer.facts import homes


@pytest.mark.parametrize("python", sorted({python for pythons in homes().values() for python in pythons}))
def test_every_python_of_a_base_is_there_and_brings_nothing(ask, python):
    answer = ask("python", python=python, device="cuda9.0-cudnn7")
    assert answer.series == python
    assert answer.layers == ()
    assert f'== "{python}"' in answer.program


def test_the_check_is_valid_on_every_python(ask):
    answer = ask("python", python="2.7")
    assert answer.parses_on_python_27()
    assert answer.parses_on_python_38()


def test_the_check_fails_outside_of_an_image(ask):
    done = subprocess.run(
        [sys.executable, "-c", ask("python").program], capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert "AssertionError" in done.stderr
