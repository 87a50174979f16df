from __future__ import annotations

import pytest

from avabuild.testing import BuildFailed, BuildImage, conformance

RECIPE = """
name = "ava-test-house"
base = "scratch"
plugins = ["avabuild-house"]
[image]
user = "1000"
"""

test_it_keeps_the_contract = conformance("avabuild-house", image=False)


@pytest.mark.avabuild_image
def test_every_image_says_whose_it_is(build_image: BuildImage) -> None:
    image = build_image(RECIPE)
    assert image.labels["example.house.owner"] == "ml-platform"
    assert "files: policy house" in image.layers


@pytest.mark.avabuild_image
def test_a_root_container_is_refused_with_the_line(build_image: BuildImage) -> None:
    with pytest.raises(BuildFailed, match=r"recipe.toml:5: image.user: policy house .* don't start as root"):
        build_image(RECIPE.replace('user = "1000"', ""))
