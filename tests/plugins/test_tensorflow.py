from __future__ import annotations

import pytest

from avabuild.common.errors import TargetError


def test_the_newest_series_is_chosen_for_the_python(ask):
    assert ask("tensorflow", python="3.13").series == "2.21"
    assert ask("tensorflow", python="3.9").series == "2.20"
    assert ask("tensorflow", python="3.8").series == "2.13"


def test_cpu_takes_the_cpu_only_project_within_the_series_and_the_recipes_words(ask):
    assert ask("tensorflow", version="~=2.19.1").requirements == ("tensorflow-cpu==2.19.*,~=2.19.1",)


def test_a_machine_without_cpu_only_wheels_takes_the_project_itself(ask):
    assert ask("tensorflow", arch="aarch64").requirements == ("tensorflow==2.21.*",)


def test_cuda_takes_the_extra_that_brings_nvidias_wheels(ask):
    answer = ask("tensorflow", device="cuda12.3-cudnn8.9")
    assert answer.requirements == ("tensorflow[and-cuda]==2.17.*",)
    assert answer.env["NVIDIA_VISIBLE_DEVICES"] == "all"


def test_cuda_of_a_series_that_leaves_it_open_is_pinned_to_what_the_tag_says(ask):
    pinned = ask("tensorflow", device="cuda12.5").requirements
    assert pinned[0] == "tensorflow[and-cuda]==2.21.*"
    assert {"nvidia-cuda-runtime-cu12==12.5.82", "nvidia-cudnn-cu12==9.3.0.75"} < set(pinned)
    assert ask("tensorflow", device="cuda12.5", version="2.19").requirements == (
        "tensorflow[and-cuda]==2.19.*,==2.19.*",
    )


def test_a_python_that_the_wanted_series_has_no_wheels_for_is_told_with_what_there_is(ask):
    with pytest.raises(TargetError) as caught:
        ask("tensorflow", python="3.13", version="2.19")
    assert str(caught.value) == (
        'tensorflow: no release within "2.19" for python 3.13 with cpu; it offers python 3.9 to 3.12 (2.19)'
    )


def test_the_check_wants_cuda_only_on_cuda(ask):
    cpu, cuda = ask("tensorflow"), ask("tensorflow", device="cuda12.5")
    assert "or not False," in cpu.program
    assert "or not True," in cuda.program
    assert cpu.parses_on_python_38()


@pytest.mark.parametrize(
    ("device", "requirement"),
    [
        ("cpu", "tensorflow-cpu==2.1.*"),
        ("cuda8.0-cudnn6", "tensorflow-gpu==1.4.*"),
        ("cuda9.0-cudnn7", "tensorflow-gpu==1.12.*"),
        ("cuda10.0", "tensorflow-gpu==2.0.*"),
        ("cuda10.1-cudnn7.6", "tensorflow==2.1.*"),
    ],
)
def test_python_27_gets_the_newest_build_for_its_device(ask, device, requirement):
    answer = ask("tensorflow", python="2.7", device=device)
    assert answer.requirements == (requirement,)
    assert answer.parses_on_python_27()


@pytest.mark.parametrize(
    ("version", "project"),
    [("1.15", "tensorflow-cpu"), ("2.0", "tensorflow"), ("1.14", "tensorflow"), ("1.4", "tensorflow")],
)
def test_an_older_series_is_asked_for_by_the_project_that_has_no_cuda_in_it(ask, version, project):
    assert ask("tensorflow", python="2.7", version=version).requirements == (
        f"{project}=={version}.*,=={version}.*",
    )


def test_tensorflow_1_is_checked_in_a_session(ask):
    classic = ask("tensorflow", python="2.7", version="1.12")
    assert "tf.Session()" in classic.program
    assert classic.parses_on_python_27()
    assert "tf.Session" not in ask("tensorflow", python="2.7").program


def test_python_27_is_kept_from_packages_that_are_only_said_to_be_for_it(ask):
    release = ask("tensorflow", python="2.7").release
    pins = {r.name: str(r.specifier) for r in release.limits("2.7")}
    assert pins["grpcio"] == "==1.39.0"
    assert pins["protobuf"] == "==3.17.3"
    assert "grpcio" not in {r.name for r in release.limits("3.7")}


def test_a_cuda_that_it_lacks_is_refused_with_what_there_is(ask):
    with pytest.raises(TargetError) as caught:
        ask("tensorflow", python="2.7", device="cuda9.1")
    assert str(caught.value).splitlines()[0] == (
        "tensorflow: no release for python 2.7 with cuda 9.1; "
        "it offers 8.0/cudnn6 (1.4), 9.0/cudnn7 (1.5 to 1.12), cpu (1.4 to 2.1)"
    )
    assert caught.value.exit_code == 4


def test_beside_mxnet_it_is_the_newest_that_takes_an_old_numpy(beside):
    assert beside(python="3.11", tensorflow="*", mxnet="*") == {"tensorflow": "2.17", "mxnet": "1.9"}
    with pytest.raises(
        TargetError, match=r"mxnet needs numpy<1\.24, tensorflow needs numpy>=1\.26; the nearest"
    ):
        beside(python="3.11", tensorflow=">=2.18", mxnet="*")


def test_a_cuda_that_only_mxnet_has_is_refused_with_where_both_are(beside):
    with pytest.raises(
        TargetError, match=r"mxnet has it \(1\.2\); the nearest for both is cuda 9\.0/cudnn7: mxnet 1\.6"
    ):
        beside(python="2.7", device="cuda9.1", tensorflow="*", mxnet="*")
