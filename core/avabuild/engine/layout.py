"""OCI image layouts: directories of links to the store's blobs, for buildah, skopeo and users to read."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from avabuild.common.value import Value
from avabuild.layer.base import Base
from avabuild.store import Store, oci
from avabuild.store.blob import Blob
from avabuild.store.oci import Piece, Settings
from avabuild.store.store import file_digest
from avabuild.store.whole import open_up, publish, remove, write_whole


class Composed(Value):
    """A composed image: the digests of manifest and config, its layers, and the bytes of all of them."""

    digest: str
    config: str
    blobs: tuple[Blob, ...]
    size: int

    @property
    def layers(self) -> tuple[str, ...]:
        """The digests of the layers, lowest first."""
        return tuple(blob.digest for blob in self.blobs)


def compose_image(
    store: Store,
    base: Base,
    pieces: Sequence[Piece],
    settings: Settings,
    arch: str,
    annotations: Mapping[str, str] | None = None,
) -> Composed:
    """Put config and manifest of the image into the store and return their digests."""
    config = oci.encode(oci.config(base.read_config(store), pieces, settings, arch))
    blobs = [*base.layers, *(piece.blob for piece in pieces)]
    manifest = oci.encode(oci.manifest(config, [oci.layer_descriptor(b) for b in blobs], annotations or {}))
    composed = Composed(
        digest=store.put(manifest),
        config=store.put(config),
        blobs=tuple(blobs),
        size=sum(blob.size for blob in blobs) + len(config) + len(manifest),
    )
    store.record(
        "manifest", composed.config, composed.digest
    )  # the local storage knows an image by its config
    return composed


def write_layout(store: Store, composed: Composed, directory: Path, name: str | None = None) -> None:
    """Write the image as an OCI layout (image-spec, image-layout.md); an existing layout keeps its others.

    Blobs are hard links where the file system allows, copies elsewhere. `index.json` appears last and at
    once, so that a reader never sees an image whose blobs are missing. What belonged to an image whose last
    name this one takes is no longer listed.
    """
    blobs = directory / "blobs" / "sha256"
    blobs.mkdir(parents=True, exist_ok=True)
    for digest in dict.fromkeys((*composed.layers, composed.config, composed.digest)):
        _place(store, store.blob_path(digest), blobs / digest.removeprefix("sha256:"), digest)
    (directory / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    index = directory / "index.json"
    fresh = oci.index(store.read(composed.digest), name)
    if index.exists():
        listed = oci.decode(index.read_bytes())["manifests"]
        others = [entry for entry in listed if _name(entry) != name]
        here = {str(entry["digest"]) for entry in (*others, *fresh["manifests"])}
        gone = {str(entry["digest"]) for entry in listed} - here
        others = [entry for entry in others if subject_of(entry, blobs) not in gone]
        fresh["manifests"] = [*others, *fresh["manifests"]]
    write_whole(index, oci.encode(fresh), directory, lambda partial: open_up(partial, directory))


def write_plain_layout(
    store: Store, composed: Composed, directory: Path, plain: Mapping[str, Path], held: Mapping[str, int]
) -> None:
    """Write the image as a layout of uncompressed layers, named by their diff IDs.

    `plain` has the files of the layers that a reader of the layout lacks, `held` the sizes of those that it
    has: these are named only. Config, hence image id, and annotations are those of the compressed image.
    """
    sizes = {**held, **{diff_id: path.stat().st_size for diff_id, path in plain.items()}}
    config = store.read(composed.config)
    annotations = oci.decode(store.read(composed.digest)).get("annotations", {})
    layers = [oci.plain_descriptor(blob, sizes[blob.diff_id]) for blob in composed.blobs]
    manifest = oci.encode(oci.manifest(config, layers, annotations))
    blobs = directory / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    for diff_id, path in plain.items():
        _place(store, path, blobs / diff_id.removeprefix("sha256:"), diff_id)
    config_path = store.blob_path(composed.config)
    _place(store, config_path, blobs / config_path.name, composed.config)
    index = oci.index(manifest)
    (blobs / index["manifests"][0]["digest"].removeprefix("sha256:")).write_bytes(manifest)
    (directory / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    (directory / "index.json").write_bytes(oci.encode(index))


def subject_of(entry: Mapping[str, Any], blobs: Path) -> str | None:
    """Return the digest of the image that an artefact of a layout belongs to; None of an image."""
    if "artifactType" not in entry:
        return None
    try:
        manifest = oci.decode((blobs / str(entry["digest"]).removeprefix("sha256:")).read_bytes())
        return str(manifest["subject"]["digest"])
    except (OSError, ValueError, LookupError, TypeError):
        return None


def _name(entry: Mapping[str, Mapping[str, str]]) -> str | None:
    return (entry.get("annotations") or {}).get("org.opencontainers.image.ref.name")


def _place(store: Store, source: Path, target: Path, digest: str) -> None:
    """Have the blob `source` at `target`; what is there already is held against its digest."""
    if target.is_file() and (target.samefile(source) or file_digest(store, target) == digest):
        return
    remove(target)
    try:
        os.link(source, target)
    except OSError:
        partial = target.with_name(f".{target.name}")
        shutil.copyfile(source, partial)
        publish(partial, target)
