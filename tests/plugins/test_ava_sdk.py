from __future__ import annotations

import subprocess

import pytest
from packaging.requirements import Requirement

from avabuild.plugins.kinds import Compile


def test_it_is_installed_without_the_pins_that_cant_be_met(ask):
    answer = ask("ava-sdk", python="2.7", distribution="bullseye")
    assert answer.alone == ("ava-sdk==0.1.3",)
    assert not any(Requirement(text).name == "ava-sdk" for text in answer.requirements)
    wanted = {Requirement(text).name: Requirement(text).specifier for text in answer.requirements}
    assert wanted["opencv-python"].contains("4.2.0.32")
    assert not wanted["opencv-python"].contains("3.4.0.12")
    assert "scipy" in wanted  # imported, and not declared


@pytest.mark.parametrize(
    ("distribution", "python"), [("bullseye", "3.9"), ("bookworm", "3.11"), ("trixie", "3.13")]
)
def test_on_python_3_it_is_ported_where_there_still_is_lib2to3(ask, distribution, python):
    answer = ask("ava-sdk", python=python, distribution=distribution)
    (compiled,) = (layer for layer in answer.layers if isinstance(layer, Compile))
    assert (compiled.distribution, compiled.packages) == ("bookworm", ("python3-lib2to3",))
    assert [file.filename for file in compiled.source_files] == ["ava-sdk-0.1.3.tar.gz"]
    subprocess.run(["sh", "-n"], input=compiled.shell, text=True, check=True)
    names = sorted(Requirement(text).name for text in answer.requirements)
    assert names == sorted(
        line.split()[-1] for line in compiled.shell.splitlines() if "Requires-Dist" in line
    )
    assert answer.alone == ()


def test_the_libraries_of_opencv_have_the_names_of_the_distribution(ask):
    old = ask("ava-sdk", python="2.7", distribution="bullseye")
    new = ask("ava-sdk", python="2.7", distribution="trixie")
    assert old.apt == ("libglib2.0-0", "libsm6", "libxext6", "libxrender1")
    assert new.apt == ("libglib2.0-0t64", "libsm6", "libxext6", "libxrender1")


def test_it_goes_beside_every_framework_of_the_platform(beside):
    together = beside(
        python="2.7",
        **{"ava-sdk": "*", "jupyterlab": "*", "mxnet": "*", "tensorflow": "*", "keras": "*", "pytorch": "*"},
    )
    assert together == {
        "ava-sdk": "0.1.3", "jupyterlab": "0.33", "mxnet": "1.6", "tensorflow": "2.1", "keras": "2.3.1",
        "pytorch": "1.4",
    }  # fmt: skip


def test_the_check_is_valid_on_python_27(ask):
    assert ask("ava-sdk", python="2.7").parses_on_python_27()
