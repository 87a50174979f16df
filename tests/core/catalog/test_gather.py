"""Entries from recipes, locks and what a registry holds."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from avabuild.catalog.build import site_of
from avabuild.catalog.gather import entry_of
from avabuild.catalog.values import Entry, Part
from avabuild.images.image import Image
from avabuild.plan import labels as describe
from avabuild.resolve import write_lock
from avabuild.resolve.lock import AptLock, Deb, Lock, Package, TargetLock
from avabuild.run.catalogue import Catalogue
from avabuild.run.run import Workplace
from avabuild.store.blob import Blob
from avabuild.tools.events import Report, silent

RECIPE = """\
name = "mine"
base = { debian = "bookworm" }
[matrix]
python = ["3.11"]
[frameworks]
keras = { version = ">=3", backend = "jax" }
jupyterlab = "*"
[packages]
pip = ["six"]
[image]
ports = [8888]
"""
PACKAGES = (
    Package(
        name="jaxlib",
        version="0.7",
        filename="jaxlib-0.7.whl",
        sha256="b" * 64,
        size=400_000_000,
        by=("jax",),
    ),
    Package(
        name="jupyterlab",
        version="4.6.6",
        filename="j.whl",
        sha256="c" * 64,
        size=17_000_000,
        by=("jupyterlab",),
    ),
    Package(name="keras", version="3.15.1", filename="k.whl", sha256="d" * 64, size=2_000_000, by=("keras",)),
    Package(name="six", version="1.17", filename="s.whl", sha256="e" * 64, size=11_000),
)
DEB = Deb(name="libexpat1", version="2.5", arch="amd64", sha256="f" * 64, size=108_000)


@pytest.fixture
def planned(tmp_path, host):
    """Return a function that plans recipes and returns their entries; nobody is asked anything."""

    def planned(*recipes: str, lock: bool = False) -> list[Entry]:
        paths = []
        for number, text in enumerate(recipes):
            path = tmp_path / f"r{number}.toml"
            path.write_text(text)
            paths.append(path)
        if lock:
            lock_of(paths[0], host)
        catalogue = Catalogue(paths, Workplace.on(host), Report(silent), assume=True, fetch=False)
        shown = catalogue.forecasts(catalogue.entries(), ask=False)
        assert catalogue.lost == []
        return [entry_of(one, rows, f"recipes/{one.recipe.path.name}") for one, rows in shown]

    return planned


def lock_of(path: Path, host) -> None:
    (entry,) = Catalogue([path], Workplace.on(host), Report(silent)).entries()
    apt = AptLock(base="sha256:" + "0" * 64, packages=("libexpat1",), debs=(DEB,))
    target = TargetLock(
        target="py311-cpu",
        request=entry.plan.request_digest,
        base="sha256:" + "0" * 64,
        python=PACKAGES,
        apt=(apt,),
    )
    write_lock(path.with_suffix(".lock"), Lock(recipe="mine", targets=(target,)))


def test_without_a_lock_an_image_has_series_and_what_it_asks_for(planned):
    (entry,) = planned(RECIPE)
    assert (entry.name, entry.tag, entry.python, entry.device) == ("mine", "py311-cpu", "3.11", "CPU")
    assert (entry.base, entry.recipe, entry.state) == ("Debian 12 (bookworm)", "recipes/r0.toml", "planned")
    assert [part.name for part in entry.frameworks] == ["jax", "keras"]
    assert entry.jupyterlab.startswith("4.")
    assert entry.python_packages == ()
    assert {"six", "python3"} <= set(entry.requirements)
    assert entry.ports == ("8888",)


def test_with_a_lock_it_has_whole_versions_and_packages_with_sizes(planned):
    (entry,) = planned(RECIPE, lock=True)
    assert Part(name="keras", version="3.15.1") in entry.frameworks
    assert entry.jupyterlab == "4.6.6"
    assert entry.python_packages[-1] == Part(name="six", version="1.17", size=11_000)
    assert entry.apt_packages == (Part(name="libexpat1", version="2.5", size=108_000),)
    assert entry.requirements == ()


def test_a_wheel_that_is_dealt_to_several_layers_is_fetched_once(planned):
    (entry,) = planned(RECIPE, lock=True)
    dealt = [one.download for one in entry.slices if "jaxlib 0.7" in one.holds]
    assert len(dealt) > 1
    assert sum(dealt) == pytest.approx(400_000_000, abs=len(dealt))


def test_what_all_frameworks_need_is_asked_by_frameworks(planned):
    (entry,) = planned(RECIPE, lock=True)
    asked = {one.name: one.origins for one in entry.slices}
    assert asked["python environment"] == ("frameworks",)
    assert asked["wheels of packages"] == ("recipe",)


def test_wheels_that_are_here_already_change_no_page(planned, tmp_path):
    before = planned(RECIPE, lock=True)
    wheel = tmp_path / "cache" / "wheels" / "dd" / ("d" * 64) / "k.whl"
    wheel.parent.mkdir(parents=True)
    wheel.write_bytes(b"")
    assert planned(RECIPE, lock=True) == before


def test_a_layer_that_was_built_has_its_size(planned, store, keep_blob, monkeypatch):
    def layer(self, key: str) -> Blob:
        return keep_blob(b"12345")

    monkeypatch.setattr(type(store), "layer", layer)
    (entry,) = planned(RECIPE, lock=True)
    assert entry.slices[-1].size == 5
    assert (entry.state, entry.size) == ("planned", 0), "the base is not here: the image's size is not known"


def test_an_image_for_cuda_tells_cudnn_and_driver(planned):
    (entry,) = planned(
        'name = "gpu"\nbase = { debian = "bookworm" }\n[matrix]\npython = ["3.11"]\ndevice = ["cuda12.5-cudnn9.3"]\n'
        '[frameworks]\ntensorflow = "*"\n'
    )
    assert (entry.cuda, entry.cudnn, entry.driver) == ("12.5", "9.3", "525.60.13")


def test_no_base_is_fetched_and_one_whose_name_says_nothing_is_told(tmp_path, host):
    path = tmp_path / "odd.toml"
    path.write_text(
        'name = "odd"\nbase = { image = "reg.example.com/team/odd:1" }\n[frameworks]\njupyterlab = "*"\n'
    )
    catalogue = Catalogue([path], Workplace.on(host), Report(silent), assume=True, fetch=False)
    assert catalogue.entries() == ()
    (lost,) = catalogue.lost
    assert lost.name == "odd"
    assert lost.error.message == (
        "its base reg.example.com/team/odd:1 is not in the cache, and its name does not say what it contains"
    )


def test_a_base_whose_name_says_what_it_is_needs_no_network(planned):
    (entry,) = planned(
        'name = "x"\nbase = { image = "ubuntu:16.04" }\n[matrix]\npython = "3.5"\n[frameworks]\njupyterlab = "*"\n'
    )
    assert (entry.base, entry.python) == ("ubuntu:16.04", "3.5")


# -- a registry ----------------------------------------------------------------------------------------------


def held_of(entry: Entry, tag: str = "", **changes: str) -> Image:
    versions = {part.name: part.version for part in entry.frameworks} | {"jupyterlab": entry.jupyterlab}
    labels = {
        describe.FORMAT_LABEL: "1",
        describe.FRAMEWORKS: json.dumps(versions),
        describe.RECIPE: json.dumps({"matrix": {"device": ["cpu", "cuda9.0-cudnn7"]}}),
        describe.TARGET: "py311-cpu",
    }
    config = {
        "architecture": "amd64",
        "config": {"Labels": labels | changes, "ExposedPorts": {"8888/tcp": {}}},
        "rootfs": {"diff_ids": ["sha256:1", "sha256:2"]},
        "history": [{"created_by": "mmdebstrap"}, {"created_by": "avabuild: wheels of packages"}],
    }
    return Image(
        reference=f"reg.example.com/ava/{entry.name}:{tag or entry.tag}",
        where="registry",
        source="",
        config=config,
        manifest={"layers": [{"digest": "sha256:3", "size": 50}, {"digest": "sha256:4", "size": 7}]},
        digest="sha256:" + "9" * 64,
    )


def test_what_the_registry_holds_is_what_a_reader_gets(planned):
    (entry,) = planned(RECIPE, lock=True)
    (shown,) = site_of("T", [entry], [], "reg.example.com/ava", [held_of(entry)]).entries
    assert (shown.state, shown.reference, shown.size) == (
        "published",
        "reg.example.com/ava/mine:py311-cpu",
        57,
    )
    assert shown.recipe == "recipes/r0.toml"
    assert shown.python_packages == entry.python_packages
    assert shown.slices[1].holds, "the plan knows what the layer of that name holds"
    assert shown.ports == ("8888",)


def test_an_older_image_there_has_its_own_versions_and_not_the_lock_s_packages(planned):
    (entry,) = planned(RECIPE, lock=True)
    older = entry.model_copy(update={"jupyterlab": "4.5.0"})
    (shown,) = site_of("T", [entry], [], "reg.example.com/ava", [held_of(older)]).entries
    assert (shown.jupyterlab, shown.python_packages) == ("4.5.0", ())


def test_an_image_that_no_recipe_makes_any_more_is_shown_by_its_labels(planned):
    (entry,) = planned(RECIPE)
    old = held_of(entry, "py27-cuda90-cudnn7", **{describe.TARGET: "py27-cuda90-cudnn7"})
    found = {one.tag: one for one in site_of("T", [entry], [], "reg.example.com/ava", [old]).entries}
    shown = found["py27-cuda90-cudnn7"]
    assert (shown.python, shown.cuda, shown.cudnn, shown.recipe) == ("2.7", "9.0", "7", "")
    assert found["py311-cpu"].state == "planned"


@pytest.mark.parametrize("text", ["no json", "[]", '{"matrix": 3}', '{"matrix": {"device": ["?", 4]}}'])
def test_labels_that_are_broken_break_nothing(planned, text):
    (entry,) = planned(RECIPE)
    for target in ("?", "py311-cpu"):
        held = held_of(
            entry,
            **dict.fromkeys((describe.FRAMEWORKS, describe.RECIPE, describe.LOCK), text),
            **{describe.TARGET: target},
        )
        (shown,) = site_of("T", [], [], "reg.example.com/ava", [held]).entries
        assert shown.python == ("3.11" if target == "py311-cpu" else "")
        assert (shown.python_packages, shown.cuda) == ((), "")


def test_an_image_that_has_its_lock_tells_its_own_packages(planned):
    (entry,) = planned(RECIPE, lock=True)
    six = Package(name="six", version="1.16", filename="s.whl", sha256="e" * 64, size=10_000)
    lock = TargetLock(target="py311-cpu", request="sha256:1", base="sha256:2", python=(six,))
    held = held_of(entry, **{describe.LOCK: lock.model_dump_json()})
    (shown,) = site_of("T", [entry], [], "reg.example.com/ava", [held]).entries
    assert shown.python_packages == (Part(name="six", version="1.16", size=10_000),)
    assert shown.apt_packages == ()
