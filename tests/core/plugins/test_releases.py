from __future__ import annotations

import pytest
from pydantic import ValidationError

from avabuild.common.errors import TargetError
from avabuild.plugins.framework import Framework, Options, Release
from avabuild.plugins.releases import choose, select
from avabuild.plugins.target import Device, Target


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
    assert select(AVA, Options(), target(device="cuda12.5-cudnn9")) is NEW
    for other in ("cuda12", "cuda12.50", "cuda12.5-cudnn9.30", "cuda12.5-cudnn8"):
        with pytest.raises(TargetError):
            select(AVA, Options(), target(device=other))


def test_a_series_for_any_device_goes_on_every_one():
    anywhere = Release(version="1.0", pythons=("3.11",), devices=("any",))
    for device in ("cpu", "cuda9.0-cudnn7"):
        assert select(framework(anywhere), Options(), target(device=device)) is anywhere
    with pytest.raises(TargetError, match=r"it offers python 3.11 \(1.0\)"):
        select(framework(anywhere), Options(), target("3.12"))


def test_a_version_that_no_series_has_is_answered_with_those_there_are():
    with pytest.raises(TargetError) as caught:
        select(AVA, Options(version="~=9.9"), target())
    assert str(caught.value) == 'ava: no release matches "~=9.9"; newest are 2.10, 2.9, 2.8; oldest is 2.7'
    with pytest.raises(TargetError, match=r'"9"; newest are 2\.10$'):
        select(framework(NEW), Options(version="9"), target())


def test_a_cuda_with_cudnn_inside_goes_with_whichever_cudnn_is_asked_for():
    bundled = Release(version="1.0", pythons=("3.11",), devices=("cuda9.0",))
    for device in ("cuda9.0", "cuda9.0-cudnn7", "cuda9.0-cudnn7.6"):
        assert select(framework(bundled), Options(), target(device=device)) is bundled


@pytest.mark.parametrize(
    ("asked", "python", "device", "refusal", "offers"),
    [
        (
            "*",
            "3.11",
            "cuda9.0",
            "no release for python 3.11 with cuda 9.0",
            "cpu (2.7 to 2.10)\n  for a newer CUDA: 12.5/cudnn9.3 (2.9 to 2.10)",
        ),
        (
            "*",
            "3.13",
            "cuda12.6-cudnn9",
            "no release for python 3.13 with cuda 12.6/cudnn9",
            "12.5/cudnn9.3 (2.10), cpu (2.10)",
        ),
        (
            "<2.10",
            "3.14",
            "cuda12.5",
            'no release within "<2.10" for python 3.14 with cuda 12.5',
            "python 3.10 to 3.11 (2.9)",
        ),
        (
            "<2.9",
            None,
            "cpu",
            'no release within "<2.9" for an image without python with cpu',
            "python 3.9 (2.7 to 2.8), 3.11 (2.7 to 2.8)",
        ),
    ],
)
def test_when_nothing_fits_the_error_says_what_is_nearest(asked, python, device, refusal, offers):
    with pytest.raises(TargetError) as caught:
        select(AVA, Options(version=asked), target(python, device))
    assert str(caught.value) == f"ava: {refusal}; it offers {offers}"
    assert caught.value.exit_code == 4


def test_a_long_table_is_cut_short_to_what_is_nearest():
    table = [
        Release(version=f"1.{minor}", pythons=("3.11",), devices=(f"cuda{minor // 3}.0",))
        for minor in range(20, -1, -1)
    ]
    with pytest.raises(TargetError) as caught:
        select(framework(*table), Options(), target(device="cpu"))
    assert str(caught.value).partition("it offers ")[2] == (
        "3.0 (1.9 to 1.11), 4.0 (1.12 to 1.14), 5.0 (1.15 to 1.17), 6.0 (1.18 to 1.20)"
    )
    many = [Release(version=f"1.{minor}", pythons=(f"3.{minor}",)) for minor in range(14, 5, -1)]
    with pytest.raises(TargetError, match=r"it offers python \.\.\., 3\.11 \(1\.11\), .* 3\.14 \(1\.14\)$"):
        select(framework(*many), Options(), target("3.15"))


def test_series_with_gaps_are_not_worded_as_a_range():
    table = [
        Release(version=f"1.{minor}", pythons=("3.11",), devices=("cuda9.0",) if minor == 2 else ("cpu",))
        for minor in (4, 3, 2, 1)
    ]
    with pytest.raises(TargetError, match=r"it offers 9\.0 \(1\.2\), cpu \(1\.1, 1\.3 to 1\.4\)$"):
        select(framework(*table), Options(), target(device="cuda9.1"))


def test_a_series_of_one_distribution_is_refused_on_another_with_where_it_is():
    here = Release(version="1.1", pythons=("3.11",), distributions=("bookworm",))
    there = Release(version="1.2", pythons=("3.11",), distributions=("bullseye",))
    assert select(framework(there, here), Options(), target()) is here
    with pytest.raises(TargetError) as caught:
        select(framework(there), Options(), target())
    assert str(caught.value) == (
        "ava: no release for python 3.11 with cpu on bookworm; it offers bullseye (1.2)"
    )


