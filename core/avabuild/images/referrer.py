"""Referrers: a manifest of an artefact that belongs to an image, found by the image's digest.

Source: OCI image-spec 1.1, manifest.md ("Guidelines for Artifact Usage", `subject`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from avabuild.common.errors import ImageError
from avabuild.engine.layout import subject_of
from avabuild.images.writing import write_file
from avabuild.store import oci as image
from avabuild.store.store import disk_errors

EMPTY = b"{}"
EMPTY_TYPE = "application/vnd.oci.empty.v1+json"


@dataclass(frozen=True, slots=True)
class Referrer:
    """An artefact ready to be written or pushed: first the blobs, then the manifest by its digest.

    Attributes:
        manifest: its bytes.
        descriptor: of the manifest, with `artifactType`: what an index of referrers has of it.
        blobs: digest -> content: the empty config and the artefact.
    """

    manifest: bytes
    descriptor: Mapping[str, Any]
    blobs: Mapping[str, bytes]


def referrer(data: bytes, media_type: str, subject: Mapping[str, Any], title: str) -> Referrer:
    """Return the artefact `data` as one that belongs to `subject`, the descriptor of an image's manifest.

    `title` is a file's name, under which tools save it.
    """
    layer = image.descriptor(media_type, data) | {"annotations": {"org.opencontainers.image.title": title}}
    config = image.descriptor(EMPTY_TYPE, EMPTY)
    manifest = image.encode(
        {
            "schemaVersion": 2,
            "mediaType": image.MANIFEST,
            "artifactType": media_type,
            "config": config,
            "layers": [layer],
            "subject": {key: subject[key] for key in ("mediaType", "digest", "size")},
        }
    )
    descriptor = image.descriptor(image.MANIFEST, manifest) | {"artifactType": media_type}
    return Referrer(manifest, descriptor, {config["digest"]: EMPTY, layer["digest"]: data})


def add_to_layout(directory: Path, digest: str, data: bytes, media_type: str, title: str) -> str:
    """Write the artefact `data` of the image `digest` into an OCI layout; return its manifest's digest.

    One of the same kind for the same image is replaced.

    Raises:
        ImageError: the layout has no such image.
    """
    index_path, blobs = directory / "index.json", directory / "blobs" / "sha256"
    with disk_errors(directory, "name another place with --output"):
        index = image.decode(index_path.read_bytes())
        subject = next((entry for entry in index["manifests"] if entry["digest"] == digest), None)
        if subject is None:
            raise ImageError(f"{directory} has no image {digest}")
        made = referrer(data, media_type, subject, title)
        own = str(made.descriptor["digest"])
        kept = [
            entry
            for entry in index["manifests"]
            if entry["digest"] != own
            and not (entry.get("artifactType") == media_type and subject_of(entry, blobs) == digest)
        ]
        for name, content in {**made.blobs, own: made.manifest}.items():
            write_file(blobs / name.removeprefix("sha256:"), content)
        write_file(index_path, image.encode({**index, "manifests": [*kept, dict(made.descriptor)]}))
    return own
