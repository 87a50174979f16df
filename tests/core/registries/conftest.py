"""Clients of a real registry, and images to push."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from avabuild import image
from avabuild.blob import Blob
from avabuild.host import Host
from avabuild.registries.registries import Registries
from avabuild.resolve.wanted import Policy
from avabuild.store import Store

QUICK = Policy(attempts=3, pause=0.01)


@pytest.fixture
def registries_of(host: Host) -> Iterator[Callable[..., Registries]]:
    """Return a function that opens registries as a user with some environment."""
    opened: list[Registries] = []

    def make(environment: dict[str, str], *, insecure: bool = False, policy: Policy = QUICK) -> Registries:
        bundle = environment.get("SSL_CERT_FILE")
        user = host.model_copy(update={"variables": tuple(environment.items()), "ca_bundle": bundle})
        opened.append(Registries(user, insecure=insecure, policy=policy))
        return opened[-1]

    yield make
    for registries in opened:
        registries.__exit__(None, None, None)


@pytest.fixture
def registries(distribution: Any, registries_of: Callable[..., Registries]) -> Registries:
    """The shared registry, as somebody with the right password."""
    return registries_of(distribution.environment)


@pytest.fixture
def keep_image(
    store: Store, keep_blob: Callable[..., Blob]
) -> Callable[..., tuple[str, str, dict[str, int]]]:
    """Return a function that puts an image of layers with these bytes into the store: manifest, config, layers."""

    def keep(*contents: bytes) -> tuple[str, str, dict[str, int]]:
        blobs = [keep_blob(content) for content in contents]
        pieces = [image.Piece(blob=blob, created_by="test") for blob in blobs]
        config = image.encode(image.config({}, pieces, image.Settings(), "amd64"))
        manifest = image.encode(image.manifest(config, [image.layer_descriptor(blob) for blob in blobs], {}))
        return store.put(manifest), store.put(config), {blob.digest: blob.size for blob in blobs}

    return keep
