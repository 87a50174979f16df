"""The chain of exec layers: what it takes for a layer, and whose layers they are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from avabuild.engine.exec.stack import Chain
from avabuild.layer.base import Base
from avabuild.layer.keys import ExecLayer, flat
from avabuild.plugins.target import Target
from avabuild.store import Store
from avabuild.store.blob import Blob

LAYER = ExecLayer(name="run", parts=(), key="sha256:" + "a" * 64)


@dataclass(frozen=True)
class User:
    """As much of a build's context as looking for a layer takes."""

    store: Store
    flat: bool


@pytest.mark.parametrize(
    ("one_id", "key", "found", "flattened"),
    [
        (True, LAYER.key, True, False),
        (True, flat(LAYER.key), True, True),
        (False, flat(LAYER.key), False, False),
        (True, "sha256:other", False, False),
    ],
    ids=["the real one", "made by a user with one id", "by another user with one id", "none"],
)
def test_an_image_is_flattened_by_a_layer_that_a_user_with_one_id_made(
    store: Store, keep_blob: Callable[..., Blob], one_id: bool, key: str, found: bool, flattened: bool
) -> None:
    store.record("layer", key, keep_blob(b"a layer").model_dump())
    context: Any = User(store, one_id)
    chain = Chain(context, Base(), Target.for_base("x86_64"), "gzip")
    assert (chain.found(LAYER) is not None) == found
    assert chain.flattened == flattened
    assert chain.fork().flattened == flattened
