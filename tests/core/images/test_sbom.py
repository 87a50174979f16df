from __future__ import annotations

import json
import os
import subprocess
import sys
import time

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from spdx_tools.spdx.parser.jsonlikedict.json_like_dict_parser import JsonLikeDictParser
from spdx_tools.spdx.validation.document_validator import validate_full_spdx_document

from avabuild.common.errors import ImageError, StoreError
from avabuild.engine.layout import write_layout
from avabuild.engine.output import Output
from avabuild.host.sharing import Sharing
from avabuild.images.attach import add_to_layout
from avabuild.images.find import find
from avabuild.images.sbom.sbom import sbom_of, sbom_of_kept, write_beside
from avabuild.layer.packages import Layer, read_packages
from avabuild.store import Store
from avabuild.store import oci as image

NAME = "localhost/ava-demo:py311-cuda90-cudnn7"
SITE = "opt/venv/lib/python3.11/site-packages"


def layers(*blobs, store):
    return [Layer(blob.diff_id, store.blob_path(blob.digest)) for blob in blobs]


def test_packages_are_those_of_the_whole_image(store, make_image):
    found = read_packages(store, layers(*make_image().blobs, store=store))
    assert [(p.kind, p.name, p.version) for p in found.packages] == [
        ("deb", "libc6", "2.36-9"),
        ("deb", "tree", "2.1.0-1"),
        ("pypi", "six", "1.17.0"),
    ]
    assert (found.distribution, found.codename) == ("debian", "bookworm")
    six = found.packages[2]
    assert (six.license, six.home, six.supplier) == ("MIT", "https://example.invalid/six", "Somebody")


def test_what_an_upper_layer_removes_is_not_there(store, keep_layer):
    name = f"{SITE}/six-1.17.0.dist-info/METADATA"
    six = keep_layer({name: b"Name: six\nVersion: 1.17.0\n"})
    gone = keep_layer({f"{SITE}/six-1.17.0.dist-info": None})
    assert [p.name for p in read_packages(store, layers(six, store=store)).packages] == ["six"]
    assert read_packages(store, layers(six, gone, store=store)).packages == ()


def test_what_a_package_carries_inside_and_what_dpkg_lists_is_not_counted_twice(store, keep_layer):
    layer = keep_layer(
        {
            f"{SITE}/setuptools/_vendor/wheel-1.dist-info/METADATA": b"Name: wheel\nVersion: 1\n",
            "usr/lib/python3/dist-packages/apt-2.egg-info": b"Name: apt\nVersion: 2\n",
            "usr/local/lib/python2.7/dist-packages/Old_Name-3.egg-info/PKG-INFO": b"Name: Old_Name\nVersion: 3\n",
            "var/lib/dpkg/status": b"Package: gone\nStatus: deinstall ok config-files\nVersion: 1\n",
        }
    )
    found = read_packages(store, layers(layer, store=store)).packages
    assert [(p.name, p.version) for p in found] == [("old-name", "3")]


def test_a_layer_is_read_once(store, make_image):
    blobs = make_image().blobs
    first = read_packages(store, layers(*blobs, store=store))
    for blob in blobs:
        store.blob_path(blob.digest).unlink()
    assert read_packages(store, layers(*blobs, store=store)) == first


def test_a_damaged_layer_is_named(store, make_image):
    blob = make_image().blobs[0]
    store.blob_path(blob.digest).write_bytes(b"\x1f\x8bno gzip")
    with pytest.raises(StoreError, match="damaged"):
        read_packages(store, layers(blob, store=store))


def test_spdx_is_valid_and_names_every_package_by_url_and_hash(store, storage, make_image):
    storage.add(make_image(), store, NAME)
    data = json.loads(sbom_of(find(NAME, storage, store), storage, store, "spdx"))
    assert validate_full_spdx_document(JsonLikeDictParser().parse(data)) == []
    urls = {p["name"]: p["externalRefs"][0]["referenceLocator"] for p in data["packages"]}
    assert urls["six"] == "pkg:pypi/six@1.17.0"
    assert urls["tree"] == "pkg:deb/debian/tree@2.1.0-1?arch=amd64&distro=bookworm"
    assert urls["ava-demo:py311-cuda90-cudnn7"].startswith("pkg:oci/ava-demo@sha256")
    six = next(package for package in data["packages"] if package["name"] == "six")
    assert six["checksums"] == [{"algorithm": "SHA256", "checksumValue": "5" * 64}]
    assert six["licenseDeclared"] == "MIT"


def test_cyclonedx_is_valid(store, storage, make_image):
    storage.add(make_image(), store, NAME)
    text = sbom_of(find(NAME, storage, store), storage, store, "cyclonedx").decode()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    assert {one["name"] for one in json.loads(text)["components"]} == {"libc6", "tree", "six"}


@pytest.mark.parametrize("kind", ["spdx", "cyclonedx"])
def test_the_same_image_gives_the_same_bytes(store, make_image, kind):
    """By any clock and any chance: of each process anew, a second later."""
    digest = make_image().digest
    program = f"""
import sys
from pathlib import Path
from avabuild.images.sbom.sbom import sbom_of_kept
from avabuild.store import Store
sys.stdout.buffer.write(sbom_of_kept(Store(Path({str(store.root)!r})), {NAME!r}, {digest!r}, {kind!r}))
"""
    here = sbom_of_kept(store, NAME, digest, kind)
    time.sleep(1.1 - time.time() % 1)  # bills count in seconds
    other = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert other.stdout == here


