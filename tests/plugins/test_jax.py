from __future__ import annotations

import pytest

from avabuild.common.errors import TargetError


@pytest.mark.parametrize(
    ("python", "series"),
    [("3.13", "0.12"), ("3.12", "0.12"), ("3.11", "0.10"), ("3.10", "0.6"), ("3.9", "0.4")],
)
def test_the_python_decides_the_series(ask, python, series):
    assert ask("jax", python=python).requirements == (f"jax=={series}.*",)


def test_cuda_takes_the_extra_and_pins_it_to_what_the_tag_says(ask):
    answer = ask("jax", python="3.13", device="cuda12.9")
    assert answer.requirements[0] == "jax[cuda12]==0.12.*"
    assert "nvidia-cuda-runtime-cu12==12.9.*" in answer.requirements
    assert answer.env["NVIDIA_VISIBLE_DEVICES"] == "all"
    assert ask("jax", device="cuda13.5").requirements[0] == "jax[cuda13]==0.10.*"


def test_a_cuda_that_it_lacks_is_refused_with_what_there_is(ask):
    with pytest.raises(TargetError) as caught:
        ask("jax", device="cuda13.2")
    assert str(caught.value) == (
        "jax: no release for python 3.11 with cuda 13.2; it offers 12.9/cudnn9 (0.5 to 0.10), cpu (0.4 to 0.10)\n"
        "  for a newer CUDA: 13.5/cudnn9 (0.8 to 0.10)"
    ).replace("(0.5 to", "(0.4 to")


def test_the_check_knows_the_cuda(ask):
    assert "if False:" in ask("jax").program
    assert 'version("nvidia-cudnn-cu13")' in ask("jax", device="cuda13.5").program
    assert ask("jax").parses_on_python_38()
