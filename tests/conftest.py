"""What tests everywhere share: golden files, a store, blobs and a host that is always the same."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from avabuild.blob import Blob
from avabuild.host import Host
from avabuild.store import Store

GOLDEN = Path(__file__).parent / "golden"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write tests/golden anew; review the diff")


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """Return a function that holds a text against tests/golden/NAME."""

    def check(name: str, text: str) -> None:
        path = GOLDEN / name
        if request.config.getoption("--update-golden"):
            path.write_text(text)
        assert path.exists(), f"{path} is missing: run pytest --update-golden and review it"
        assert text == path.read_text(), f"{name} differs: if that is meant, run pytest --update-golden"

    return check


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "cache")


@pytest.fixture
def keep_blob(store: Store) -> Callable[..., Blob]:
    """Return a function that puts a layer's bytes into the store, claiming any unpacked size."""

    def keep(data: bytes, unpacked: int = 10_240) -> Blob:
        diff_id = "sha256:" + hashlib.sha256(b"tar of " + data).hexdigest()
        kind = "application/vnd.oci.image.layer.v1.tar+gzip"
        return Blob(
            digest=store.put(data), diff_id=diff_id, size=len(data), unpacked=unpacked, media_type=kind
        )

    return keep


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(
        uid=1000,
        arch="x86_64",
        cores=2,
        cache=tmp_path / "cache",
        variables=(),
        ca_bundle=None,
        mirror=None,
        driver=None,
    )
