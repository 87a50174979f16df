"""CycloneDX 1.6 documents, made by the project's own Python library."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import ExternalReference, ExternalReferenceType, HashAlgorithm, HashType, XsUri
from cyclonedx.model.bom import Bom, BomMetaData
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.contact import OrganizationalEntity
from cyclonedx.model.license import License
from cyclonedx.model.tool import ToolRepository
from cyclonedx.output import make_outputter
from cyclonedx.schema import OutputFormat, SchemaVersion

from avabuild import __version__
from avabuild.images.sbom.bill import Bill, decoded
from avabuild.layer.packages import Installed


def document(bill: Bill) -> dict[str, Any]:
    """Return the document as JSON-able data."""
    image = Component(
        name=bill.name,
        version=bill.digest,
        type=ComponentType.CONTAINER,
        bom_ref=bill.image_purl().to_string(),
        purl=bill.image_purl(),
    )
    tool = Component(name="avabuild", version=__version__, type=ComponentType.APPLICATION)
    bom = Bom(
        serial_number=bill.serial,
        components=[_component(bill, package) for package in bill.contents.packages],
        metadata=BomMetaData(
            component=image, tools=ToolRepository(components=[tool]), timestamp=_time(bill.created)
        ),
    )
    bom.register_dependency(image, list(bom.components))
    return decoded(make_outputter(bom, OutputFormat.JSON, SchemaVersion.V1_6).output_as_string())


def _component(bill: Bill, package: Installed) -> Component:
    purl, sha256 = bill.purl(package), bill.sha256(package)
    page = (
        [ExternalReference(type=ExternalReferenceType.WEBSITE, url=XsUri(package.home))]
        if package.home
        else []
    )
    return Component(
        name=package.name,
        version=package.version,
        type=ComponentType.LIBRARY,
        bom_ref=purl.to_string(),
        purl=purl,
        supplier=OrganizationalEntity(name=package.supplier) if package.supplier else None,
        licenses=[_license(package.license)] if package.license else [],
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=sha256)] if sha256 else [],
        external_references=page,
    )


def _license(text: str) -> License:
    return LicenseFactory().make_from_string(text)


def _time(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except ValueError:
        return datetime(1980, 1, 1, tzinfo=UTC)
