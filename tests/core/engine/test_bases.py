"""Which base a name stands for: the pinned one while the recipe still asks for it, else what it was last."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from avabuild.engine.bases import bring_base, forget, obtain, obtained, offer_base, reference
from avabuild.layer.base import Base
from avabuild.layer.facts import Facts
from avabuild.plugins.target import Target
from avabuild.recipe import DebianBase
from avabuild.store import Store


@pytest.fixture
def bootstrap(store, monkeypatch):
    """Obtain a Debian whose bootstrap gives the base with a digest."""

    def bootstrap(suite: str, digest: str, mirror: str | None = None) -> Base:
        base = Base(digest=digest, facts=Facts(distribution=suite))
        monkeypatch.setattr(sys.modules["avabuild.engine.bases"], "_bootstrap", lambda *_: base)
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


class Known:
    """Another place that knows of the bases it was told of."""

    def __init__(self) -> None:
        self.records: dict[tuple[str, str], object] = {}

    def bring(self, store, kind, key):
        if (kind, key) in self.records:
            store.record(kind, key, self.records[kind, key])
        return (kind, key) in self.records

    def keep(self, store, kind, key, record, blobs, *, anew=False):
        if anew or (kind, key) not in self.records:
            self.records[kind, key] = record


def test_an_old_base_that_a_lock_names_is_not_what_its_name_means(store, tmp_path):
    elsewhere, other = Known(), Store(tmp_path / "other")
    name = "debian:bookworm:x86_64:"
    for each in (store, other):
        each.elsewhere = elsewhere
    for config in (b"{}", b"{ }"):
        base = Base(digest=f"sha256:{len(config)}", config=store.put(config))
        for kind, key, data in (
            ("base", base.digest, base.model_dump(mode="json")),
            ("base-name", name, base.digest),
        ):
            store.record(kind, key, data)
        offer_base(store, name, base, anew=True)
        other.put(config)
    assert bring_base(other, name, "sha256:2"), "the lock's own, which is the older one"
    base = obtained(DebianBase(debian="bookworm"), other, name, "sha256:2")
    assert base
    offer_base(other, name, base, anew=True)
    assert elsewhere.records["base-name", "debian:bookworm:x86_64"] == "sha256:3"
    assert bring_base(other, name, "")
    assert other.recall("base-name", name) == "sha256:3"


def test_a_pinned_base_holds_whatever_mirror_it_came_from(store, bootstrap):
    bootstrap("bookworm", "sha256:b", "http://one.invalid")
    assert found(store, "bookworm", "sha256:b", "http://two.invalid") == "sha256:b"
    assert found(store, "bookworm", "", "http://two.invalid") is None
