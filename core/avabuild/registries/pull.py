"""Pull: an image of a registry as a layout, by the client that pushes too.

skopeo pulls bases; what it can't name, a registry by its IPv6 address, comes this way.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from avabuild import image
from avabuild.errors import ImageError
from avabuild.host import Host
from avabuild.registries.name import Remote
from avabuild.registries.registries import Registries
from avabuild.registries.repository import Manifest, Repository


def pull_layout(host: Host, name: str, arch: str, directory: Path, *, insecure: bool) -> None:
    """Write the image `name` for machines `arch` as an OCI layout in the new `directory`.

    Raises:
        ImageError: there is none. RegistryError, UnavailableError: as the registry has it.
    """
    remote = Remote.parse(name)
    with Registries(host, insecure=insecure) as registries:
        repository = registries.repository(remote)
        found = _fitting(repository, repository.manifest(remote.reference), arch)
        if found is None:
            raise ImageError(f"{remote.host} has no image {name} for {arch}")
        manifest = found.read()
        blobs = directory / "blobs" / "sha256"
        blobs.mkdir(parents=True)
        for entry in {str(one["digest"]): one for one in (manifest["config"], *manifest["layers"])}.values():
            _fetch(repository, entry, blobs)
    (blobs / found.digest.removeprefix("sha256:")).write_bytes(found.data)
    listed = {"mediaType": found.media_type, "digest": found.digest, "size": len(found.data)}
    (directory / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    index = {"schemaVersion": 2, "mediaType": image.INDEX, "manifests": [listed]}
    (directory / "index.json").write_bytes(image.encode(index))


def _fitting(repository: Repository, found: Manifest | None, arch: str) -> Manifest | None:
    """Return the manifest itself, or of an index the one for the machine."""
    for entry in found.read().get("manifests") or () if found else ():
        if (entry.get("platform") or {}).get("architecture") == arch:
            return repository.manifest(str(entry["digest"]))
    return found if found and "config" in found.read() else None


def _fetch(repository: Repository, entry: Mapping[str, Any], blobs: Path) -> None:
    digest, size = str(entry["digest"]), int(entry["size"])
    repository.fetch(digest, size, blobs / digest.removeprefix("sha256:"), lambda _done, _total: None)
