from __future__ import annotations

import base64

import pytest

from avabuild.common.errors import ImageError
from avabuild.images.find import bare, find, listed, local_images
from avabuild.images.image import lock_of
from avabuild.images.usage import needs_of
from avabuild.registries.name import is_remote
from avabuild.resolve.lock import Package, read_lock
from avabuild.store import oci as image

from .conftest import LOCK

NAME = "localhost/ava-demo:py311-cuda90-cudnn7"


def test_a_local_image_is_found_by_its_name_with_or_without_the_host_and_by_its_id(
    store, storage, make_image
):
    composed = make_image()
    identity = storage.add(composed, store, NAME, "localhost/ava-demo:latest", came=5.0)
    for name in (
        NAME,
        "ava-demo:py311-cuda90-cudnn7",
        "ava-demo",
        identity,
        identity[:12],
        f"sha256:{identity}",
    ):
        found = find(name, storage, store)
        assert (found.id, found.digest, found.came) == (identity, composed.digest, 5.0)
    assert found.size == composed.size
    assert found.unpacked_size == sum(blob.unpacked for blob in composed.blobs)


def test_without_its_manifest_in_the_cache_an_image_has_no_size_as_it_is_pushed(store, storage, make_image):
    composed = make_image()
    storage.add(composed, store, NAME)
    store.blob_path(composed.digest).unlink()
    found = find(NAME, storage, store)
    assert (found.size, found.digest) == (None, "")
    assert found.unpacked_size
    assert found.description.layers[0].size is None


def test_a_lock_that_is_too_long_for_a_label_is_read_from_cache_and_storage(store, storage, make_image):
    many = tuple(
        Package(name=f"many{number}", version="1.0", sha256=f"{number:064x}") for number in range(100)
    )
    lock = LOCK.model_copy(update={"python": many})
    composed = make_image(lock=lock)
    storage.add(composed, store, NAME)
    config = image.decode(store.blob_path(composed.config).read_bytes())
    assert "org.avabuild.lock" not in config["config"]["Labels"]
    for gone in (False, True):
        if gone:
            store.blob_path(composed.digest).unlink()
        found = find(NAME, storage, store)
        assert (found.manifest is None) == gone
        assert found.description.lock == lock
        assert found.labels["org.avabuild.lock"]
        assert {f"{number:064x}" for number in range(100)} <= needs_of(store, [found]).wheels
        assert "many99" in lock_of(found)


def test_a_name_that_is_nearly_one_is_told(store, storage, make_image):
    storage.add(make_image(), store, NAME)
    with pytest.raises(ImageError, match="did you mean localhost/ava-demo:py311-cuda90-cudnn7"):
        find("ava-dmo:py311-cuda90-cudnn7", storage, store)
    with pytest.raises(ImageError, match="avabuild images lists"):
        find("nonsense", storage, store)


def test_an_id_that_several_have_is_refused(store, storage, make_image):
    first = storage.add(make_image(), store, NAME)
    second = storage.add(make_image(own=False), store)
    storage.images[1]["id"] = first[:20] + second[20:]
    (storage.root / "overlay-images" / second).rename(
        storage.root / "overlay-images" / storage.images[1]["id"]
    )
    config = next((storage.root / "overlay-images" / storage.images[1]["id"]).glob("=*"))
    config.rename(
        config.with_name("=" + base64.b64encode(f"sha256:{storage.images[1]['id']}".encode()).decode())
    )
    storage.write()
    with pytest.raises(ImageError, match="begins the ids of 2 images"):
        find(first[:10], storage, store)


def test_the_list_has_named_images_of_ours_and_everything_on_demand(store, storage, make_image):
    storage.add(make_image(), store, NAME)
    storage.add(make_image(own=False), store, "docker.example/other:1")
    storage.add(make_image(more={"x": b"x"}), store)
    assert [one.reference for one in listed(storage, store)] == [NAME]
    assert len(listed(storage, store, everything=True)) == 3


def test_a_storage_that_was_never_used_has_no_images(store, storage):
    assert list(local_images(storage.storage, store)) == []


def test_the_lock_of_an_image_is_a_lock_file(store, storage, make_image, tmp_path):
    storage.add(make_image(), store, NAME)
    path = tmp_path / "demo.lock"
    path.write_text(lock_of(find(NAME, storage, store)))
    lock = read_lock(path)
    assert lock.recipe == "ava-demo"
    assert lock.plugins[0].name == "avabuild"
    assert lock.target("py311-cuda90-cudnn7").python[1].name == "six"


def test_an_image_of_another_tool_has_no_lock(store, storage, make_image):
    storage.add(make_image(own=False), store, "docker.example/other:1")
    with pytest.raises(ImageError, match="another tool made it"):
        lock_of(find("docker.example/other:1", storage, store))


@pytest.mark.parametrize(
    ("name", "remote"),
    [
        ("reg.example/a:1", True),
        ("localhost:5000/a", True),
        ("localhost/a", True),
        ("a/b:1", False),
        ("a:1", False),
    ],
)
def test_a_registry_is_told_by_its_host(name, remote):
    assert is_remote(name) is remote


@pytest.mark.parametrize(
    ("name", "without"),
    [
        ("r:5000/a:1", "r:5000/a"),
        ("r:5000/a", "r:5000/a"),
        ("r/a@sha256:0", "r/a"),
        ("r/a:1@sha256:0", "r/a"),
    ],
)
def test_a_name_without_tag_and_digest(name, without):
    assert bare(name) == without
