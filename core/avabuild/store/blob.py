"""A blob: what names a finished layer (OCI image-spec, descriptor.md)."""

from __future__ import annotations

from avabuild.common.value import Value


class Blob(Value):
    """A finished layer.

    Attributes:
        digest: `sha256:<hex>` of the compressed file, its name in a layout.
        diff_id: `sha256:<hex>` of the uncompressed tar, its name in an image's config.
        size: bytes of the compressed file.
        unpacked: bytes of the tar.
        media_type: the OCI media type.
    """

    digest: str
    diff_id: str
    size: int
    unpacked: int
    media_type: str
