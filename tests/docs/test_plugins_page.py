"""docs/plugins.md has every rule of the kit and every fixture."""

from __future__ import annotations

from pathlib import Path

import pytest

from avabuild import testing
from avabuild.kit.finding import IMAGE, RULES

PAGE = (Path(__file__).parents[2] / "docs" / "plugins.md").read_text()


@pytest.mark.parametrize("rule", [*RULES, IMAGE])
def test_every_rule_is_documented(rule):
    assert f"\n| `{rule}` | " in PAGE


@pytest.mark.parametrize("name", ["ask", "build_image"])
def test_every_fixture_is_documented_and_is_one(name):
    assert f"\n| `{name}` | " in PAGE
    assert type(getattr(testing, name)).__name__ == "FixtureFunctionDefinition"
