from __future__ import annotations

import pytest

from avabuild.errors import TargetError


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
        'tensorflow: no release within "2.19" for python 3.13 with cpu; '
        "it offers cpu or cuda12.5-cudnn9.3 on python 3.9 to 3.12 (2.19)"
    )


def test_the_check_wants_cuda_only_on_cuda(ask):
    cpu, cuda = ask("tensorflow"), ask("tensorflow", device="cuda12.5")
    assert "or not False," in cpu.program
    assert "or not True," in cuda.program
    assert cpu.parses_on_python_38()
