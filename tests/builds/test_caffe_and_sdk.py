"""What is compiled and ported for the catalogue, for real: minutes each, so not in every run of the suite."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .user import User

pytestmark = [pytest.mark.build, pytest.mark.one_builder, pytest.mark.network, pytest.mark.slow]

RECIPE = """
    name = "ava-test-{name}"
    base = {{ debian = "{debian}" }}
    [matrix]
    python = ["{python}"]
    [frameworks]
    {name} = "*"
"""
ROWS = [("bullseye", "2.7"), ("bullseye", "3.9"), ("bookworm", "3.11"), ("trixie", "3.13")]


@pytest.mark.parametrize(("debian", "python"), ROWS)
def test_caffe_computes_trains_and_reloads_and_brings_no_compiler(
    builder: User, debian: str, python: str
) -> None:
    text = RECIPE.format(name="caffe", debian=debian, python=python)
    recipe = builder.recipe(text)
    outcome = builder.avabuild("recipe", recipe, "--json", timeout=3600)
    assert outcome.code == 0, outcome.err
    said = {e["step"]: str(e.get("text")) for e in outcome.events if e["event"] == "finish"}
    assert said["check caffe"].startswith("caffe 1.0.0 with 59 layers")
    inside = builder.inside(
        str(outcome.image["reference"]),
        "caffe --version 2>&1; find / -xdev -name 'boost' -path '*include*' -o -xdev -name 'cc1plus';"
        "command -v g++ cmake; ls /stage 2>&1; pip check",
    )
    assert inside.startswith("caffe version 1.0.0\nls: cannot access '/stage'"), inside
    assert "No broken requirements found." in inside
    builder.recipe(text + '[packages]\n    pip = ["six"]\n')
    again = builder.avabuild("recipe", recipe, "--json")
    assert "compile: caffe" in again.image["reused"]


@pytest.mark.parametrize(("debian", "python"), ROWS[1:])
def test_the_sdk_is_ported_and_is_a_package_like_any_other(builder: User, debian: str, python: str) -> None:
    recipe = builder.recipe(RECIPE.format(name="ava-sdk", debian=debian, python=python))
    outcome = builder.avabuild("recipe", recipe, "--json", timeout=1800)
    assert outcome.code == 0, outcome.err
    said = {e["step"]: str(e.get("text")) for e in outcome.events if e["event"] == "finish"}
    assert said["check ava-sdk"] == "ava-sdk 0.1.3 imports 42 of 43 modules"  # the last one needs mxnet
    inside = builder.inside(
        str(outcome.image["reference"]),
        "pip list 2>/dev/null | grep ava; pip check;"
        "pip uninstall --yes --quiet ava-sdk 2>/dev/null; python -c 'import ava' 2>&1 | tail -n 1",
    )
    assert inside.startswith("ava-sdk "), inside
    assert "No broken requirements found." in inside
    assert inside.endswith("ModuleNotFoundError: No module named 'ava'\n")
