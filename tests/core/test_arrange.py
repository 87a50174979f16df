"""Keys of file layers: every input of a key changes it, and nothing else does."""

from __future__ import annotations

import random

import pytest

from avabuild import arrange as module
from avabuild.arrange import HEAVY, MOST_LAYERS, PART, FileLayer, arrange
from avabuild.lock import Package
from avabuild.scheme import Scheme


def package(name: str, size: int = 1000, *, extra: bool = False, sha256: str = "") -> Package:
    return Package(
        name=name,
        version="1.0",
        filename=f"{name}-1.0-py3-none-any.whl",
        sha256=sha256 or name,
        size=size,
        extra=extra,
    )


PACKAGES = (
    package("tensorflow", 4 * PART),
    package("numpy", HEAVY),
    package("wheel"),
    package("attrs"),
    package("scipy", HEAVY + 1, extra=True),
    package("rich", extra=True),
)


def arranged(packages=PACKAGES, wheels=None, **changed) -> tuple[FileLayer, ...]:
    asked = {
        "scheme": Scheme(python="3.11"),
        "interpreter": "/usr/bin/python3.11",
        "bytecode": True,
        "compression": "gzip",
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
        ("numpy", {"numpy", "bytecode of frameworks"}),
        ("attrs", {"wheels of frameworks", "bytecode of frameworks"}),
        ("scipy", {"scipy", "bytecode of packages"}),
        ("rich", {"wheels of packages", "bytecode of packages"}),
        ("tensorflow", {*(f"tensorflow {n}/4" for n in (1, 2, 3, 4)), "bytecode of frameworks"}),
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
    more = (*PACKAGES, package("zipp", extra=True))
    kept = set(keys(arranged()).values()) & set(keys(arranged(more)).values())
    assert {layer.name for layer in arranged() if layer.key not in kept} == {
        "wheels of packages",
        "bytecode of packages",
    }


def test_a_heavy_package_more_of_the_recipe_moves_nothing_below_it():
    before = arranged()
    after = arranged((*PACKAGES, package("torch", HEAVY, extra=True)))
    frameworks = [layer.key for layer in before if not layer.packages or not layer.packages[0].extra]
    assert [layer.key for layer in after][: len(frameworks)] == frameworks


def test_what_was_built_from_source_counts_by_its_wheel():
    assert changed_names(arranged(), arranged(wheels={"attrs": "built"})) == {
        "wheels of frameworks",
        "bytecode of frameworks",
    }


def test_without_bytecode_there_is_no_bytecode_and_nothing_else_changes():
    without = {layer.name: layer.key for layer in arranged() if layer.kind != "bytecode"}
    assert keys(arranged(bytecode=False)) == without


@pytest.mark.parametrize("seed", range(5))
def test_the_order_in_which_packages_come_does_not_matter(seed):
    shuffled = list(PACKAGES)
    random.Random(seed).shuffle(shuffled)
    assert arranged(shuffled) == arranged()


def test_frameworks_are_below_packages_and_heavy_wheels_below_light_ones():
    names = [layer.name for layer in arranged()]
    assert names == [
        "python environment",
        *(f"tensorflow {n}/4" for n in (1, 2, 3, 4)),
        "numpy",
        "wheels of frameworks",
        "bytecode of frameworks",
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
    many = [package(f"p{n}", size, extra=n % 2 == 0) for n in range(60)]
    layers = arranged(many, room=room)
    assert len(layers) <= room
    held = [
        p.name for layer in layers if layer.kind == "wheels" and layer.part[0] == 0 for p in layer.packages
    ]
    assert sorted(held) == sorted(p.name for p in many)


def test_nothing_to_install_is_the_environment_alone():
    assert [layer.kind for layer in arranged(())] == ["venv"]
