"""Tags made from a recipe's template."""

import pytest

from avabuild.common.errors import RecipeError
from avabuild.plugins.target import Device, Target
from avabuild.recipe import Recipe


def target(python="3.11", device="cpu"):
    return Target(
        distribution="bookworm", arch="x86_64", python=python, device=Device.parse(device), glibc="2.36"
    )


@pytest.mark.parametrize(
    ("template", "where", "tag"),
    [
        ("py{python}-{device}", target(), "py311-cpu"),
        ("py{python}-{device}", target("2.7", "cuda8.0-cudnn6"), "py27-cuda80-cudnn6"),
        ("py{python}-{device}", target(None, "cuda8.0"), "cuda80"),
        ("{name}-{tensorflow}", target(), "ava-2.19"),
        ("latest", target(None), "latest"),
    ],
)
def test_fields_are_filled(template, where, tag):
    recipe = Recipe(name="team/ava", frameworks={"tensorflow": "*"}, tag=template)
    assert recipe.tag_for(where, {"tensorflow": "2.19"}) == tag


def test_a_plus_which_no_tag_can_hold_becomes_an_underscore():
    recipe = Recipe(name="ava", frameworks={"pytorch": "*"}, tag="{pytorch}-build+7")
    assert recipe.tag_for(target(), {"pytorch": "2.4.1+cpu"}) == "2.4.1_cpu-build_7"


@pytest.mark.parametrize(
    ("template", "python", "version", "said"),
    [
        ("py{python}", None, "2", "the image has no Python"),
        ("{tensorflow}", "3.11", None, "tensorflow is not in the image"),
        ("{tensorflow}", "3.11", "2~cpu", 'makes "2~cpu", which is no valid tag'),
        ("{tensorflow}", "3.11", "2" * 129, "no valid tag"),
    ],
)
def test_a_tag_that_can_not_be_made_is_an_error(template, python, version, said):
    recipe = Recipe(name="ava", frameworks={"tensorflow": "*"}, tag=template)
    with pytest.raises(RecipeError, match=said) as caught:
        recipe.tag_for(target(python), {"tensorflow": version} if version else {})
    assert caught.value.problems[0].path == "tag"
