from __future__ import annotations

import pytest

from avabuild.testing import Ask, BuildImage, conformance

RECIPE = """
name = "ava-test-annoy"
base = { debian = "bookworm" }
[frameworks]
annoy = "*"
"""

test_it_keeps_the_contract = conformance("avabuild-annoy", image=False)


def test_it_is_compiled_from_the_source_alone(ask: Ask) -> None:
    compiled, runtime = ask("annoy", python="3.11").layers
    assert [source.filename for source in compiled.source_files] == ["annoy-1.17.3.tar.gz"]
    assert "g++" not in runtime.packages


@pytest.mark.avabuild_image
def test_its_image_finds_neighbours(build_image: BuildImage) -> None:
    image = build_image(RECIPE)
    assert image.checks["annoy"].startswith("annoy finds [50, ")
    assert "compile: annoy" in image.layers
    assert any(name.endswith("site-packages/annoy/__init__.py") for name in image.files)
    assert {"usr/bin/g++", "usr/include/python3.11/Python.h"} & image.files == set()
    assert not any("/setuptools/" in name for name in image.files)
