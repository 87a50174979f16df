"""Software bills of materials: what an image's layers say is installed, as SPDX 2.3 or CycloneDX 1.6 in JSON.

The same image gives the same bytes: no clock and no chance reaches them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal

from packaging.utils import canonicalize_name

from avabuild.common.errors import ImageError
from avabuild.common.value import canonical
from avabuild.engine.output import Output
from avabuild.images.attach import add_to_layout
from avabuild.images.find import kept_image
from avabuild.images.image import Image
from avabuild.images.layers import kept_layers, layers_of
from avabuild.images.sbom.bill import Bill
from avabuild.images.writing import write_file
from avabuild.layer.packages import Contents, read_packages, recorded_packages
from avabuild.store import Store
from avabuild.tools.buildah import Tools

if TYPE_CHECKING:
    from avabuild.registries.repository import Repository

Format = Literal["spdx", "cyclonedx"]
MEDIA_TYPES: Mapping[Format, str] = {
    "spdx": "application/spdx+json",
    "cyclonedx": "application/vnd.cyclonedx+json",
}
ENDINGS: Mapping[Format, str] = {"spdx": ".spdx.json", "cyclonedx": ".cdx.json"}


def sbom_of(one: Image, tools: Tools, store: Store, kind: Format) -> bytes:
    """Return the bill of an image, which needs no container and, where the cache has it, no download.

    Raises:
        ImageError: nothing in it says what is installed.
    """
    contents = recorded_packages(store, one.config["rootfs"]["diff_ids"])
    if contents is None:
        with layers_of(one, tools, store) as layers:
            contents = read_packages(store, layers)
    if not contents.packages:
        hint = "neither dpkg's status nor Python's metadata is in it"
        raise ImageError(f"{one.reference} records no packages", hint=hint)
    return _written(one, contents, _hashes(one), kind)


def sbom_of_kept(store: Store, reference: str, digest: str, kind: Format) -> bytes:
    """Return the bill of an image that the cache has whole, by its manifest's digest: what was just built."""
    one = kept_image(store, reference, digest)
    contents = read_packages(store, kept_layers(one, store))
    return _written(one, contents, _hashes(one), kind)


def write_beside(store: Store, digest: str, output: Output, data: bytes, kind: Format) -> str:
    """Write the bill `data` of a built image beside where it went; return what names it.

    In a layout it is a referrer of the image; beside an archive it is a file of the archive's name.
    """
    assert output.path is not None  # noqa: S101 - the local storage has no place for one
    if output.kind == "oci":
        title = f"sbom{ENDINGS[kind]}"
        with store.lock("layout", str(output.path)):
            return add_to_layout(output.path, digest, data, MEDIA_TYPES[kind], title)
    path = output.path.with_name(output.path.name + ENDINGS[kind])
    write_file(path, data)
    return str(path)


def push_bill(repository: Repository, store: Store, digest: str, data: bytes, kind: Format) -> str:
    """Push a bill of the image with the digest `digest` to its repository; return what names it there."""
    from avabuild.images.attach import attach  # noqa: PLC0415 - httpx is slow to import

    return attach(repository, store, digest, data, MEDIA_TYPES[kind], f"sbom{ENDINGS[kind]}")


def has_bills(repository: Repository, digest: str, kinds: Sequence[Format]) -> bool:
    """Whether the repository has all these bills of an image."""
    from avabuild.images.attach import is_attached  # noqa: PLC0415 - httpx is slow to import

    return all(is_attached(repository, digest, MEDIA_TYPES[kind]) for kind in kinds)


def _written(one: Image, contents: Contents, hashes: Mapping[tuple[str, str], str], kind: Format) -> bytes:
    from avabuild.images.sbom import cyclonedx, spdx  # noqa: PLC0415 - half a second that no other command needs

    made = (spdx if kind == "spdx" else cyclonedx).document(Bill(one, contents, hashes))
    return canonical(made) + b"\n"


def _hashes(one: Image) -> dict[tuple[str, str], str]:
    lock = one.description.lock
    packages = lock.python if lock else ()
    return {(canonicalize_name(p.name), p.version): p.sha256 for p in packages if p.kind == "wheel"}
