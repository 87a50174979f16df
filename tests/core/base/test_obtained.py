"""Which base a name stands for: the pinned one while the recipe still asks for it, else what it was last."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from avabuild.base import Base, Facts, forget, obtain, obtained, reference
from avabuild.recipe import DebianBase
from avabuild.target import Target


@pytest.fixture
def bootstrap(store, monkeypatch):
    """Obtain a Debian whose bootstrap gives the base with a digest."""

    def bootstrap(suite: str, digest: str, mirror: str | None = None) -> Base:
        base = Base(digest=digest, facts=Facts(distribution=suite))
        monkeypatch.setattr(sys.modules["avabuild.base.obtain"], "_bootstrap", lambda *_: base)
        spec = DebianBase(debian=suite)
        name = reference(spec, Path(), "x86_64", store, mirror)
        forget(store, name)
        return obtain(spec, Path(), Target.for_base("x86_64"), store, None, None, name)  # type: ignore[arg-type]

    return bootstrap


def found(store, suite: str, pinned: str = "", mirror: str | None = None) -> str | None:
    spec = DebianBase(debian=suite)
    base = obtained(spec, store, reference(spec, Path(), "x86_64", store, mirror), pinned)
    return base.digest if base else None


def test_a_pinned_base_is_taken_though_a_newer_one_is_there(store, bootstrap):
    bootstrap("bookworm", "sha256:old")
    bootstrap("bookworm", "sha256:new")
    assert found(store, "bookworm") == "sha256:new"
    assert found(store, "bookworm", "sha256:old") == "sha256:old"


def test_a_base_that_the_recipe_no_longer_asks_for_is_not_taken_for_its_pin(store, bootstrap):
    bootstrap("bookworm", "sha256:b")
    assert found(store, "trixie", "sha256:b") is None
    bootstrap("trixie", "sha256:t")
    assert found(store, "trixie", "sha256:b") == "sha256:t"


def test_a_pinned_base_holds_whatever_mirror_it_came_from(store, bootstrap):
    bootstrap("bookworm", "sha256:b", "http://one.invalid")
    assert found(store, "bookworm", "sha256:b", "http://two.invalid") == "sha256:b"
    assert found(store, "bookworm", "", "http://two.invalid") is None
