"""OCI image layouts: directories of links to the store's blobs, for buildah, skopeo and users to read."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from avabuild import image
from avabuild.base import Base
from avabuild.image import Piece, Settings
from avabuild.store import Store
from avabuild.value import Value


class Composed(Value):
    """A composed image: the digests of manifest and config, every layer's, and the bytes of all of them."""

    digest: str
    config: str
    layers: tuple[str, ...]
    size: int


def compose_image(
    store: Store,
    base: Base,
    pieces: Sequence[Piece],
    settings: Settings,
    arch: str,
    annotations: Mapping[str, str] | None = None,
) -> Composed:
    """Put config and manifest of the image into the store and return their digests."""
    config = image.encode(image.config(base.read_config(store), pieces, settings, arch))
    blobs = [*base.layers, *(piece.blob for piece in pieces)]
    manifest = image.encode(
        image.manifest(config, [image.layer_descriptor(b) for b in blobs], annotations or {})
    )
    return Composed(
        digest=store.put(manifest),
        config=store.put(config),
        layers=tuple(blob.digest for blob in blobs),
        size=sum(blob.size for blob in blobs) + len(config) + len(manifest),
    )


def write_layout(store: Store, composed: Composed, directory: Path, name: str | None = None) -> None:
    """Write the image as an OCI layout (image-spec, image-layout.md); an existing layout keeps its others.

    Blobs are hard links where the file system allows, copies elsewhere. `index.json` appears last and at
    once, so that a reader never sees an image whose blobs are missing.
    """
    blobs = directory / "blobs" / "sha256"
    blobs.mkdir(parents=True, exist_ok=True)
    for digest in dict.fromkeys((*composed.layers, composed.config, composed.digest)):
        _place(store.blob_path(digest), blobs / digest.removeprefix("sha256:"))
    (directory / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    index = directory / "index.json"
    fresh = image.index(store.blob_path(composed.digest).read_bytes(), name)
    if index.exists():
        others = [entry for entry in image.decode(index.read_bytes())["manifests"] if _name(entry) != name]
        fresh["manifests"] = [*others, *fresh["manifests"]]
    partial = directory / ".index.json"
    partial.write_bytes(image.encode(fresh))
    partial.replace(index)


def _name(entry: Mapping[str, Mapping[str, str]]) -> str | None:
    return (entry.get("annotations") or {}).get("org.opencontainers.image.ref.name")


def _place(source: Path, target: Path) -> None:
    if target.exists():
        return
    try:
        os.link(source, target)
    except OSError:
        partial = target.with_name(f".{target.name}")
        shutil.copyfile(source, partial)
        partial.replace(target)
