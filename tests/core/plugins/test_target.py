from __future__ import annotations

import pytest

from avabuild.plugins.target import Device, Target


@pytest.mark.parametrize(
    ("text", "cuda", "cudnn", "tag"),
    [
        ("cpu", None, None, "cpu"),
        ("cuda12.5", "12.5", None, "cuda125"),
        ("cuda12", "12", None, "cuda12"),
        ("cuda9.0-cudnn7", "9.0", "7", "cuda90-cudnn7"),
        ("cuda12.5-cudnn9.3", "12.5", "9.3", "cuda125-cudnn93"),
    ],
)
def test_a_device_is_read_and_written_the_same_way(text, cuda, cudnn, tag):
    device = Device.parse(text)
    assert (device.cuda, device.cudnn, str(device), device.tag) == (cuda, cudnn, text, tag)


@pytest.mark.parametrize(
    "text", ["", "gpu", "CPU", "cuda", "cuda-12", "cudnn9", "cuda12.5-", "cuda12 ", "cpu-cudnn9"]
)
def test_what_is_no_device_is_refused_with_examples(text):
    with pytest.raises(ValueError, match=r"is no device; write cpu, cuda12.5 or cuda9.0-cudnn7"):
        Device.parse(text)


@pytest.mark.parametrize(
    ("python", "device", "tag"),
    [("3.11", "cpu", "py311-cpu"), ("2.7", "cuda8.0-cudnn6", "py27-cuda80-cudnn6"), (None, "cpu", "cpu")],
)
def test_the_tag_names_python_and_device(python, device, tag):
    target = Target.for_base("x86_64").model_copy(update={"python": python, "device": Device.parse(device)})
    assert target.tag == tag


@pytest.mark.parametrize(
    ("arch", "goarch"), [("x86_64", "amd64"), ("aarch64", "arm64"), ("riscv64", "riscv64")]
)
def test_the_architecture_has_the_name_that_oci_gives_it(arch, goarch):
    assert Target.for_base(arch).oci_arch == goarch
