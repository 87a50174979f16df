from __future__ import annotations

import pytest
from pydantic import ValidationError

from avabuild.errors import PluginError


def test_the_default_backend_is_tensorflow_and_brings_it(ask):
    answer = ask("keras")
    assert answer.requires == ("tensorflow",)
    assert answer.requirements == ("keras==3.15.*", "tensorflow-cpu>=2.16.1")
    assert answer.env == {"KERAS_BACKEND": "tensorflow"}


def test_the_torch_backend_brings_pytorch(ask):
    answer = ask("keras", backend="torch", device="cuda13.2")
    assert answer.requires == ("pytorch",)
    assert answer.requirements == ("keras==3.15.*", "torch>=2.1")
    assert answer.env == {"KERAS_BACKEND": "torch"}


def test_the_jax_backend_brings_no_framework_and_installs_jax_itself(ask):
    answer = ask("keras", backend="jax")
    assert answer.requires == ()
    assert answer.requirements == ("keras==3.15.*", "jax")


def test_the_jax_backend_is_refused_on_cuda(ask):
    with pytest.raises(
        PluginError, match=r"backend jax is for cpu, not cuda12\.5; choose tensorflow or torch"
    ):
        ask("keras", backend="jax", device="cuda12.5")


@pytest.mark.parametrize("where", [{"device": "cuda12.5"}, {"arch": "aarch64"}])
def test_the_tensorflow_named_is_the_one_that_its_plugin_installs_there(ask, where):
    project = ask("tensorflow", **where).requirements[0].partition("==")[0].removesuffix("[and-cuda]")
    assert ask("keras", **where).requirements[1] == f"{project}>=2.16.1"


def test_an_older_python_gets_the_last_series_that_takes_it(ask):
    assert ask("keras", python="3.10").series == "3.12"
    assert ask("keras", python="3.9").series == "3.10"


def test_an_unknown_backend_is_refused(ask):
    with pytest.raises(ValidationError, match="'tensorflow', 'torch' or 'jax'"):
        ask("keras", backend="theano")


@pytest.mark.parametrize("backend", ["tensorflow", "torch", "jax"])
def test_the_check_insists_on_the_backend(ask, backend):
    answer = ask("keras", backend=backend)
    assert f'assert backend == "{backend}"' in answer.program
    assert answer.parses_on_python_38()