# -- frameworks beside one another -------------------------------------------------------------------------


def other(*releases: Release) -> Framework:
    return Framework(name="box", summary="", releases=releases, layers=lambda r: (), check=lambda r: "pass")


def series(version: str, *constraints: str, devices: tuple[str, ...] = ("cpu",)) -> Release:
    return Release(version=version, pythons=("3.11",), devices=devices, constraints=constraints)


def chosen(ava: Framework, box: Framework, /, device: str = "cpu", **asked: str) -> dict[str, str]:
    pairs = [(f, Options(version=asked.get(f.name, "*"))) for f in (ava, box)]
    return {name: release.version for name, release in choose(pairs, target(device=device)).items()}


OLD_NUMPY = framework(series("1.9", "numpy<1.24"), series("1.8", "numpy<1.20"))
NEW_NUMPY = other(*(series(f"2.{m}", f"numpy>=1.{m}") for m in range(30, 20, -1)))


def test_series_whose_pins_meet_are_chosen_with_as_few_steps_back_as_possible():
    assert chosen(OLD_NUMPY, NEW_NUMPY) == {"ava": "1.9", "box": "2.23"}
    assert chosen(OLD_NUMPY, NEW_NUMPY, box="<2.23") == {"ava": "1.9", "box": "2.22"}


def test_a_pin_that_names_another_framework_chooses_among_its_series():
    three = framework(series("3.0", "box>=2.28"), series("2.0", "box>=2.22,<2.26"))
    assert chosen(three, NEW_NUMPY) == {"ava": "3.0", "box": "2.30"}
    assert chosen(three, NEW_NUMPY, box="2.25") == {"ava": "2.0", "box": "2.25"}
    assert chosen(three, NEW_NUMPY, ava="2") == {"ava": "2.0", "box": "2.25"}


def test_a_pin_for_another_python_binds_nobody():
    classic = framework(series("1.9", 'numpy<1.17; python_version < "3"'))
    assert chosen(classic, NEW_NUMPY) == {"ava": "1.9", "box": "2.30"}


def test_pins_that_cant_meet_name_both_why_and_the_nearest_that_can():
    with pytest.raises(TargetError) as caught:
        chosen(OLD_NUMPY, NEW_NUMPY, box=">=2.25")
    assert str(caught.value) == (
        "ava 1.9 and box 2.30 can't be in one image: ava needs numpy<1.24, box needs numpy>=1.30; "
        "the nearest that can: ava 1.9 with box 2.23\n  ask for these in [frameworks]"
    )
    assert caught.value.exit_code == 4


def test_pins_of_all_releases_that_cant_meet_are_said_to():
    never = other(series("2.0", "numpy>=2"))
    with pytest.raises(
        TargetError, match=r"no releases of them for python 3.11 with cpu can\n  make two images"
    ):
        chosen(OLD_NUMPY, never)


def test_tables_that_dont_meet_on_a_device_name_both_and_where_they_do():
    ava = framework(series("1.9", devices=("cuda9.1",)), series("1.8", devices=("cuda9.0", "cuda9.1")))
    box = other(series("2.2", devices=("cuda10.0", "cpu")), series("2.1", devices=("cuda9.0-cudnn7", "cpu")))
    with pytest.raises(TargetError) as caught:
        chosen(ava, box, "cuda9.1")
    assert str(caught.value) == (
        "box: no release for python 3.11 with cuda 9.1; it offers 9.0/cudnn7 (2.1), cpu (2.1 to 2.2)\n"
        "  ava has it (1.8 to 1.9); the nearest for both is cuda 9.0/cudnn7: ava 1.8 and box 2.1; "
        "for a newer CUDA: 10.0 (2.2)"
    )


def test_tables_that_meet_nowhere_say_so():
    ava, box = framework(series("1.9", devices=("cuda9.1",))), other(series("2.2"))
    with pytest.raises(TargetError, match=r"ava has it \(1\.9\); nothing for python 3\.11 is for both"):
        chosen(ava, box, "cuda9.1")


@pytest.mark.parametrize("field", [{"devices": ("gpu",)}, {"constraints": ("numpy<<1",)}])
def test_a_table_with_a_device_or_constraint_that_is_none_is_refused(field):
    with pytest.raises(ValidationError):
        Release(version="1.0", pythons=("3.11",), **field)


def test_a_version_in_a_gap_of_the_table_is_told_with_its_neighbours():
    gap = framework(
        NEW, Release(version="2.6.3", pythons=("3.11",)), Release(version="2.0.8", pythons=("3.11",))
    )
    for asked in ("2.4", "==2.4.1", "~=2.4.0", ">=2.4,<2.5"):
        with pytest.raises(TargetError) as caught:
            select(gap, Options(version=asked), target())
        assert (
            f'no release matches "{asked}"; the nearest are 2.0.8 and 2.6.3, and between them there'
            in str(caught.value)
        )
