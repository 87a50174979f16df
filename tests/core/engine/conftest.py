"""A build's context whose tools only remember what they were asked."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from avabuild.common.errors import StepError
from avabuild.engine.context import Context
from avabuild.host.host import Host
from avabuild.store import Scratch, Store
from avabuild.tools.events import Event, Report
from avabuild.tools.storage import LocalLayer


@dataclass
class FakeTools:
    """Stands for `Tools`: `pulled` has the layers of every imported image, `copied` the argv of skopeo."""

    pulled: list[list[str]] = field(default_factory=list)
    copied: list[list[str]] = field(default_factory=list)
    untagged: list[str] = field(default_factory=list)
    tagged: dict[str, str] = field(default_factory=dict)
    gone: tuple[str, ...] = ()
    stopped: bool = False
    forced: bool = False
    failing: bool = False
    held: dict[str, int] | None = None
    complaint: str = ""
    feeds: bool = False
    fed: dict[str, LocalLayer] = field(default_factory=dict)
    refused: str = ""
    before_pull: Callable[[], Any] = lambda: None

    def pull(self, layout: Path) -> str:
        self.before_pull()
        if self.failing:
            raise StepError("buildah failed", command="buildah pull")
        self.pulled.append([layer["digest"] for layer in manifest_of(layout)["layers"]])
        return f"id-{len(self.pulled)}"

    def tag(self, image: str, name: str) -> None:
        if image in self.gone:
            raise StepError("buildah failed", tail=f"{image}: image not known")
        self.tagged[name] = image

    def skopeo(self, argv: list[str], *, place: str | None = None) -> str:
        self.copied.append(argv)
        return ""

    def untag(self, layouts: list[Path], *, force: bool = False) -> None:
        self.forced = force
        self.untagged += [layout.name for layout in layouts]

    def held_layers(self) -> dict[str, int] | None:
        return self.held

    def listed_layers(self) -> dict[str, LocalLayer] | None:
        return dict(self.fed)

    def feed_layer(self, layer: str, parent: str, source: BinaryIO) -> str:
        """Hash what comes, as the tool does; it does not mind when that is cut off."""
        if self.refused == layer:
            raise StepError("containers-storage failed", command="containers-storage import-layer")
        assert parent in {"", *self.fed}
        tar = source.read()
        diff_id = "sha256:" + hashlib.sha256(tar).hexdigest()
        self.fed[layer] = LocalLayer(parent=parent, diff_id=diff_id, size=len(tar))
        if self.held is not None:
            self.held[diff_id] = len(tar)
        return json.dumps({"id": layer, "diff-digest": diff_id})

    def drop_layers(self, layers: Collection[str]) -> None:
        gone = [self.fed.pop(layer) for layer in layers if layer in self.fed]
        for layer in gone:
            (self.held or {}).pop(layer.diff_id, None)

    def reopen_for_cleanup(self, act: Callable[[], None]) -> None:
        act()


def blob_of(layout: Path, digest: str) -> bytes:
    return (layout / "blobs" / "sha256" / digest.removeprefix("sha256:")).read_bytes()


def manifest_of(layout: Path, entry: int = 0) -> dict[str, Any]:
    """Read the manifest that a layout's index names; every blob that it names must be there."""
    listed = json.loads((layout / "index.json").read_bytes())["manifests"][entry]
    manifest: dict[str, Any] = json.loads(blob_of(layout, listed["digest"]))
    for part in (manifest["config"], *manifest["layers"]):
        assert len(blob_of(layout, part["digest"])) == part["size"]
    return manifest


@pytest.fixture
def read_manifest() -> Callable[..., dict[str, Any]]:
    return manifest_of


@pytest.fixture
def tools() -> FakeTools:
    return FakeTools()


@pytest.fixture
def events() -> list[Event]:
    return []


@pytest.fixture
def context(store: Store, host: Host, tools: FakeTools, events: list[Event]) -> Iterator[Context]:
    with Scratch(store) as scratch:
        yield Context(store, scratch, tools, Report(events.append), host, store.root / "log")  # type: ignore[arg-type]
