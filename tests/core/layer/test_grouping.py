"""Keys of file layers: every input of a key changes it, and nothing else does."""

from __future__ import annotations

import random

import pytest

from avabuild.layer import grouping as module
from avabuild.layer.grouping import HEAVY, MOST_LAYERS, PART, FileLayer, arrange
from avabuild.layer.scheme import Scheme
from avabuild.resolve.lock import Package


def package(name: str, size: int = 1000, *by: str, sha256: str = "") -> Package:
    return Package(
        name=name,
        version="1.0",
        filename=f"{name}-1.0-py3-none-any.whl",
        sha256=sha256 or name,
        size=size,
        by=by,
    )


PACKAGES = (
    package("tensorflow", 4 * PART, "tensorflow"),
    package("numpy", HEAVY, "tensorflow", "sdk"),
    package("wheel", 1000, "lab", "tensorflow"),
    package("attrs", 1000, "lab"),
    package("jupyter", 1000, "lab"),
    package("qiniu", 1000, "sdk"),
    package("pip", 1000, "avabuild"),
    package("scipy", HEAVY + 1),
    package("rich"),
)
COMMON = ("lab", "sdk")


def arranged(packages=PACKAGES, wheels=None, **changed) -> tuple[FileLayer, ...]:
    asked = {
        "scheme": Scheme(python="3.11"),
        "interpreter": "/usr/bin/python3.11",
        "bytecode": True,
        "compression": "gzip",
        "common": COMMON,
        "frameworks": ("lab", "tensorflow", "sdk"),
    } | changed
    scheme, interpreter = asked.pop("scheme"), asked.pop("interpreter")
    return arrange(packages, wheels or {}, scheme, interpreter, **asked)


def keys(layers) -> dict[str, str]:
    return {layer.name: layer.key for layer in layers}


def changed_names(before, after) -> set[str]:
    old, new = keys(before), keys(after)
    return {name for name in old | new if old.get(name) != new.get(name)}


def test_every_layer_has_a_name_and_a_key_of_its_own():
    layers = arranged()
    assert len({layer.name for layer in layers}) == len({layer.key for layer in layers}) == len(layers)


@pytest.mark.parametrize(
    "change",
    [
        {"scheme": Scheme(python="3.12")},
        {"scheme": Scheme(python="3.11", prefix="/opt/other")},
        {"compression": "zstd"},
    ],
    ids=["python", "prefix", "compression"],
)
def test_scheme_and_compression_change_the_key_of_every_layer(change):
    before, after = arranged(), arranged(**change)
    assert set(keys(before).values()).isdisjoint(keys(after).values())


def test_the_format_changes_the_key_of_every_layer(monkeypatch):
    before = arranged()
    monkeypatch.setattr(module, "FORMAT", module.FORMAT + 1)
    assert set(keys(before).values()).isdisjoint(keys(arranged()).values())


def test_the_interpreter_changes_the_environments_key_alone():
    assert changed_names(arranged(), arranged(interpreter="/usr/local/bin/python3.11")) == {
        "python environment"
    }


@pytest.mark.parametrize(
    ("name", "layers"),
    [
        ("numpy", {"numpy", "bytecode of sdk"}),
        ("attrs", {"wheels of lab", "bytecode of lab"}),
        ("pip", {"wheels of pip", "bytecode of pip"}),
        ("scipy", {"scipy", "bytecode of packages"}),
        ("rich", {"wheels of packages", "bytecode of packages"}),
        ("tensorflow", {*(f"tensorflow {n}/4" for n in (1, 2, 3, 4)), "bytecode of tensorflow"}),
    ],
)
def test_another_wheel_changes_the_keys_of_the_layers_that_hold_it(name, layers):
    other = tuple(
        p.model_copy(update={"sha256": "other", "version": "2.0"}) if p.name == name else p for p in PACKAGES
    )
    assert changed_names(arranged(), arranged(other)) == layers


def test_another_version_of_the_same_wheel_file_is_the_same_layer():
    renamed = tuple(p.model_copy(update={"version": "9", "filename": "else.whl"}) for p in PACKAGES)
    assert keys(arranged(renamed)) == keys(arranged())


def test_a_package_more_makes_only_the_layers_that_hold_it():
    more = (*PACKAGES, package("zipp"))
    kept = set(keys(arranged()).values()) & set(keys(arranged(more)).values())
    assert {layer.name for layer in arranged() if layer.key not in kept} == {
        "wheels of packages",
        "bytecode of packages",
    }


def test_a_heavy_package_more_of_the_recipe_moves_nothing_below_it():
    before = arranged()
    after = arranged((*PACKAGES, package("torch", HEAVY)))
    frameworks = [layer.key for layer in before if not layer.packages or layer.packages[0].by]
    assert [layer.key for layer in after][: len(frameworks)] == frameworks


