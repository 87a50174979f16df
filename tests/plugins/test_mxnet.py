from __future__ import annotations

import pytest

from avabuild.common.errors import TargetError
from avabuild.plugins.kinds import Env


@pytest.mark.parametrize(
    ("python", "device", "requirement"),
    [
        ("2.7", "cpu", "mxnet==1.6.*"),
        ("3.11", "cpu", "mxnet==1.9.*"),
        ("2.7", "cuda8.0-cudnn6", "mxnet-cu80==1.5.*"),
        ("2.7", "cuda9.0-cudnn7", "mxnet-cu90==1.6.*"),
        ("2.7", "cuda9.1-cudnn7", "mxnet-cu91==1.2.*"),
        ("3.5", "cuda9.0", "mxnet-cu90==1.6.*"),
        ("3.9", "cuda11.3", "mxnet-cu113==1.9.*"),
    ],
)
def test_the_project_is_the_one_for_the_device_and_the_newest_that_works(ask, python, device, requirement):
    answer = ask("mxnet", python=python, device=device)
    assert answer.requirements[0] == requirement
    assert "libgomp1" in answer.apt


def test_a_python_that_it_is_not_for_gets_no_release_of_2017(ask):
    with pytest.raises(
        TargetError, match=r"no release for python 3\.13 with cpu; .* 3\.9 to 3\.11 \(1\.9\)$"
    ):
        ask("mxnet", python="3.13")
    with pytest.raises(TargetError, match="no release matches"):
        ask("mxnet", python="3.11", version="1.0")


def test_every_release_keeps_numpy_below_what_its_code_knows(registry):
    for release in registry.framework("mxnet").releases:
        (numpy,) = release.limits("3.6")
        assert not numpy.specifier.contains("1.24.0")


def test_python_27_never_gets_a_release_that_only_its_wheels_say_is_for_it(ask):
    for version in (">=1.7", "1.8"):
        with pytest.raises(TargetError, match=r"for python 2\.7"):
            ask("mxnet", python="2.7", version=version)


def test_cuda_11_2_brings_the_libraries_it_links_to_and_says_where_they_are(ask):
    answer = ask("mxnet", python="3.9", device="cuda11.2-cudnn8")
    assert answer.requirements[0] == "mxnet-cu112==1.9.*"
    assert {"nvidia-cudnn-cu11==8.5.0.96", "nvidia-nccl-cu11==2.14.3"} < set(answer.requirements)
    directories = [path for layer in answer.layers if isinstance(layer, Env) for path in layer.library_path]
    assert "/opt/venv/lib/python3.9/site-packages/nvidia/cublas/lib" in directories
    projects = {
        r.removeprefix("nvidia-").partition("-cu11")[0].replace("-", "_") for r in answer.requirements[1:]
    }
    assert {directory.split("/")[-2] for directory in directories} == projects
    assert answer.apt == ("libgomp1", "libquadmath0")


def test_a_loader_that_refuses_executable_stacks_is_told_to_allow_them(ask):
    assert ask("mxnet").env == {}
    assert ask("mxnet", distribution="trixie", glibc="2.41").env == {
        "GLIBC_TUNABLES": "glibc.rtld.execstack=2"
    }


def test_the_check_is_valid_on_every_python_of_the_table(ask):
    answer = ask("mxnet", python="2.7")
    assert answer.parses_on_python_27()
    assert answer.parses_on_python_38()
    assert "WANTS" not in answer.program
