"""Bills in a registry: referrers of an image, which are found by its digest.

Source: OCI distribution-spec 1.1, "Pushing Manifests with Subject", "Listing Referrers".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from avabuild.common.errors import RegistryError
from avabuild.images.referrer import referrer
from avabuild.registries.name import referrers_tag
from avabuild.registries.push import send_blob
from avabuild.registries.repository import Repository
from avabuild.store import Store
from avabuild.store import oci as image


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
    index = {"schemaVersion": 2, "mediaType": image.INDEX, "manifests": [*listed, dict(descriptor)]}
    repository.put_manifest(referrers_tag(subject), image.encode(index), image.INDEX)
