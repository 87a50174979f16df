"""A device and the packages of its image are held against each other."""

from __future__ import annotations

import pytest

from avabuild.plan.agreement import disagreement
from avabuild.plugins.target import Device
from avabuild.resolve.lock import Package


def packages(*names: str) -> list[Package]:
    """Return packages as `name version`, a GB each."""
    pairs = (name.split() for name in names)
    return [Package(name=name, version=version, size=10**9) for name, version in pairs]


TORCH_13 = packages(
    "torch 2.15.0", "nvidia-cuda-runtime 13.2.60", "nvidia-cudnn-cu13 9.26.0", "nvidia-nccl-cu13 2.30"
)
TORCH_121 = packages("torch 2.4.1", "nvidia-cuda-runtime-cu12 12.1.105", "nvidia-cublas-cu12 12.1.3")


def test_cuda_in_an_image_for_the_cpu_is_told_with_its_bytes():
    words = disagreement(Device(), TORCH_13)
    assert words.startswith("the device is cpu, and packages bring CUDA 13.2: 3000 MB of nvidia-cuda-runtime")
    assert "pytorch in [frameworks]" in words


def test_another_cuda_than_the_tag_says_is_told():
    words = disagreement(Device.parse("cuda11.4"), TORCH_121)
    assert words.startswith("the device is cuda11.4, and packages bring CUDA 12.1: 2000 MB of ")
    assert "matrix.device" in words


@pytest.mark.parametrize(
    ("device", "names"),
    [
        ("cpu", ("numpy 2.0", "nvidia-ml-py 13.0", "torch 2.13.0+cpu")),
        ("cuda13.2-cudnn9.26", ("nvidia-cuda-runtime 13.2.60", "nvidia-cudnn-cu13 9.26.0")),
        ("cuda12.5", ("nvidia-cuda-runtime-cu12 12.1.105",)),
        ("cuda12", ("nvidia-cuda-runtime-cu12 12.1.105",)),
        ("cuda9.0-cudnn7", ("mxnet-cu90 1.5.1",)),
        ("cuda11.2", ("torch 2.0+cu110",)),
    ],
)
def test_what_agrees_is_not_told(device, names):
    assert disagreement(Device.parse(device), packages(*names)) == ""


@pytest.mark.parametrize(
    ("device", "name", "version"),
    [
        ("cpu", "torch 2.4.1+cu118", "11.8"),
        ("cpu", "cupy-cuda12x 13.3", "12"),
        ("cuda9.1", "mxnet-cu90 1.5.1", ""),
        ("cuda8.0", "mxnet-cu90 1.5.1", "9.0"),
        ("cuda12.1", "nvidia-cuda-runtime-cu12 12.8.90", "12.8"),
        ("cuda12.8", "nvidia-nccl-cu13 2.3", "13"),
    ],
)
def test_names_and_versions_tell_for_which_cuda_a_package_was_made(device, name, version):
    words = disagreement(Device.parse(device), packages(name))
    assert (f"bring CUDA {version}: " in words) if version else words == ""


def test_a_frameworks_table_decides_within_one_major_version():
    own = Package(name="nvidia-cuda-runtime-cu11", version="11.7.99", size=1)
    assert disagreement(Device.parse("cuda11.2"), [own])
    assert not disagreement(Device.parse("cuda11.2"), [own.model_copy(update={"by": ("mxnet",)})])
    assert disagreement(Device.parse("cuda12.2"), [own.model_copy(update={"by": ("mxnet",)})])
