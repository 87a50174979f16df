from __future__ import annotations

import pytest
from packaging.requirements import Requirement

from avabuild.common.errors import TargetError


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
    assert 'assert cuda.startswith("12.6"),' in cuda.program
    assert cuda.parses_on_python_38()


@pytest.mark.parametrize(
    ("device", "series"),
    [("cpu", "1.4"), ("cuda10.1", "1.4"), ("cuda10.0", "1.2"), ("cuda9.0-cudnn7", "1.1")],
)
def test_python_27_gets_the_wheel_that_holds_its_cuda_and_the_package_that_it_does_not_declare(
    ask, device, series
):
    answer = ask("pytorch", python="2.7", device=device)
    assert answer.requirements == (f"torch=={series}.*", "future")
    assert answer.parses_on_python_27()
    assert ("NVIDIA_VISIBLE_DEVICES" in answer.env) is (device != "cpu")


def test_the_bundled_cuda_is_no_error_on_the_cpu_where_there_is_no_other_build(ask):
    assert "assert True," in ask("pytorch", python="2.7").program
    assert "future" not in ask("pytorch", python="3.6", version="1.4").requirements


@pytest.mark.parametrize(
    ("distribution", "python", "series"), [("trixie", "3.13", "2.6"), ("bookworm", "3.11", "1.13")]
)
def test_debians_own_build_is_a_package_that_the_environment_sees(ask, distribution, python, series):
    answer = ask("pytorch", python=python, distribution=distribution, build="debian")
    assert answer.series.startswith(f"{series}.")
    assert answer.apt == ("python3-torch",)
    assert answer.requirements == ()
    (files,) = answer.layers
    assert [(f.target, f.content) for f in files.files] == [
        (f"/opt/venv/lib/python{python}/site-packages/distribution.pth", "/usr/lib/python3/dist-packages\n")
    ]


def test_debians_own_build_is_taken_only_when_it_is_asked_for(ask):
    for version in ("*", "2.6"):
        answer = ask("pytorch", python="3.13", distribution="trixie", version=version)
        assert answer.requirements
        assert answer.apt == ()


def test_debians_own_build_is_refused_where_it_is_not(ask):
    with pytest.raises(TargetError, match=r"with cpu on trixie; it offers bookworm \(1\.13\.1\+debian\)"):
        ask("pytorch", python="3.11", distribution="trixie", build="debian")
    with pytest.raises(TargetError, match=r"for python 3\.13 with cuda 12\.4; it offers cpu"):
        ask("pytorch", python="3.13", distribution="trixie", build="debian", device="cuda12.4")
