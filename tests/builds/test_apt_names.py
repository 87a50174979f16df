"""Apt packages that are not there: told before a wheel is made, and told apart from what a lock names."""

from __future__ import annotations

import json
import re
import shutil
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
    """Once a build has fetched lists of packages, they are looked into; no mirror need answer for it."""
    fetching = builder.recipe(RECIPE.replace("NAMES", "hello"))
    assert builder.avabuild("recipe", fetching, "--output", "oci:first").code == 0
    recipe = builder.recipe(RECIPE.replace("NAMES", 'hellp", "awk'))
    outcome = builder.avabuild("recipe", recipe, "--json", "--output", "oci:out")
    assert outcome.code == 9, outcome.err
    assert "hellp: there is no such package; near it: hello" in outcome.err
    assert "awk is virtual: name one that provides it, gawk, mawk" in outcome.err
    steps = [str(event.get("name", "")) for event in outcome.events]
    assert not [name for name in steps if name.startswith(("layer ", "resolve "))]


def test_names_that_only_apt_finds_wanting_are_told_in_the_same_words(own: User) -> None:
    """What was known of the mirror has them, or nothing was known: APT's own lists say what could be meant."""
    recipe = own.recipe(RECIPE.replace("NAMES", 'hellp", "awk'))
    assert own.avabuild("recipe", recipe, "--output", "oci:out").code == 9
    for path in own.cache.glob("apt-names/*.json"):
        index = json.loads(path.read_text())
        path.write_text(json.dumps(index | {"packages": [*index["packages"], "hellp", "awk"]}))
    shutil.rmtree(own.cache / "apt-lists", ignore_errors=True)
    outcome = own.avabuild("recipe", recipe, "--json", "--output", "oci:out")
    assert outcome.code == 9, outcome.err
    assert any("apt: packages" in str(event) for event in outcome.events)
    assert "hellp: there is no such package; near it: hello" in outcome.err
    assert "awk is virtual: name one that provides it, gawk, mawk" in outcome.err


def test_a_locked_package_that_the_mirror_has_dropped_is_replaced_with_a_warning_where_the_lock_need_not_hold(
    builder: User,
) -> None:
    recipe = builder.recipe(RECIPE.replace("NAMES", "hello"))
    assert builder.avabuild("recipe", recipe, "--output", "oci:out").code == 0
    lock = builder.home / "recipe.lock"
    old = re.sub(r'(name = "hello", version = ")[^"]*(".*sha256 = ")[0-9a-f]*', r"\g<1>2.9-1\g<2>" + "0" * 64,
                 lock.read_text())  # fmt: skip
    lock.write_text(old)
    words = "the lock names packages that the mirror has dropped for newer ones: hello 2.9-1"

    def refuses() -> None:
        refused = builder.avabuild("recipe", recipe, "--output", "oci:out", "--locked")
        assert refused.code == 9, refused.err
        assert words in refused.err
        assert "--upgrade apt" in refused.err
        assert "packages.apt" not in refused.err

    refuses()
    for made in (True, False):
        outcome = builder.avabuild("recipe", recipe, "--json", "--output", f"oci:{made}")
        assert outcome.code == 0, outcome.err
        assert (f"apt: packages: {words}; the build uses the current ones" in outcome.out) is made
        assert "apt: packages" in outcome.image["reused"]  # type: ignore[operator]
        assert lock.read_text() == old
    refuses()  # whatever a build without --locked took
    assert builder.avabuild("recipe", recipe, "--output", "oci:out", "--upgrade", "apt").code == 0
    assert "2.9-1" not in lock.read_text()
    lock.write_text(old)
    assert builder.avabuild("lock", "--full", recipe, "--upgrade", "apt").code == 0
    assert "2.9-1" not in lock.read_text()
