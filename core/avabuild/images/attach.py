"""Bills in a registry: referrers of an image, which are found by its digest.

Source: OCI distribution-spec 1.1, "Pushing Manifests with Subject", "Listing Referrers".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from avabuild.common.errors import ImageError, RegistryError
from avabuild.engine.layout import subject_of
from avabuild.images.writing import write_file
from avabuild.registries.name import referrers_tag
from avabuild.registries.push import send_blob
from avabuild.registries.repository import Repository
from avabuild.store import Store, oci
from avabuild.store.store import disk_errors


def attach(
    repository: Repository, store: Store, subject: str, data: bytes, media_type: str, title: str
) -> str:
    """Push the artefact `data` of the image with the digest `subject`; return its manifest's digest.

    Raises:
        RegistryError: the repository has no such image, or refuses.
        UnavailableError, DiskFullError: as the registry has it.
    """
    found = repository.manifest(subject)
    if found is None:
        raise RegistryError(f"{repository.registry.host} has no {repository.name}@{subject} any more")
    described = {"mediaType": found.media_type, "digest": subject, "size": len(found.data)}
    made = referrer(data, media_type, described, title)
    for content in made.blobs.values():
        send_blob(repository, store, store.put(content), len(content), lambda *_: None)
    digest = str(made.descriptor["digest"])
    if not repository.put_referrer(made.manifest):
        _list(repository, subject, made.descriptor)
    return digest


def is_attached(repository: Repository, subject: str, media_type: str) -> bool:
    """Whether the registry has an artefact of this kind for the image with the digest `subject`."""
    return any(entry.get("artifactType") == media_type for entry in repository.referrers(subject))


def _list(repository: Repository, subject: str, descriptor: Mapping[str, Any]) -> None:
    """Put the artefact into the list below the image's own tag, of a registry that keeps none itself."""
    others = repository.tagged_referrers(subject)
    listed = [dict(entry) for entry in others if entry.get("digest") != descriptor["digest"]]
    index = {"schemaVersion": 2, "mediaType": oci.INDEX, "manifests": [*listed, dict(descriptor)]}
    repository.put_manifest(referrers_tag(subject), oci.encode(index), oci.INDEX)


# -- referrers: a manifest of an artefact that belongs to an image, found by the image's digest --------------
# Source: OCI image-spec 1.1, manifest.md ("Guidelines for Artifact Usage", `subject`).


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
    layer = oci.descriptor(media_type, data) | {"annotations": {"org.opencontainers.image.title": title}}
    config = oci.descriptor(EMPTY_TYPE, EMPTY)
    manifest = oci.encode(
        {
            "schemaVersion": 2,
            "mediaType": oci.MANIFEST,
            "artifactType": media_type,
            "config": config,
            "layers": [layer],
            "subject": {key: subject[key] for key in ("mediaType", "digest", "size")},
        }
    )
    descriptor = oci.descriptor(oci.MANIFEST, manifest) | {"artifactType": media_type}
    return Referrer(manifest, descriptor, {config["digest"]: EMPTY, layer["digest"]: data})


def add_to_layout(directory: Path, digest: str, data: bytes, media_type: str, title: str) -> str:
    """Write the artefact `data` of the image `digest` into an OCI layout; return its manifest's digest.

    One of the same kind for the same image is replaced.

    Raises:
        ImageError: the layout has no such image.
    """
    index_path, blobs = directory / "index.json", directory / "blobs" / "sha256"
    with disk_errors(directory, "name another place with --output"):
        index = oci.decode(index_path.read_bytes())
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
        write_file(index_path, oci.encode({**index, "manifests": [*kept, dict(made.descriptor)]}))
    return own
