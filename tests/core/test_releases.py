from __future__ import annotations

import pytest

from avabuild.errors import TargetError
from avabuild.framework import Framework, Options, Release
from avabuild.releases import select
from avabuild.target import Device, Target


def framework(*releases: Release) -> Framework:
    return Framework(name="ava", summary="", releases=releases, layers=lambda r: (), check=lambda r: "pass")


def target(python: str | None = "3.11", device: str = "cpu") -> Target:
    return Target(
        distribution="bookworm", arch="x86_64", python=python, device=Device.parse(device), glibc="2.36"
    )


NEW = Release(version="2.10", pythons=("3.11", "3.12", "3.13"), devices=("cpu", "cuda12.5-cudnn9.3"))
OLD = Release(version="2.9", pythons=("3.10", "3.11"), devices=("cpu", "cuda12.5-cudnn9.3"))
OLDER = Release(version="2.8", pythons=("3.9", "3.11"), devices=("cpu",))
OLDEST = Release(version="2.7", pythons=("3.9", "3.11"), devices=("cpu",))
AVA = framework(NEW, OLD, OLDER, OLDEST)


def test_the_newest_series_that_fits_is_chosen():
    assert select(AVA, Options(), target("3.11")) is NEW
    assert select(AVA, Options(), target("3.10")) is OLD
    assert select(AVA, Options(), target("3.9")) is OLDER
    assert select(AVA, Options(version="<2.9"), target("3.11")) is OLDER
    assert select(AVA, Options(version="2.7"), target("3.11")) is OLDEST


def test_cuda_without_a_cudnn_takes_whichever_there_is_and_with_one_only_that():
    assert select(AVA, Options(), target(device="cuda12.5")) is NEW
    assert select(AVA, Options(), target(device="cuda12.5-cudnn9.3")) is NEW
    for other in ("cuda12.5-cudnn9", "cuda12", "cuda12.50"):
        with pytest.raises(TargetError):
            select(AVA, Options(), target(device=other))


def test_a_series_for_any_device_goes_on_every_one():
    anywhere = Release(version="1.0", pythons=("3.11",), devices=("any",))
    for device in ("cpu", "cuda9.0-cudnn7"):
        assert select(framework(anywhere), Options(), target(device=device)) is anywhere
    with pytest.raises(TargetError, match=r"it offers any device on python 3.11 \(1.0\)"):
        select(framework(anywhere), Options(), target("3.12"))


def test_a_version_that_no_series_has_is_answered_with_those_there_are():
    with pytest.raises(TargetError) as caught:
        select(AVA, Options(version="~=9.9"), target())
    assert str(caught.value) == 'ava: no release matches "~=9.9"; newest are 2.10, 2.9, 2.8; oldest is 2.7'
    with pytest.raises(TargetError, match=r'"9"; newest are 2\.10$'):
        select(framework(NEW), Options(version="9"), target())


BOTH = "cpu or cuda12.5-cudnn9.3 on python"


@pytest.mark.parametrize(
    ("asked", "python", "device", "refusal", "offers"),
    [
        (
            "*",
            "3.11",
            "cuda9.0",
            "no release for python 3.11 with cuda9.0",
            f"{BOTH} 3.11 to 3.13 (2.10), {BOTH} 3.10 to 3.11 (2.9), cpu on python 3.9, 3.11 (2.8, 2.7)",
        ),
        ("*", "3.13", "cuda9.0", "no release for python 3.13 with cuda9.0", f"{BOTH} 3.11 to 3.13 (2.10)"),
        (
            "<2.10",
            "3.14",
            "cuda12.5",
            'no release within "<2.10" for python 3.14 with cuda12.5',
            f"{BOTH} 3.10 to 3.11 (2.9)",
        ),
        (
            "<2.9",
            None,
            "cpu",
            'no release within "<2.9" for an image without python with cpu',
            "cpu on python 3.9, 3.11 (2.8, 2.7)",
        ),
    ],
)
def test_when_nothing_fits_the_error_says_what_is_nearest(asked, python, device, refusal, offers):
    with pytest.raises(TargetError) as caught:
        select(AVA, Options(version=asked), target(python, device))
    assert str(caught.value) == f"ava: {refusal}; it offers {offers}"
    assert caught.value.exit_code == 4


def test_a_long_table_is_cut_short_and_its_alike_neighbours_are_put_together():
    table = [
        Release(version=f"1.{minor}", pythons=("3.11",), devices=(f"cuda{minor // 3}.0",))
        for minor in range(20, -1, -1)
    ]
    with pytest.raises(TargetError) as caught:
        select(framework(*table), Options(), target(device="cpu"))
    assert str(caught.value).partition("it offers ")[2] == (
        "cuda6.0 on python 3.11 (1.20 to 1.18), cuda5.0 on python 3.11 (1.17 to 1.15), "
        "cuda4.0 on python 3.11 (1.14 to 1.12), cuda3.0 on python 3.11 (1.11 to 1.9), ..."
    )
