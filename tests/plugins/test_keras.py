from __future__ import annotations

import pytest
from packaging.requirements import Requirement
from pydantic import ValidationError

from avabuild.common.errors import TargetError


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


def test_the_jax_backend_brings_the_framework_jax(ask):
    answer = ask("keras", backend="jax", device="cuda12.9")
    assert answer.requires == ("jax",)
    assert answer.requirements == ("keras==3.15.*", "jax")


def test_debians_pytorch_is_on_no_index_so_none_is_asked_for(ask):
    debian = ask("pytorch", python="3.13", distribution="trixie", build="debian").release
    answer = ask("keras", python="3.13", backend="torch", others={"pytorch": debian})
    assert answer.requirements == ("keras==3.15.*",)
    assert answer.requires == ("pytorch",)


def test_python_27_never_gets_a_keras_that_is_only_said_to_be_for_it(ask):
    answer = ask("keras", python="2.7")
    assert answer.requirements == ("keras==2.3.1.*",)
    assert not Requirement(answer.requirements[0]).specifier.contains("2.10.0")
    for version in ("2.10", "2.6", ">=2.3.2"):
        with pytest.raises(TargetError, match=r"for python 2\.7"):
            ask("keras", python="2.7", version=version)


@pytest.mark.parametrize(
    ("tensorflow", "keras"),
    [("2.1", "2.3.1"), ("1.15", "2.3.1"), ("1.13", "2.3.1"), ("1.12", "2.2.4"), ("1.8", "2.2.4"),
     ("1.5", "2.2.4"), ("1.4", "2.1.6")],
)  # fmt: skip
def test_on_python_27_keras_is_the_newest_that_works_with_the_tensorflow(beside, tensorflow, keras):
    assert beside(python="2.7", tensorflow=tensorflow, keras="*") == {
        "tensorflow": tensorflow,
        "keras": keras,
    }


def test_an_older_keras_brings_the_tensorflow_of_its_time(beside):
    assert beside(python="2.7", tensorflow="*", keras="2.0") == {"tensorflow": "1.4", "keras": "2.0.8"}
    assert beside(python="3.11", tensorflow="*", keras="2.12") == {"tensorflow": "2.12", "keras": "2.12"}


def test_a_keras_and_a_tensorflow_that_dont_go_together_are_named_with_what_does(beside):
    with pytest.raises(TargetError) as caught:
        beside(python="2.7", tensorflow="1.12", keras="2.3")
    assert str(caught.value).startswith(
        "keras 2.3.1 and tensorflow 1.12 can't be in one image: keras needs tensorflow<2.2,>=1.13; "
        "the nearest that can: keras 2.3.1 with tensorflow 2.1"
    )


def test_before_keras_3_there_is_no_other_backend(ask):
    with pytest.raises(TargetError, match=r'no release matches "2\.12"'):
        ask("keras", version="2.12", backend="jax")


def test_the_check_of_keras_2_runs_on_python_27(ask):
    assert ask("keras", python="2.7").parses_on_python_27()
    assert "model.h5" in ask("keras", version="2.12").program


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
