from __future__ import annotations

import pytest

from avabuild.common.errors import TargetError


@pytest.mark.parametrize("device", ["cpu", "cuda12.5", "cuda9.0-cudnn7"])
def test_it_goes_on_every_device(ask, device):
    answer = ask("jupyterlab", device=device)
    assert answer.requirements == ("jupyterlab==4.6.*",)
    assert answer.env == {}


def test_an_older_python_gets_the_last_series_that_takes_it(ask):
    assert ask("jupyterlab", python="3.9").series == "4.5"
    assert ask("jupyterlab", python="3.8").series == "4.3"


def test_python_27_gets_the_last_series_for_it_and_never_the_send2trash_that_cant_be_built(ask):
    answer = ask("jupyterlab", python="2.7")
    assert answer.requirements == ("jupyterlab==0.33.*",)
    assert [str(r.specifier) for r in answer.release.limits("2.7") if r.name == "send2trash"] == ["<2"]
    assert answer.release.limits("3.6") == ()
    assert '"--NotebookApp.token="' in answer.program


def test_a_python_that_no_series_is_for_is_told_what_there_is(ask):
    with pytest.raises(
        TargetError, match=r"no release for python 3\.7 with cpu; it offers python 2\.7 \(0\.33\), 3\.5"
    ):
        ask("jupyterlab", python="3.7")


def test_the_check_is_a_program_that_reaches_no_further_than_loopback(ask):
    answer = ask("jupyterlab")
    assert answer.parses_on_python_38()
    assert answer.parses_on_python_27()
    assert '"--IdentityProvider.token="' in answer.program
    assert answer.program.count("http://") == answer.program.count("http://127.0.0.1:") == 1
    assert "ProxyHandler({})" in answer.program
