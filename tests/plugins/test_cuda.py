from __future__ import annotations

import ast

import pytest

from avabuild.common.errors import TargetError
from avabuild.plugins.cuda import driver_minimum
from avabuild.plugins.kinds import Apt, Env, Files, Libraries, Python

CU11 = "cuda11.2-cudnn8.1"
URI = {"uri": "https://cuda.example.invalid/repos", "key": "nvidia.asc"}


def kind(answer, cls):
    return next((layer for layer in answer.layers if isinstance(layer, cls)), None)


def test_cpu_is_left_alone_so_that_only_the_device_changes(ask):
    answer = ask("cuda")
    assert answer.layers == ()
    assert answer.series == "0"


@pytest.mark.parametrize(
    ("device", "python", "suite", "where"),
    [
        (CU11, "3.9", "bullseye", "image"),
        ("cuda9.0-cudnn7", "2.7", "bullseye", "base"),
        ("cuda8.0-cudnn6", "3.5", "xenial", "base"),
        ("cuda12.4", "3.11", "trixie", "image"),
    ],
)
def test_auto_takes_wheels_where_there_are_and_else_the_base(ask, device, python, suite, where):
    answer = ask("cuda", device=device, python=python)
    assert kind(answer, Libraries).where == where
    assert bool(answer.requirements) == (where == "image")


def test_the_sonames_are_those_that_frameworks_are_linked_with(ask):
    assert kind(ask("cuda", device="cuda8.0-cudnn6"), Libraries).sonames == (
        *(f"lib{n}.so.8.0" for n in ("cudart", "cublas", "cufft", "curand", "cusolver", "cusparse", "nvrtc")),
        "libcudnn.so.6",
    )
    assert kind(ask("cuda", device=CU11), Libraries).sonames == (
        "libcudart.so.11.0", "libcublas.so.11", "libcufft.so.10", "libcurand.so.10", "libcusolver.so.11",
        "libcusparse.so.11", "libnvrtc.so.11.2", "libcudnn.so.8",
    )  # fmt: skip


def test_wheels_are_pinned_and_their_directories_found(ask):
    answer = ask("cuda", device=CU11, python="3.9")
    assert "nvidia-cublas-cu11==11.10.3.66" in answer.requirements
    assert "nvidia-cudnn-cu11==8.5.0.96" in answer.requirements
    site = "/opt/venv/lib/python3.9/site-packages/nvidia"
    places = kind(answer, Env).library_path
    assert {f"{site}/cuda_runtime/lib", f"{site}/cudnn/lib", f"{site}/nccl/lib", f"{site}/nvtx/lib"} <= set(
        places
    )


def test_beside_a_framework_that_is_built_for_the_device_its_pins_give_way(registry, ask):
    beside = {"tensorflow": registry.framework("tensorflow").releases[0]}
    answer = ask("cuda", device="cuda12.5-cudnn9.3", others=beside)
    layer = kind(answer, Python)
    assert "nvidia-cuda-runtime-cu12" in layer.requirements
    assert "nvidia-cuda-runtime-cu12==12.5.82" in layer.preferred
    assert not [text for text in layer.requirements if "==" in text]
    alone = kind(
        ask(
            "cuda",
            device="cuda12.5-cudnn9.3",
            others={"jupyterlab": registry.framework("jupyterlab").releases[0]},
        ),
        Python,
    )
    assert (alone.requirements, alone.preferred) == (layer.preferred, ())


def test_from_13_on_the_toolkits_wheels_share_a_directory(ask):
    answer = ask("cuda", device="cuda13.0-cudnn9.24")
    assert "nvidia-cuda-runtime==13.0.96" in answer.requirements
    assert "nvidia-nccl-cu13==2.28.9" in answer.requirements
    site = "/opt/venv/lib/python3.11/site-packages/nvidia"
    assert set(kind(answer, Env).library_path) == {
        f"{site}/cu13/lib",
        f"{site}/nccl/lib",
        f"{site}/cudnn/lib",
    }


