"""A cache and a local storage with images in them, made without any tool."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from avabuild.common.value import digest_of
from avabuild.engine.layout import Composed, compose_image
from avabuild.layer.base import Base
from avabuild.plan.labels import labels, split_labels
from avabuild.plan.plan import Chosen, Plan, Step
from avabuild.plugins.kinds import Apt, Python
from avabuild.plugins.target import Device, Target
from avabuild.recipe.bases import DebianBase
from avabuild.resolve.lock import AptLock, Deb, Package, TargetLock
from avabuild.store import Store
from avabuild.store import oci as image
from avabuild.store.blob import Blob
from avabuild.store.oci import Piece, Settings
from avabuild.tools.storage import LocalStorage

SIX = Package(name="six", version="1.17.0", filename="six-1.17.0-py3-none-any.whl", sha256="5" * 64)
TREE = Deb(name="tree", version="2.1.0-1", arch="amd64", sha256="7" * 64, size=7)
LOCK = TargetLock(
    target="py311-cuda90-cudnn7",
    request="sha256:1",
    base="sha256:base",
    python=(Package(name="pip", version="26.3", sha256="3" * 64, by=("avabuild",)), SIX),
    apt=(AptLock(base="b", packages=("tree",), debs=(TREE,)),),
)
RECIPE: dict[str, Any] = {
    "name": "ava-demo",
    "base": {"debian": "bookworm"},
    "matrix": {"python": ["3.11"], "device": ["cuda9.0-cudnn7"]},
    "packages": {"apt": ["tree"], "pip": ["six"]},
    "run": [{"shell": "echo made > /made", "stage": "last", "env": [["A", "b c"]], "secrets": ["TOKEN"]}],
}
TARGET = Target(
    distribution="bookworm", arch="x86_64", python="3.11", device=Device.parse("cuda9.0-cudnn7"), glibc="2.36"
)
PLAN = Plan(
    name="ava-demo",
    tag=TARGET.tag,
    base=DebianBase(debian="bookworm"),
    target=TARGET,
    python=Step(name="python: frameworks", layer=Python(requirements=("pip",)), origins=("avabuild",)),
    python_extra=Step(name="python: packages", layer=Python(requirements=("six",)), origins=("recipe",)),
    apt_extra=Step(name="apt: packages", layer=Apt(packages=("tree",)), origins=("recipe",)),
    frameworks=(Chosen(name="jupyterlab", series="4.6", distribution="avabuild", version="0.1.0"),),
)


@dataclass
class Storage:
    """A local storage on the disk, and what is asked of the tools about it."""

    root: Path
    mode: str = "root"
    removed: list[str] = field(default_factory=list)
    images: list[dict[str, Any]] = field(default_factory=list)
    layers: list[dict[str, Any]] = field(default_factory=list)

    @property
    def storage(self) -> LocalStorage:
        return LocalStorage(root=self.root, driver="overlay")

    def container_names(self) -> tuple[str, ...]:
        return ()

    def image_ids(self) -> dict[str, str]:
        return {name: one["id"] for one in self.images for name in one["names"]}

    def buildah(self, argv: list[str]) -> str:
        assert argv[0] == "rmi"
        for name in argv[1:]:
            self.remove_image(name)
        return ""

    def remove_image(self, name: str, *, force: bool = False) -> None:
        self.removed.append(name)
        kept = [one for one in self.images if name not in one["names"] and not one["id"].startswith(name)]
        self.images = kept
        self.write()

    def drop_layers(self, layers: list[str]) -> None:
        gone = self.storage.loose(layers)
        self.layers = [one for one in self.layers if one["id"] not in gone]
        self.write()

    def add(self, composed: Composed, store: Store, *names: str, came: float | None = None) -> str:
        identity = composed.config.removeprefix("sha256:")
        below = ""
        for blob in composed.blobs:
            layer = digest_of([blob.diff_id, below]).removeprefix("sha256:")
            if all(known["id"] != layer for known in self.layers):
                self.layers.append(
                    {"id": layer, "parent": below, "diff-digest": blob.diff_id, "diff-size": blob.unpacked}
                )
            below = layer
        self.images.append({"id": identity, "names": list(names), "digest": composed.digest, "layer": below})
        place = self.root / "overlay-images" / identity
        place.mkdir(parents=True)
        (place / "manifest").write_bytes(store.blob_path(composed.digest).read_bytes())
        if came is not None:
            os.utime(place / "manifest", (came, came))
        name = "=" + base64.b64encode(composed.config.encode()).decode()
        (place / name).write_bytes(store.blob_path(composed.config).read_bytes())
        self.write()
        return identity

    def write(self) -> None:
        (self.root / "overlay-layers").mkdir(parents=True, exist_ok=True)
        (self.root / "overlay-images" / "images.json").write_text(json.dumps(self.images))
        (self.root / "overlay-layers" / "layers.json").write_text(json.dumps(self.layers))


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return Storage(tmp_path / "graph")


@pytest.fixture
def make_image(store: Store, keep_layer: Callable[..., Blob]) -> Callable[..., Composed]:
    """Return a function that composes an image of ours of a base, an apt layer, six, and a run step."""

    def make(
        *, own: bool = True, lock: TargetLock = LOCK, more: dict[str, bytes] | None = None, how: str = "last"
    ) -> Composed:
        bottom = keep_layer(
            {
                "etc/os-release": b'ID=debian\nVERSION_CODENAME="bookworm"\n',
                "var/lib/dpkg/status": status("libc6", "2.36-9", source="glibc (2.36-9)"),
            }
        )
        alone = image.encode(image.config({}, [Piece(blob=bottom, created_by="base")], Settings(), "amd64"))
        base = Base(digest="sha256:base", config=store.put(alone), layers=(bottom,))
        store.record("base", base.digest, base.model_dump(mode="json"))
        tree = keep_layer({"var/lib/dpkg/status": status("libc6", "2.36-9") + status("tree", "2.1.0-1")})
        six = keep_layer({f"{SITE}/six-1.17.0.dist-info/METADATA": METADATA, **(more or {})})
        made = keep_layer({"made": b"made\n"})
        names = ("wheels of packages", "apt: packages", f"run 1 ({how}): echo made > /made")
        pieces = [
            Piece(blob=b, created_by=f"avabuild: {n}") for b, n in zip((six, tree, made), names, strict=True)
        ]
        last = PLAN.model_copy(
            update={"last": (Step(name=names[2], layer=Apt(packages=()), origins=("recipe",)),)}
        )
        told = labels(last, RECIPE, lock) if own else ()
        for blob, name in zip((six, tree, made), names, strict=True):
            store.record("layer", name, blob.model_dump())
        short, long = split_labels(dict(told))
        settings = Settings(labels=tuple(short.items()), env=(("A", '"$x\\'),))
        return compose_image(store, base, pieces, settings, "amd64", long)

    return make


SITE = "opt/venv/lib/python3.11/site-packages"
METADATA = b"""Metadata-Version: 2.1
Name: six
Version: 1.17.0
License: MIT
Home-page: https://example.invalid/six
Author: Somebody

A long text: Version: 9
"""


def status(name: str, version: str, *, source: str = "") -> bytes:
    lines = [f"Package: {name}", "Status: install ok installed", f"Version: {version}", "Architecture: amd64"]
    lines += [f"Source: {source}"] if source else []
    return ("\n".join([*lines, "Description: a test's", " Version: 0", "", ""])).encode()
