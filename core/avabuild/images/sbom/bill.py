"""Bill: what a bill of materials says of an image, in whichever format; and names by which tools know it."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from avabuild import __version__
from avabuild.common.value import canonical
from avabuild.images.image import Image
from avabuild.layer.packages import Contents, Installed

if TYPE_CHECKING:
    from packageurl import PackageURL

_OURS = uuid.UUID("5a0f4a0e-8f0e-5f0b-9d7c-2f2d1a7f6c11")


class Bill:
    """What both formats say of an image.

    Attributes:
        name: of the image, without a host of this machine; `digest` of its manifest, else its id.
        serial: a UUID made of the digest and what is listed.
        created: as the image's config has it.
    """

    def __init__(self, one: Image, contents: Contents, hashes: Mapping[tuple[str, str], str]) -> None:
        self.name = one.reference.removeprefix("localhost/")
        self.digest = one.digest or f"sha256:{one.id}"
        self.contents = contents
        self.created = str(one.config.get("created") or "1980-01-01T00:00:00Z")
        self.arch = str(one.config.get("architecture") or "")
        listed = [package.model_dump() for package in contents.packages]
        self.serial = uuid.uuid5(_OURS, canonical([self.name, self.digest, listed, __version__]).decode())
        self._hashes = hashes

    def sha256(self, package: Installed) -> str:
        """Return the hash of the file that a package was installed from, empty where that is not known."""
        return self._hashes.get((package.name, package.version), "") if package.kind == "pypi" else ""

    def purl(self, package: Installed) -> PackageURL:
        """Return the package's URL (purl-spec)."""
        from packageurl import PackageURL  # noqa: PLC0415

        if package.kind == "pypi":
            return PackageURL("pypi", None, package.name, package.version)
        said = {"arch": package.arch, "distro": self.contents.codename, "upstream": package.source}
        qualifiers = {name: text for name, text in said.items() if text}
        return PackageURL(
            "deb", self.contents.distribution or "debian", package.name, package.version, qualifiers
        )

    def image_purl(self) -> PackageURL:
        """Return the image's own URL."""
        from packageurl import PackageURL  # noqa: PLC0415

        name = re.split(r"[:@]", self.name.rpartition("/")[2])[0]
        return PackageURL("oci", None, name, self.digest, {"arch": self.arch} if self.arch else None)


def decoded(text: str) -> dict[str, Any]:
    """Return a document that a library has written as JSON."""
    read: dict[str, Any] = json.loads(text)
    return read
