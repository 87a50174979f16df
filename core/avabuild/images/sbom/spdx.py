"""SPDX 2.3 documents, made and checked by spdx-tools."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

from license_expression import ExpressionError, get_spdx_licensing
from spdx_tools.spdx.jsonschema.document_converter import DocumentConverter
from spdx_tools.spdx.model import (
    Actor,
    ActorType,
    Checksum,
    ChecksumAlgorithm,
    CreationInfo,
    Document,
    ExternalPackageRef,
    ExternalPackageRefCategory,
    Package,
    PackagePurpose,
    Relationship,
    RelationshipType,
    SpdxNoAssertion,
)

from avabuild import __version__
from avabuild.images.sbom.bill import Bill
from avabuild.layer.packages import Installed

_DOCUMENT, _IMAGE = "SPDXRef-DOCUMENT", "SPDXRef-image"
_PAGE = re.compile(r"https?://\S+")
_LICENSING = get_spdx_licensing()


def document(bill: Bill) -> dict[str, Any]:
    """Return the document as JSON-able data."""
    named = [(f"SPDXRef-{index}-{_plain(p.name)}", p) for index, p in enumerate(bill.contents.packages, 1)]
    image = Package(
        spdx_id=_IMAGE,
        name=bill.name,
        version=bill.digest,
        download_location=SpdxNoAssertion(),
        files_analyzed=False,
        primary_package_purpose=PackagePurpose.CONTAINER,
        external_references=[_purl(bill.image_purl().to_string())],
    )
    made = Document(
        CreationInfo(
            spdx_version="SPDX-2.3",
            spdx_id=_DOCUMENT,
            name=bill.name,
            document_namespace=f"urn:uuid:{bill.serial}",
            creators=[Actor(ActorType.TOOL, f"avabuild-{__version__}")],
            created=_time(bill.created),
        ),
        packages=[image, *(_package(bill, identity, package) for identity, package in named)],
        relationships=[
            Relationship(_DOCUMENT, RelationshipType.DESCRIBES, _IMAGE),
            *(Relationship(_IMAGE, RelationshipType.CONTAINS, identity) for identity, _ in named),
        ],
    )
    made_json: dict[str, Any] = DocumentConverter().convert(made)  # type: ignore[no-untyped-call]
    return made_json


def _package(bill: Bill, identity: str, package: Installed) -> Package:
    sha256 = bill.sha256(package)
    return Package(
        spdx_id=identity,
        name=package.name,
        version=package.version,
        download_location=SpdxNoAssertion(),
        files_analyzed=False,
        supplier=Actor(ActorType.ORGANIZATION, package.supplier) if package.supplier else None,
        homepage=package.home if _PAGE.fullmatch(package.home) else None,
        license_declared=_license(package.license),
        checksums=[Checksum(ChecksumAlgorithm.SHA256, sha256)] if sha256 else [],
        external_references=[_purl(bill.purl(package).to_string())],
    )


def _purl(text: str) -> ExternalPackageRef:
    return ExternalPackageRef(ExternalPackageRefCategory.PACKAGE_MANAGER, "purl", text)


def _license(text: str) -> Any:
    """Return the expression where the words are one; SPDX has no place for others but a comment."""
    try:
        return _LICENSING.parse(text, validate=True) if text else SpdxNoAssertion()
    except ExpressionError:
        return SpdxNoAssertion()


def _time(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text).astimezone(UTC).replace(microsecond=0, tzinfo=None)
    except ValueError:
        return datetime(1980, 1, 1)  # noqa: DTZ001 - what spdx-tools writes as UTC


def _plain(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9.-]", "-", name)