def test_where_a_package_comes_from_is_in_the_key_of_its_layer_alone():
    indexed = package("rich")
    own = indexed.model_copy(update={"kind": "file", "path": f"wheels/{indexed.filename}"})
    before, after = (arranged([one]) for one in (indexed, own))
    differ = [layer.kind for layer, other in zip(before, after, strict=True) if layer.key != other.key]
    assert differ == ["wheels"]
    moved = own.model_copy(update={"path": f"/elsewhere/{own.filename}"})
    assert [layer.key for layer in arranged([moved])] == [layer.key for layer in after]


def test_what_was_built_from_source_counts_by_its_wheel():
    assert changed_names(arranged(), arranged(wheels={"attrs": "built"})) == {
        "wheels of lab",
        "bytecode of lab",
    }


def test_without_bytecode_there_is_no_bytecode_and_nothing_else_changes():
    without = {layer.name: layer.key for layer in arranged() if layer.kind != "bytecode"}
    assert keys(arranged(bytecode=False)) == without


@pytest.mark.parametrize("seed", range(5))
def test_the_order_in_which_packages_come_does_not_matter(seed):
    shuffled = list(PACKAGES)
    random.Random(seed).shuffle(shuffled)
    assert arranged(shuffled) == arranged()


def test_what_many_images_share_is_below_and_heavy_wheels_below_light_ones_of_their_group():
    names = [layer.name for layer in arranged()]
    assert names == [
        "python environment",
        "wheels of pip",
        "bytecode of pip",
        "wheels of lab",
        "bytecode of lab",
        "numpy",
        "wheels of sdk",
        "bytecode of sdk",
        *(f"tensorflow {n}/4" for n in (1, 2, 3, 4)),
        "bytecode of tensorflow",
        "scipy",
        "wheels of packages",
        "bytecode of packages",
    ]


def test_a_wheel_that_grows_a_little_keeps_its_place():
    grown = tuple(p.model_copy(update={"size": HEAVY + 5}) if p.name == "numpy" else p for p in PACKAGES)
    more = package("jaxlib", HEAVY + 2)
    assert [layer.name for layer in arranged((*grown, more))] == [
        layer.name for layer in arranged((*PACKAGES, more))
    ]


def test_the_parts_of_a_big_wheel_know_their_share_of_its_download():
    parts = [layer for layer in arranged() if layer.name.startswith("tensorflow ")]
    assert [layer.part for layer in parts] == [(0, 4), (1, 4), (2, 4), (3, 4)]
    assert sum(layer.download for layer in parts) == 4 * PART
    assert arranged()[0].download == 0


@pytest.mark.parametrize("room", [5, 6, 10, 23, MOST_LAYERS])
@pytest.mark.parametrize("size", [HEAVY, 5 * PART])
def test_there_are_never_more_layers_than_there_is_room_for(room, size):
    many = [package(f"p{n}", size, *([f"f{n % 12}"] if n % 2 else [])) for n in range(60)]
    layers = arranged(many, room=room)
    assert len(layers) <= room
    held = [
        p.name for layer in layers if layer.kind == "wheels" and layer.part[0] == 0 for p in layer.packages
    ]
    assert sorted(held) == sorted(p.name for p in many)


def without(*origins: str) -> list[Package]:
    """The packages of an image without some of the frameworks."""
    left = [p.model_copy(update={"by": tuple(n for n in p.by if n not in origins)}) for p in PACKAGES]
    return [new for new, old in zip(left, PACKAGES, strict=True) if new.by or not old.by]


def test_an_image_without_a_framework_has_the_same_layers_below_it():
    whole, less = arranged(), arranged(without("tensorflow"))
    mine = [layer for layer in whole if layer.origins not in {("tensorflow",), ("recipe",)}]
    assert [layer.key for layer in less[: len(mine)]] == [layer.key for layer in mine]
    assert [layer.key for layer in arranged(without("tensorflow", "sdk"))][:5] == [x.key for x in whole[:5]]


def test_a_framework_that_needs_another_stands_on_it_whatever_it_holds():
    packages = [package("torch", HEAVY, "torch"), *(package(f"k{n}", 1000, "keras") for n in range(9))]
    names = [layer.name for layer in arranged(packages, frameworks=("torch", "keras"))]
    assert names == [
        "python environment",
        "torch",
        "bytecode of torch",
        "wheels of keras",
        "bytecode of keras",
    ]


def test_layers_know_who_asked_for_them():
    origins = {layer.name: layer.origins for layer in arranged()}
    assert origins["wheels of lab"] == origins["bytecode of lab"] == ("lab",)
    assert origins["wheels of packages"] == ("recipe",)
    assert origins["wheels of pip"] == ("avabuild",)


def test_without_room_frameworks_share_their_layers():
    names = [layer.name for layer in arranged(room=10)]
    assert "wheels of frameworks" in names
    assert "wheels of lab" not in names


def test_nothing_to_install_is_the_environment_alone():
    assert [layer.kind for layer in arranged(())] == ["venv"]
