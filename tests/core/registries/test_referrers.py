"""What belongs to an image in a registry: of a real one that keeps no list, and of one that does."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest

from avabuild.common.errors import RegistryError
from avabuild.images.attach import attach, is_attached
from avabuild.registries.name import Remote
from avabuild.store import oci as image

SPDX, CYCLONEDX = "application/spdx+json", "application/vnd.cyclonedx+json"


@pytest.fixture
def pushed(distribution: Any, registries: Any, store: Any, keep_image: Any, request: Any) -> Any:
    """A repository with an image, and the image's digest."""
    manifest, config, layers = keep_image(request.node.name.encode())
    repository = registries.repository(Remote.parse(f"{distribution.host}/bills/{request.node.name.lower()}"))
    for digest in (config, *layers):
        repository.upload(digest, len(store.blob_path(digest).read_bytes()), store.blob_path(digest), print)
    repository.put_manifest("1", store.blob_path(manifest).read_bytes())
    return repository, manifest


def test_a_registry_without_a_list_of_referrers_has_one_by_tag(pushed, store, distribution):
    repository, subject = pushed
    assert not is_attached(repository, subject, SPDX)
    first = attach(repository, store, subject, b"{1}", SPDX, "sbom.spdx.json")
    second = attach(repository, store, subject, b"{2}", CYCLONEDX, "sbom.cdx.json")
    assert attach(repository, store, subject, b"{1}", SPDX, "sbom.spdx.json") == first
    assert is_attached(repository, subject, SPDX)
    assert is_attached(repository, subject, CYCLONEDX)
    listed = distribution.manifest(f"{repository.name}:{subject.replace(':', '-')}")
    assert {entry["digest"]: entry["artifactType"] for entry in listed["manifests"]} == {
        first: SPDX,
        second: CYCLONEDX,
    }
    manifest = repository.manifest(first).read()
    assert manifest["subject"]["digest"] == subject
    assert repository.read(manifest["layers"][0]["digest"]) == b"{1}"


def test_an_image_that_is_not_there_gets_nothing(pushed, store):
    repository, _ = pushed
    with pytest.raises(RegistryError, match="any more"):
        attach(repository, store, f"sha256:{'0' * 64}", b"{}", SPDX, "x")


def test_a_registry_with_a_list_of_its_own_is_left_to_keep_it(fake, registries_of, store):
    subject = image.encode({"schemaVersion": 2})
    digest = "sha256:" + hashlib.sha256(subject).hexdigest()
    kept: list[dict[str, Any]] = []

    def answer(method: str, path: str, body: bytes) -> tuple[int, dict[str, str], bytes]:
        if path.endswith(f"/manifests/{digest}"):
            return 200, {"Content-Type": image.MANIFEST}, subject
        if method == "PUT":
            kept.append(json.loads(body))
            return 201, {"OCI-Subject": digest}, b""
        if "/referrers/" in path:
            listed = [{"digest": "sha256:1", "artifactType": one["artifactType"]} for one in kept]
            return 200, {}, json.dumps({"manifests": listed}).encode()
        return 200, {}, b""

    registry = fake(answer)
    repository = registries_of({}, insecure=True).repository(Remote.parse(f"{registry.host}/ns/ava"))
    assert not is_attached(repository, digest, SPDX)
    attach(repository, store, digest, b"{}", SPDX, "sbom.spdx.json")
    assert is_attached(repository, digest, SPDX)
    assert not [path for method, path in registry.asked if method == "PUT" and "/sha256-" in path]
