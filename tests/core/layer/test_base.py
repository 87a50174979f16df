from __future__ import annotations

from pathlib import Path

import pytest

from avabuild.layer.base import Base
from avabuild.store import oci as image


@pytest.fixture
def base(store, keep_blob) -> Base:
    config = store.put(image.encode({"config": {"Cmd": ["bash"]}}))
    return Base(digest="sha256:manifest", config=config, layers=(keep_blob(b"one"), keep_blob(b"two")))


def test_a_base_gives_its_config(store, base):
    assert base.read_config(store) == {"config": {"Cmd": ["bash"]}}


def test_scratch_has_no_config_and_lacks_nothing(store):
    assert Base().read_config(store) == {}
    assert Base().is_whole(store)


def test_a_base_is_whole_while_the_store_has_all_of_it(store, base):
    assert base.is_whole(store)


@pytest.mark.parametrize("which", ["config", "first layer", "last layer"])
def test_a_base_with_a_blob_missing_is_not_whole(store, base, which):
    digest = {
        "config": base.config,
        "first layer": base.layers[0].digest,
        "last layer": base.layers[1].digest,
    }
    store.blob_path(digest[which]).unlink()
    assert not base.is_whole(store)


def test_a_base_with_a_blob_cut_off_is_not_whole(store, base):
    path: Path = store.blob_path(base.layers[1].digest)
    path.write_bytes(b"t")
    assert not base.is_whole(store)


def test_a_base_survives_json(base):
    assert Base.model_validate_json(base.model_dump_json()) == base
