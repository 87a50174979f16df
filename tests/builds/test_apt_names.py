"""Apt packages that are not there: told before a wheel is made, and told apart from what a lock names."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .user import User

pytestmark = [pytest.mark.build, pytest.mark.root_builder]  # none of it depends on who builds

RECIPE = """
    name = "ava-test-names"
    base = { debian = "bookworm" }
    [packages]
    apt = ["NAMES"]
    pip = ["six"]
"""


def test_wrong_names_stop_a_build_before_any_wheel_is_made(builder: User) -> None:
    recipe = builder.recipe(RECIPE.replace("NAMES", 'hellp", "awk'))
    outcome = builder.avabuild("recipe", recipe, "--json", "--output", "oci:out")
    assert outcome.code == 9, outcome.err
    assert "hellp: there is no such package; near it: hello" in outcome.err
    assert "awk is virtual: name one that provides it, gawk, mawk" in outcome.err
    steps = [str(event.get("name", "")) for event in outcome.events]
    assert not [name for name in steps if name.startswith(("layer ", "resolve "))]


def test_a_locked_package_that_the_mirror_has_dropped_is_told_with_the_way_out(builder: User) -> None:
    recipe = builder.recipe(RECIPE.replace("NAMES", "hello"))
    assert builder.avabuild("recipe", recipe, "--output", "oci:out").code == 0
    lock = builder.home / "recipe.lock"
    old = re.sub(r'(name = "hello", version = ")[^"]*(".*sha256 = ")[0-9a-f]*', r"\g<1>2.9-1\g<2>" + "0" * 64,
                 lock.read_text())  # fmt: skip
    lock.write_text(old)
    outcome = builder.avabuild("recipe", recipe, "--output", "oci:out")
    assert outcome.code == 9, outcome.err
    assert "the lock names packages that the mirror has dropped for newer ones: hello 2.9-1" in outcome.err
    assert "--upgrade apt" in outcome.err
    assert "packages.apt" not in outcome.err
    assert builder.avabuild("recipe", recipe, "--output", "oci:out", "--upgrade", "apt").code == 0
