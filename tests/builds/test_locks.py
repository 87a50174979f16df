"""Locks that were committed: a build uses what they say, adds what they don't say for itself, and changes nothing."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .user import User

pytestmark = [pytest.mark.build, pytest.mark.one_builder, pytest.mark.network]

RECIPES = Path(__file__).parents[2] / "recipes"


def test_a_build_of_a_fresh_clone_leaves_its_lock_as_it_is_and_the_next_one_finds_all(builder: User) -> None:
    recipe = builder.recipe((RECIPES / "pure.toml").read_text())
    assert builder.avabuild("lock", recipe).code == 0
    lock = recipe.with_suffix(".lock")
    committed = lock.read_bytes()
    (entry,) = tomllib.loads(committed.decode())["targets"]
    assert not entry.get("apt")
    built = builder.avabuild("recipe", recipe, "--output", "oci:one", "--json")
    assert built.code == 0, built.err
    assert lock.read_bytes() == committed
    again = builder.avabuild("recipe", recipe, "--output", "oci:two", "--json")
    assert again.code == 0, again.err
    assert (again.image["made"], again.image["digest"]) == ([], built.image["digest"])
    plan = json.loads(builder.avabuild("plan", recipe, "--json").out)[0]
    assert {row["state"] for row in plan["forecast"]} == {"cached"}
    assert lock.read_bytes() == committed
    assert builder.avabuild("lock", "--full", recipe).out.endswith("written\n")
    assert built.image["digest"] == builder.avabuild(
        "recipe", recipe, "--locked", "--output", "oci:three", "--json"
    ).image["digest"]  # fmt: skip
