import pytest
from packaging.markers import Marker

from avabuild.common.errors import ResolveError
from avabuild.resolve.platforms import Platform


@pytest.mark.parametrize(
    ("glibc", "name"),
    [("2.36", "2_36"), ("2.30", "2_28"), ("2.17", "2_17"), ("2.41", "2_40"), ("2.99", "2_40")],
)
def test_uv_gets_the_newest_platform_that_runs_on_the_glibc(glibc, name):
    assert Platform("3.11", "x86_64", glibc).uv_name() == f"x86_64-manylinux_{name}"


@pytest.mark.parametrize(
    "platform",
    [
        Platform("2.7", "x86_64", "2.36"),
        Platform("3.5", "x86_64", "2.36"),
        Platform("3.11", "s390x", "2.36"),
        Platform("3.11", "x86_64", "2.13"),
    ],
)
def test_what_uv_cannot_resolve_for_is_said(platform):
    with pytest.raises(ResolveError):
        platform.uv_name()


def test_tags_are_the_targets_and_newer_platforms_come_first():
    tags = [str(tag) for tag in Platform("3.12", "x86_64", "2.28").tags()]
    assert tags[0] == "cp312-cp312-manylinux_2_28_x86_64"
    assert "cp311-abi3-manylinux2014_x86_64" in tags
    assert "cp312-cp312-manylinux1_x86_64" in tags
    assert tags.index("py3-none-manylinux_2_17_x86_64") < tags.index("py3-none-any")
    assert not [tag for tag in tags if "2_29" in tag or "cp313" in tag]


@pytest.mark.parametrize(("python", "abi"), [("2.7", "cp27mu"), ("3.6", "cp36m"), ("3.8", "cp38")])
def test_old_pythons_have_their_own_abi_names(python, abi):
    tags = {str(tag) for tag in Platform(python, "x86_64", "2.17").tags()}
    assert f"{abi[:4]}-{abi}-manylinux1_x86_64" in tags


def test_arm_has_no_platform_older_than_2014():
    tags = {tag.platform for tag in Platform("3.11", "aarch64", "2.36").tags()}
    assert "manylinux2014_aarch64" in tags
    assert not [name for name in tags if name.startswith(("manylinux1", "manylinux2010", "manylinux_2_5_"))]


def test_markers_are_evaluated_for_the_target():
    environment = dict(Platform("3.9", "aarch64", "2.31").environment())
    assert Marker("python_version == '3.9' and platform_machine == 'aarch64'").evaluate(environment)
    assert not Marker("python_full_version >= '3.10' or sys_platform == 'darwin'").evaluate(environment)
