"""Locks that were committed: a build uses what they say, adds what they don't say for itself, and changes nothing."""

from __future__ import annotations

import json
import shutil
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .origins import Index
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


def test_a_full_lock_of_what_only_a_container_resolves_leaves_nothing_and_holds(
    own: User, index: Index
) -> None:
    source = own.home / "avaplain-1.0"
    source.mkdir()
    (source / "setup.py").write_text("from setuptools import setup\nsetup(name='avaplain', version='1.0')\n")
    archive = shutil.make_archive(str(source), "gztar", own.home, source.name)
    index.add("avaplain", Path(archive))
    own.env["UV_INDEX"] = index.url
    recipe = own.recipe("""
        name = "ava-test-plain"
        base = { debian = "bookworm" }
        [packages]
        pip = ["avaplain"]
        apt = ["hello"]
    """)
    full = own.avabuild("lock", "--full", recipe)
    assert full.out.endswith("written\n"), full.err
    assert "resolving in a container" in full.err
    (entry,) = tomllib.loads(recipe.with_suffix(".lock").read_text())["targets"]
    assert [one["packages"] for one in entry["apt"]] == [["python3"], ["hello"]]
    assert own.leftovers() == []
    built = own.avabuild("recipe", recipe, "--locked", "--output", "oci:out")
    assert built.code == 0, built.err