def test_debians_toolkit_comes_from_non_free_and_cudnn_as_a_wheel(ask):
    answer = ask("cuda", device="cuda11.8-cudnn8.7", runtime="debian")
    apt = kind(answer, Apt)
    assert set(apt.packages) >= {"libcudart11.0", "libcublas11", "libnvrtc11.2"}
    assert (apt.repositories[0].suite, apt.repositories[0].uri) == ("bookworm", None)
    assert answer.requirements == ("nvidia-cudnn-cu11==8.7.0.84",)


def test_debian_without_that_cuda_says_which_release_has_which(ask):
    with pytest.raises(TargetError, match=r"bookworm has no toolkit of CUDA 11.2; bullseye has 11.2"):
        ask("cuda", device="cuda11.2", runtime="debian")


def test_wheels_of_an_old_cuda_say_every_other_way(ask):
    with pytest.raises(TargetError, match=r"(?s)no wheels of CUDA 9.0.*directory.*uri.*base"):
        ask("cuda", device="cuda9.0-cudnn7", runtime="wheels")


def test_a_directory_gives_the_runtime_and_none_of_the_rest(ask):
    answer = ask("cuda", device="cuda9.0-cudnn7", directory="/usr/local/cuda-9.0/lib64")
    (file,) = kind(answer, Files).files
    assert file.source == "/usr/local/cuda-9.0/lib64"
    assert "libcudart.so.*" in file.only
    assert not any("static" in pattern or "npp" in pattern for pattern in file.only)
    assert kind(answer, Libraries).where == "host"


@pytest.mark.parametrize(
    ("device", "packages"),
    [
        ("cuda9.0-cudnn7", {"cuda-cublas-9-0", "cuda-cudart-9-0", "libcudnn7=*+cuda9.0"}),
        ("cuda10.1-cudnn7.6", {"libcublas10", "cuda-cudart-10-1", "libcudnn7=7.6.*+cuda10.1"}),
        ("cuda11.2-cudnn8.1", {"libcublas-11-2", "cuda-cudart-11-2", "libcudnn8=8.1.*+cuda11.2"}),
    ],
)
def test_nvidias_repository_has_the_names_of_each_time(ask, device, packages):
    apt = kind(ask("cuda", device=device, **URI), Apt)
    assert set(apt.packages) >= packages
    assert "cuda-cublas-10-1" not in apt.packages
    (repository,) = apt.repositories
    assert repository.fingerprint == "EB693B3035CD5710E231E123A4B469963BF863CC"
    assert (repository.suite, repository.components) == ("/", ())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"runtime": "directory"}, "needs directory"),
        ({"runtime": "repository"}, "needs uri"),
        ({"runtime": "base", "directory": "/a"}, "excludes"),
        ({"directory": "/a", **URI}, "exclude each other"),
        ({"uri": "https://example.invalid"}, "need each other"),
        ({"key": "a.asc"}, "need each other"),
        ({"directory": "cuda/lib64"}, "absolute path"),
        ({**URI, "fingerprint": "3bf863cc"}, "40 hexadecimal digits"),
        ({"runtime": "docker"}, "runtime"),
    ],
)
def test_options_that_can_not_be_meant_are_refused(registry, options, words):
    with pytest.raises(ValueError, match=words):
        registry.framework("cuda").options(**options)


def test_every_series_has_a_driver_and_a_check_that_python_2_reads(registry, ask):
    framework = registry.framework("cuda")
    for release in framework.releases:
        if release.version == "0":
            continue
        assert driver_minimum(release.version) in release.note
        for device in release.devices:
            answer = ask("cuda", device=device, runtime="base")
            assert answer.series == release.version
            assert answer.parses_on_python_38()
            assert "print(" in answer.program
            assert ast.parse(answer.program)


def test_drivers_are_known_by_toolkit_and_later_by_major_version():
    assert driver_minimum("9.0") == "384.81"
    assert driver_minimum("12.5") == driver_minimum("12.8") == "525.60.13"
    assert driver_minimum("14.0") is None
    assert driver_minimum("") is None
