"""Pull: an image of a registry as a layout, by the client that pushes too.

skopeo pulls bases; what it can't name, a registry by its IPv6 address, comes this way.
"""

from __future__ import annotations

from pathlib import Path

from avabuild.common.errors import ImageError, RegistryError
from avabuild.registries.connections import Registries
from avabuild.registries.name import Remote, is_digest
from avabuild.registries.repository import Manifest, Repository
from avabuild.store import oci


def pull_layout(registries: Registries, name: str, arch: str, directory: Path) -> None:
    """Write the image `name` for machines `arch` as an OCI layout in the new `directory`.

    Raises:
        ImageError: there is none. RegistryError, UnavailableError: as the registry has it.
    """
    remote = Remote.parse(name)
    repository = registries.repository(remote)
    try:
        found = _fitting(repository, repository.manifest(remote.reference), arch)
        sizes = _sizes(found) if found else {}
    except (ValueError, LookupError, TypeError) as error:
        raise RegistryError(f"{remote.host} gives something for {name} that is not an image") from error
    if found is None:
        raise ImageError(f"{remote.host} has no image {name} for {arch}")
    blobs = directory / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    for digest, size in sizes.items():
        place = blobs / digest.removeprefix("sha256:")
        repository.fetch(digest, size, place, lambda _done, _total: None)
    (blobs / found.digest.removeprefix("sha256:")).write_bytes(found.data)
    listed = {"mediaType": found.media_type, "digest": found.digest, "size": len(found.data)}
    (directory / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    index = {"schemaVersion": 2, "mediaType": oci.INDEX, "manifests": [listed]}
    (directory / "index.json").write_bytes(oci.encode(index))


def _fitting(repository: Repository, found: Manifest | None, arch: str) -> Manifest | None:
    """Return the manifest itself, or of an index the one for the machine."""
    if found is None or "manifests" not in found.read():
        return found
    digest = found.for_machine(arch)
    return repository.manifest(digest) if digest else None


def _sizes(found: Manifest) -> dict[str, int]:
    """Return the bytes of the config and of each layer, by digest; ValueError for what is neither."""
    manifest = found.read()
    sizes = {one["digest"]: one["size"] for one in (manifest["config"], *manifest["layers"])}
    for digest, size in sizes.items():
        if not is_digest(digest) or not isinstance(size, int) or size < 0:
            raise ValueError(digest)
    return sizes
