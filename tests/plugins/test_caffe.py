from __future__ import annotations

import shutil
import subprocess

import pytest

from avabuild.common.errors import TargetError
from avabuild.plugins.kinds import Apt, Compile, Layer


def of_kind(layers: tuple[Layer, ...], kind: type) -> Layer:
    (found,) = (layer for layer in layers if isinstance(layer, kind))
    return found


ROWS = [("bullseye", "3.9"), ("bookworm", "3.11"), ("trixie", "3.13")]


@pytest.mark.parametrize(("distribution", "python"), ROWS)
def test_it_is_compiled_for_the_cpu_from_sources_with_pinned_hashes(ask, distribution, python):
    compiled = of_kind(ask("caffe", distribution=distribution, python=python).layers, Compile)
    assert [source.words for source in compiled.sources] == ["caffe 1.0.0+git20180821.99bd997-8"]
    assert "-DCPU_ONLY=ON" in compiled.shell
    assert f"-Dpython_version={python}" in compiled.shell
    assert "@" not in compiled.shell, "a word of the template is left"
    assert "python3-dev" in compiled.packages


@pytest.mark.parametrize(("distribution", "python"), ROWS)
def test_the_image_has_libraries_and_no_headers(ask, distribution, python):
    packages = of_kind(ask("caffe", distribution=distribution, python=python).layers, Apt).packages
    assert f"libpython{python}" in packages
    assert not [name for name in packages if name.endswith("-dev")]
    assert not [name for name in packages if "opencv" in name]


@pytest.mark.parametrize(("distribution", "python"), ROWS)
def test_opencv_is_by_option(ask, distribution, python):
    answer = ask("caffe", distribution=distribution, python=python, opencv=True)
    compiled, packages = of_kind(answer.layers, Compile), of_kind(answer.layers, Apt).packages
    assert "-DUSE_OPENCV=ON" in compiled.shell
    assert "libopencv-dev" in compiled.packages
    assert [name for name in packages if "opencv-imgcodecs" in name]
    assert "in kinds) is True" in answer.program


def test_bullseyes_protobuf_needs_an_old_python_side(ask):
    assert "protobuf<3.21" in ask("caffe", distribution="bullseye", python="3.9").requirements
    assert "protobuf>=3.20" in ask("caffe").requirements


@pytest.mark.skipif(shutil.which("sh") is None, reason="no shell")
@pytest.mark.parametrize("opencv", [False, True])
def test_the_text_is_a_shells(ask, opencv):
    compiled = of_kind(ask("caffe", opencv=opencv).layers, Compile)
    subprocess.run(["sh", "-n"], input=compiled.shell, text=True, check=True)


def test_on_python_27_boosts_python_side_is_compiled_too_and_numpy_is_a_source(ask):
    answer = ask("caffe", distribution="bullseye", python="2.7")
    compiled = of_kind(answer.layers, Compile)
    assert [source.words for source in compiled.sources] == [
        "caffe 1.0.0+git20180821.99bd997-8", "boost1.74 1.74.0-9", "numpy 1.16.6"
    ]  # fmt: skip
    assert compiled.requirements == ()
    assert "python2.7-dev" in compiled.packages
    assert not [name for name in compiled.packages if "python3" in name or name == "libboost-python-dev"]
    assert "cmake-link-correct-python-lib.patch" not in compiled.shell
    assert "@" not in compiled.shell.replace("$@", "")
    subprocess.run(["sh", "-n"], input=compiled.shell, text=True, check=True)
    assert "libpython2.7" in of_kind(answer.layers, Apt).packages
    assert answer.parses_on_python_27()


def test_it_is_refused_where_it_was_never_compiled(ask):
    with pytest.raises(TargetError, match="caffe"):
        ask("caffe", distribution="noble", python="3.11")


def test_the_check_runs_forward_trains_saves_and_prints_versions(ask):
    answer = ask("caffe")
    assert answer.parses_on_python_38()
    for words in ("SGDSolver", "solver.step(200)", "last < first / 100", "net.save(", "caffe.__version__"):
        assert words in answer.program