def test_layers_of_a_shared_cache_are_read_where_they_are(store, make_image, tmp_path):
    composed = make_image()
    mine = Store(tmp_path / "mine", Sharing(directory=store.root, users=(os.geteuid(),)))
    assert sbom_of_kept(mine, NAME, composed.digest, "spdx") == sbom_of_kept(
        store, NAME, composed.digest, "spdx"
    )


def test_an_image_whose_layers_were_read_before_is_not_fetched_for_it(store, storage, make_image):
    composed = make_image()
    storage.add(composed, store, NAME)
    data = sbom_of(find(NAME, storage, store), storage, store, "spdx")
    for blob in composed.blobs:
        store.blob_path(blob.digest).unlink()  # the storage of these tests has none to give
    assert sbom_of(find(NAME, storage, store), storage, store, "spdx") == data


def test_an_image_without_packages_says_so(store, storage, keep_layer):
    from avabuild.engine.layout import compose_image
    from avabuild.layer.base import Base
    from avabuild.store.oci import Piece, Settings

    piece = Piece(blob=keep_layer({"file": b"x"}), created_by="avabuild: files: recipe")
    storage.add(compose_image(store, Base(), [piece], Settings(), "amd64"), store, NAME)
    with pytest.raises(ImageError, match="records no packages"):
        sbom_of(find(NAME, storage, store), storage, store, "spdx")


def test_a_layout_has_the_bill_as_a_referrer_of_the_image(store, make_image, tmp_path):
    composed = make_image()
    write_layout(store, composed, tmp_path / "images", "one")
    data = sbom_of_kept(store, NAME, composed.digest, "spdx")
    write_beside(store, composed.digest, Output.parse(f"oci:{tmp_path}/images"), data, "spdx")
    index = json.loads((tmp_path / "images" / "index.json").read_text())
    first, second = index["manifests"]
    assert first["digest"] == composed.digest
    assert second["artifactType"] == "application/spdx+json"
    blobs = tmp_path / "images" / "blobs" / "sha256"
    manifest = json.loads((blobs / second["digest"].removeprefix("sha256:")).read_text())
    assert manifest["subject"]["digest"] == composed.digest
    assert manifest["config"]["mediaType"] == "application/vnd.oci.empty.v1+json"
    bill = (blobs / manifest["layers"][0]["digest"].removeprefix("sha256:")).read_bytes()
    assert bill == data


def test_a_newer_bill_takes_the_place_of_the_same_images_and_of_no_other(store, make_image, tmp_path):
    one, two = make_image(), make_image(more={"x": b"x"})
    for name, composed in (("one", one), ("two", two)):
        write_layout(store, composed, tmp_path, name)
    for composed, data in ((one, b"1"), (two, b"2"), (one, b"3")):
        add_to_layout(tmp_path, composed.digest, data, "application/spdx+json", "sbom.spdx.json")
    add_to_layout(tmp_path, one.digest, b"4", "application/vnd.cyclonedx+json", "sbom.cdx.json")
    write_layout(store, one, tmp_path, "one")
    entries = image.decode((tmp_path / "index.json").read_bytes())["manifests"]
    kinds = sorted(entry.get("artifactType", "image") for entry in entries)
    assert kinds == ["application/spdx+json"] * 2 + ["application/vnd.cyclonedx+json"] + ["image"] * 2


def test_the_bills_of_an_image_go_with_its_last_name(store, make_image, tmp_path):
    old, new = make_image(), make_image(more={"x": b"x"})
    for name in ("one", "two"):
        write_layout(store, old, tmp_path, name)
    bill = add_to_layout(tmp_path, old.digest, b"1", "application/spdx+json", "sbom.spdx.json")

    def listed() -> list[str]:
        return [
            entry["digest"] for entry in image.decode((tmp_path / "index.json").read_bytes())["manifests"]
        ]

    write_layout(store, new, tmp_path, "one")
    assert listed() == [old.digest, bill, new.digest]
    write_layout(store, new, tmp_path, "two")
    assert listed() == [new.digest, new.digest]


def test_a_bill_of_an_image_that_the_layout_lacks_is_refused(store, make_image, tmp_path):
    write_layout(store, make_image(), tmp_path, "one")
    with pytest.raises(ImageError, match="has no image sha256:0"):
        add_to_layout(tmp_path, "sha256:0", b"", "application/spdx+json", "x")


def test_beside_an_archive_the_bill_is_a_file(store, make_image, tmp_path):
    composed = make_image()
    output = Output.parse(f"oci-archive:{tmp_path}/a.tar")
    data = sbom_of_kept(store, NAME, composed.digest, "cyclonedx")
    assert write_beside(store, composed.digest, output, data, "cyclonedx") == f"{tmp_path}/a.tar.cdx.json"
    assert json.loads((tmp_path / "a.tar.cdx.json").read_text())["bomFormat"] == "CycloneDX"
