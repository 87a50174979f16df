from __future__ import annotations

import pytest
from pydantic import ValidationError

from avabuild.plugins.framework import Options, Release, Request
from avabuild.plugins.target import Device, Target

TARGET = Target(distribution="bookworm", arch="x86_64", python="3.11", device=Device(), glibc="2.36")


@pytest.mark.parametrize(
    ("version", "specifier"),
    [
        ("*", ""),
        (" * ", ""),
        ("2.19", "==2.19.*"),
        ("2.19.*", "==2.19.*"),
        ("2.19.1", "==2.19.1.*"),
        ("~=2.19", "~=2.19"),
        (">=2,<3", "<3,>=2"),
        ("==2.13.0+cpu", "==2.13.0+cpu"),
    ],
)
def test_a_version_is_read_as_a_specifier(version, specifier):
    assert str(Options(version=version).specifier) == specifier


@pytest.mark.parametrize("version", ["newest", "2.19 or so", ">=", "=2.19", "^2.19", "2..19"])
def test_a_version_that_is_no_specifier_is_refused_with_examples(version):
    with pytest.raises(ValidationError, match=r'is no version specifier; write "\*", "2.19", "~=2.19"'):
        Options(version=version)


def test_an_option_that_is_not_declared_is_refused():
    with pytest.raises(ValidationError, match="bakend"):
        Options.model_validate({"bakend": "torch"})


def test_options_are_frozen():
    with pytest.raises(ValidationError, match="frozen"):
        Options().version = "2.19"


@pytest.mark.parametrize(
    ("version", "allowed"),
    [
        ("*", True),
        ("2.19", True),
        ("2.19.1", True),
        ("==2.19", True),
        ("==2.19.0rc1", True),
        ("==2.19.1+cpu", True),
        ("~=2.18", True),
        ("~=2.19.3", True),
        (">2.19", True),
        (">=2.19.5,<2.20", True),
        ("<2.19.1", True),
        ("!=2.19.0", True),
        ("2.1", False),
        ("2.190", False),
        ("~=2.18.0", False),
        (">=2.20", False),
        ("<2.19", False),
        ("!=2.19.*", False),
        (">3,<2", False),
    ],
)
def test_a_series_is_allowed_when_one_of_its_versions_is(version, allowed):
    series = Release(version="2.19", pythons=("3.11",))
    assert series.allowed(Options(version=version).specifier) is allowed


def test_an_exact_version_is_a_series_of_itself():
    exact = Release(version="1.6.0", pythons=("3.11",))
    assert exact.allowed(Options(version="~=1.6").specifier)
    assert not exact.allowed(Options(version=">1.6.1").specifier)


def test_a_request_asks_for_the_series_and_what_the_recipe_says():
    release = Release(version="2.19", pythons=("3.11",))
    assert Request(TARGET, Options(), release).requirement == "==2.19.*"
    assert Request(TARGET, Options(version="~=2.19.1"), release).requirement == "==2.19.*,~=2.19.1"
    for alone in ("0.48b0", "1.0.post1"):  # with .* behind it, it would be no specifier
        release = Release(version=alone, pythons=("3.11",))
        assert Request(TARGET, Options(), release).requirement == f"=={alone}"


@pytest.mark.parametrize(
    ("series", "specifier", "allowed"),
    [
        ("1.6.0.post0", "*", True),
        ("1.6.0.post0", "==1.6.0.post0", True),
        ("1.6.0.post0", "==1.6.1", False),
        ("2.19", "===2.19.0", True),
        ("2.19", ">2.19.3,<2.19.5", True),
        ("2.19", ">2.19.3,<2.19.4", False),
        ("2.19", "!=2.19.*", False),
    ],
)
def test_a_series_that_is_one_release_or_asked_for_by_a_gap(
    series: str, specifier: str, allowed: bool
) -> None:
    release = Release(version=series, pythons=("3.11",))
    assert release.allowed(Options(version=specifier).specifier) is allowed


def test_a_series_that_is_of_some_distributions_fits_no_other():
    anywhere = Release(version="1.0", pythons=("3.11",))
    here = Release(version="1.0", pythons=("3.11",), distributions=("bookworm",))
    there = Release(version="1.0", pythons=("3.11",), distributions=("trixie",))
    assert [release.fits(TARGET) for release in (anywhere, here, there)] == [True, True, False]


def test_limits_are_those_whose_markers_hold():
    release = Release(
        version="1.0",
        pythons=("2.7", "3.11"),
        constraints=('numpy<1.17; python_version < "3"', "h5py<3", 'grpcio>1; python_full_version >= "3.10"'),
    )
    assert [r.name for r in release.limits("2.7")] == ["numpy", "h5py"]
    assert [r.name for r in release.limits("3.11")] == ["h5py", "grpcio"]


def test_a_plugins_own_options_may_narrow_the_releases_further():
    class Even(Options):
        def allows(self, release: Release) -> bool:
            return super().allows(release) and release.version.endswith("2")

    one, two = (Release(version=version, pythons=("3.11",)) for version in ("1.1", "1.2"))
    assert [Even(version=">=1.1").allows(release) for release in (one, two)] == [False, True]
    assert not Even(version="1.1").allows(two)


def test_a_request_knows_where_packages_will_be():
    request = Request(TARGET, Options(), Release(version="1.0", pythons=("3.11",)))
    assert request.site_packages == "/opt/venv/lib/python3.11/site-packages"
    classic = TARGET.model_copy(update={"python": "2.7"})
    assert Request(classic, Options(), request.release).site_packages == (
        "/usr/local/lib/python2.7/dist-packages"
    )
