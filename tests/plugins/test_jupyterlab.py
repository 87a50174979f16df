from __future__ import annotations

import pytest

from avabuild.errors import TargetError


@pytest.mark.parametrize("device", ["cpu", "cuda12.5", "cuda9.0-cudnn7"])
def test_it_goes_on_every_device(ask, device):
    answer = ask("jupyterlab", device=device)
    assert answer.requirements == ("jupyterlab==4.6.*",)
    assert answer.env == {}


def test_an_older_python_gets_the_last_series_that_takes_it(ask):
    assert ask("jupyterlab", python="3.9").series == "4.5"
    assert ask("jupyterlab", python="3.8").series == "4.3"


def test_python_27_is_told_what_there_is(ask):
    with pytest.raises(
        TargetError, match=r"no release for python 2.7 with cpu; it offers any device on python 3.10"
    ):
        ask("jupyterlab", python="2.7")


def test_the_check_is_a_program_that_reaches_no_further_than_loopback(ask):
    answer = ask("jupyterlab")
    assert answer.parses_on_python_38()
    assert answer.program.count("http://") == answer.program.count("http://127.0.0.1:") == 1
    assert "ProxyHandler({})" in answer.program
