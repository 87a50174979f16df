from __future__ import annotations

import pytest
from packaging.requirements import Requirement


def test_cpu_takes_the_exact_cpu_build_so_that_no_cuda_comes_by_surprise(ask):
    assert ask("pytorch", version="2.13").requirements == ("torch==2.13.0+cpu,==2.13.*",)
    assert ask("pytorch", version="2.14").requirements == ("torch==2.14.1+cpu,==2.14.*",)
    assert ask("pytorch", python="3.9").requirements == ("torch==2.8.0+cpu",)


def test_cpu_takes_the_newest_patch_that_the_recipe_allows(ask):
    assert ask("pytorch", version="<2.14.1,>=2.14").requirements == ("torch==2.14.0+cpu,<2.14.1,>=2.14",)


def test_a_patch_that_the_table_does_not_know_is_left_to_the_resolver_to_refuse(ask):
    (text,) = ask("pytorch", version="==2.13.7").requirements
    assert not list(Requirement(text).specifier.filter(["2.13.0+cpu", "2.13.7"]))


def test_build_index_takes_whichever_build_the_index_has(ask):
    answer = ask("pytorch", version="2.13", build="index")
    assert answer.requirements == ("torch==2.13.*,==2.13.*",)
    assert "assert True," in answer.program


def test_cuda_takes_the_public_build_even_where_a_cpu_build_sorts_above_it(ask):
    answer = ask("pytorch", device="cuda13.0-cudnn9.24")
    (text,) = answer.requirements
    found = Requirement(text).specifier.filter(["2.14.0+cpu", "2.14.1+cpu", "2.14.1", "2.15.0"])
    assert list(found) == ["2.14.1"]
    assert answer.env["NVIDIA_DRIVER_CAPABILITIES"] == "compute,utility"


@pytest.mark.parametrize(
    ("device", "series"),
    [("cuda13.2", "2.15"), ("cuda13.0", "2.14"), ("cuda12.8", "2.10"), ("cuda12.4", "2.6")],
)
def test_the_device_decides_the_series(ask, device, series):
    assert ask("pytorch", device=device).series == series


def test_the_check_insists_on_the_build(ask):
    assert "assert cuda is None," in ask("pytorch").program
    cuda = ask("pytorch", device="cuda12.6")
    assert 'assert cuda == "12.6",' in cuda.program
    assert cuda.parses_on_python_38()
