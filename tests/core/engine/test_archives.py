"""Archives of images that are not what they should be."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import pytest

from avabuild.common.errors import RecipeError
from avabuild.engine.archives import choices

BLOB = "a" * 64
ENTRY = {"digest": f"sha256:{BLOB}", "platform": {"architecture": "amd64"}}
INDEX = json.dumps({"manifests": [ENTRY]}).encode()
DEEP = b"[" * 100_000


def archive(path: Path, files: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w") as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def test_an_image_is_found_with_its_machine(tmp_path):
    path = archive(tmp_path / "a.tar", {"index.json": INDEX, f"blobs/sha256/{BLOB}": b"{}"})
    assert [(one.index, one.arch, one.digest) for one in choices(path, "oci-archive")] == [
        (0, "amd64", f"sha256:{BLOB}")
    ]


@pytest.mark.parametrize(
    ("kind", "files"),
    [
        ("oci-archive", {}),
        ("oci-archive", {"index.json": b"[]"}),
        ("oci-archive", {"index.json": DEEP}),
        ("oci-archive", {"index.json": INDEX + b" " * (5 << 20)}),
        ("oci-archive", {"index.json": INDEX}),
        ("oci-archive", {"index.json": INDEX, f"blobs/sha256/{BLOB}": b"\xff"}),
        ("oci-archive", {"index.json": INDEX, f"blobs/sha256/{BLOB}": b"{}" + b" " * (5 << 20)}),
        ("docker-archive", {"manifest.json": b'[{"Config": "gone"}]'}),
        ("docker-archive", {"manifest.json": b'[{"Config": "c"}]', "c": DEEP}),
    ],
    ids=["nothing", "a list", "deep", "large", "no blob", "no text", "large blob", "no config",
         "deep config"],
)  # fmt: skip
def test_a_damaged_archive_is_told_as_one(tmp_path, kind, files):
    path = archive(tmp_path / "a.tar", files)
    with pytest.raises(RecipeError, match=r"a\.tar: is a damaged archive of images"):
        choices(path, kind)


def test_what_is_no_archive_at_all_is_told_as_a_damaged_one(tmp_path):
    path = tmp_path / "a.tar"
    path.write_bytes(b"hello")
    with pytest.raises(RecipeError, match="is a damaged archive"):
        choices(path, "oci-archive")
