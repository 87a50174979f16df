from __future__ import annotations

import json

from avabuild.images.description import describe
from avabuild.store import oci as image


def config_of(store, composed):
    return image.decode(store.blob_path(composed.config).read_bytes())


def manifest_of(store, composed):
    return image.decode(store.blob_path(composed.digest).read_bytes())


def test_an_image_says_what_it_was_made_of(store, make_image):
    composed = make_image()
    about = describe(config_of(store, composed), manifest_of(store, composed))
    assert about.own
    assert (about.python, about.device, about.target) == ("3.11", "cuda9.0-cudnn7", "py311-cuda90-cudnn7")
    assert about.frameworks == {"jupyterlab": "4.6"}
    assert about.plugins == {"jupyterlab": "avabuild 0.1.0"}
    assert about.recipe["name"] == "ava-demo"
    assert [package.name for package in about.lock.python] == ["pip", "six"]
    assert about.columns == {
        "python": "3.11",
        "sdk": "-",
        "jupyterlab": "4.6",
        "device": "cuda9.0-cudnn7",
        "framework": "-",
    }


def test_every_layer_says_who_asked_for_it_and_how_big_it_is(store, make_image):
    composed = make_image()
    about = describe(config_of(store, composed), manifest_of(store, composed), {composed.blobs[0].diff_id: 7})
    assert [(layer.name, layer.origins) for layer in about.layers] == [
        ("base", ()),
        ("wheels of packages", ("recipe",)),
        ("apt: packages", ("recipe",)),
        ("run 1 (last): echo made > /made", ("recipe",)),
    ]
    assert [layer.size for layer in about.layers] == [blob.size for blob in composed.blobs]
    assert [layer.unpacked for layer in about.layers] == [7, None, None, None]


def test_an_image_of_another_tool_has_layers_and_nothing_else(store, make_image):
    about = describe(config_of(store, make_image(own=False)))
    assert not about.own
    assert about.lock is None
    assert len(about.layers) == 4
    assert about.layers[0].size is None


def test_labels_that_are_damaged_count_as_absent(store, make_image):
    config = config_of(store, make_image())
    for name in ("lock", "recipe", "layers", "frameworks"):
        config["config"]["Labels"][f"org.avabuild.{name}"] = "{"
    about = describe(config)
    assert about.lock is None
    assert about.recipe == {}
    assert about.frameworks == {}
    assert about.layers[2].origins == ()


def test_a_lock_of_a_newer_avabuild_counts_as_none(store, make_image):
    config = config_of(store, make_image())
    config["config"]["Labels"]["org.avabuild.lock"] = json.dumps({"target": "x", "news": 1})
    assert describe(config).lock is None


def test_layers_without_a_history_are_the_bases(store, make_image):
    config = config_of(store, make_image())
    del config["history"]
    assert [layer.name for layer in describe(config).layers] == ["base"] * 4


def test_layers_of_wheels_are_of_whom_their_group_is(store, make_image):
    config = config_of(store, make_image())
    made = [entry for entry in config["history"] if "wheels of packages" in entry["created_by"]]
    for name, who in (
        ("wheels of keras", ("keras",)),
        ("bytecode of pip", ("avabuild",)),
        ("wheels of other frameworks", ("avabuild",)),
        ("six 1/2", ("recipe",)),
        ("pip", ("avabuild",)),
    ):
        made[0]["created_by"] = f"avabuild: {name}"
        assert describe(config).layers[1].origins == who
