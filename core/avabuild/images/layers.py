"""The layers of an image as files: the cache's own blobs, else fetched for as long as they are read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from avabuild.images.image import Image
from avabuild.layer.packages import Layer
from avabuild.store import Scratch, Store, oci
from avabuild.tools import argv as commands
from avabuild.tools.buildah import Tools


def is_kept(one: Image, store: Store) -> bool:
    """Whether the cache has the whole image."""
    if one.manifest is None:
        return False
    blobs = [one.manifest["config"], *one.manifest["layers"]]
    return all(store.has(str(blob["digest"]), int(blob["size"])) for blob in blobs)


def kept_layers(one: Image, store: Store) -> tuple[Layer, ...]:
    """Return the layers of an image that the cache, or the shared one beside it, has whole."""
    return _read(one.manifest, one.config, store.blob_path)


@contextmanager
def layers_of(one: Image, tools: Tools, store: Store) -> Iterator[tuple[Layer, ...]]:
    """Yield the layers, lowest first; they may be gone after the block."""
    if one.manifest is not None and is_kept(one, store):
        yield kept_layers(one, store)
        return
    with Scratch(store) as scratch:
        tools.temporary = scratch.directory("tmp")
        layout = scratch.path / "image"
        fetch(one, f"oci:{layout}:image", tools)
        listed = oci.decode((layout / "index.json").read_bytes())["manifests"][0]
        blobs = layout / "blobs" / "sha256"
        manifest = oci.decode((blobs / listed["digest"].removeprefix("sha256:")).read_bytes())
        yield _read(manifest, one.config, lambda digest: blobs / digest.removeprefix("sha256:"))


def fetch(one: Image, destination: str, tools: Tools) -> None:
    """Write the image to a destination of skopeo's, from wherever it is."""
    if one.where == "storage":
        tools.buildah(commands.push(one.source, destination), place=one.reference)
        return
    tools.skopeo(commands.copy(one.source, destination, verify=not one.insecure), place=one.reference)


def _read(manifest: Any, config: Any, place: Callable[[str], Path]) -> tuple[Layer, ...]:
    found = zip(config["rootfs"]["diff_ids"], manifest["layers"], strict=True)
    return tuple(Layer(diff_id, place(str(layer["digest"]))) for diff_id, layer in found)
