"""Wheels that were built of sources: what is remembered of them, and what comes from elsewhere."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import pytest

from avabuild.build.workshop import built_record, built_wheel
from avabuild.lock import Package
from avabuild.store import Store

KEY = "sha256:" + "a" * 64
PACKAGE = Package(name="x", version="1", kind="sdist", filename="x-1.tar.gz", sha256="f" * 64)


@pytest.fixture
def digest(store: Store) -> str:
    """A wheel that came as a blob, as it does from a registry's cache."""
    digest = store.put(b"a wheel")
    store.record("built", KEY, built_record(PACKAGE, Path("x-1-py3-none-any.whl"), digest))
    return digest


def test_a_wheel_that_came_as_a_blob_gets_its_name(store: Store, digest: str) -> None:
    path = built_wheel(store, KEY)
    assert path
    assert (path.name, path.read_bytes()) == ("x-1-py3-none-any.whl", b"a wheel")
    assert digest == "sha256:" + hashlib.sha256(b"a wheel").hexdigest()
    assert built_wheel(store, KEY) == path


def test_half_a_wheel_never_has_a_wheels_name(
    store: Store, digest: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(source: Path, target: Path) -> Path:
        Path(target).write_bytes(b"a w")
        raise KeyboardInterrupt

    monkeypatch.setattr(shutil, "copyfile", killed)
    with pytest.raises(KeyboardInterrupt):
        built_wheel(store, KEY)
    assert not list(store.root.glob("built/**/*.whl"))
    monkeypatch.undo()
    path = built_wheel(store, KEY)
    assert path
    assert path.read_bytes() == b"a wheel"
    assert digest
