"""Bills of materials beside images: in registries, and beside archives."""

from __future__ import annotations

import io
import json
import tarfile
from typing import TYPE_CHECKING, Any

import pytest

from .test_registry import trusting

if TYPE_CHECKING:
    from pathlib import Path

    from .user import User

pytestmark = pytest.mark.build

RECIPE = """
    name = "ava-test-bill"
    base = { archive = "root.tar" }
    [[files]]
    source = "motd"
    target = "/etc/motd"
"""
STATUS = "Package: libc6\nStatus: install ok installed\nVersion: 2.36-9\nArchitecture: amd64\n"
SPDX, CYCLONEDX = "application/spdx+json", "application/vnd.cyclonedx+json"


@pytest.fixture
def biller(root: User, distribution: Any, tmp_path: Path) -> User:
    """Somebody with a password, a recipe that needs no container, and a cache of their own."""
    with tarfile.open(root.home / "root.tar", "w") as tar:
        for name, text in (("etc/os-release", "ID=debian\n"), ("var/lib/dpkg/status", STATUS)):
            info = tarfile.TarInfo(name)
            info.size = len(text)
            tar.addfile(info, io.BytesIO(text.encode()))
    (root.home / "motd").write_text("hello")
    root.recipe(RECIPE)
    root.env |= trusting(distribution, tmp_path)
    root.cache = tmp_path / "own"
    return root


def kinds(distribution: Any, repository: str, digest: object) -> set[str]:
    """The kinds of what the registry has for an image, which it lists under a tag of the image's digest."""
    listed = distribution.manifest(f"{repository}:{str(digest).replace(':', '-')}")
    return {entry["artifactType"] for entry in listed["manifests"]}


def test_bills_are_pushed_with_the_image_and_once(biller: User, distribution: Any) -> None:
    build = ("recipe", "recipe.toml", "--json", "--push", f"{distribution.host}/billed")
    plain = biller.avabuild(*build)
    assert plain.code == 0, plain.err
    with_bill = biller.avabuild(*build, "--sbom", "spdx")
    assert with_bill.code == 0, with_bill.err
    assert "up_to_date" not in with_bill.image, "the image was there, its bill was not"
    digest = with_bill.image["digest"]
    assert digest == plain.image["digest"]
    assert kinds(distribution, "billed/ava-test-bill", digest) == {SPDX}
    assert biller.avabuild(*build, "--sbom", "spdx").image["up_to_date"]
    both = biller.avabuild(*build, "--sbom", "spdx", "--sbom", "cyclonedx")
    assert both.code == 0, both.err
    assert kinds(distribution, "billed/ava-test-bill", digest) == {SPDX, CYCLONEDX}
    listed = biller.avabuild("images", "--registry", f"{distribution.host}/billed", "--json")
    assert [one["digest"] for one in json.loads(listed.out)] == [digest], "a list of bills is no image"


def test_a_local_image_is_pushed_with_its_bill(biller: User, distribution: Any) -> None:
    assert biller.avabuild("recipe", "recipe.toml").code == 0
    name = f"{distribution.host}/later/ava-test-bill"
    pushed = biller.avabuild("push", "ava-test-bill:cpu", name, "--sbom", "cyclonedx")
    assert pushed.code == 0, pushed.err
    assert kinds(distribution, "later/ava-test-bill", pushed.out.strip().partition("@")[2]) == {CYCLONEDX}


@pytest.mark.parametrize("kind", ["oci", "oci-archive"])
def test_a_bill_that_went_away_is_written_again(biller: User, kind: str) -> None:
    build = ("recipe", "recipe.toml", "--output", f"{kind}:image", "--sbom", "spdx")
    first = biller.avabuild(*build)
    assert first.code == 0, first.err
    assert "nothing to do" in biller.avabuild(*build).err
    if kind == "oci-archive":
        bill = biller.home / "image.spdx.json"
    else:
        index = json.loads((biller.home / "image" / "index.json").read_text())
        (digest,) = [one["digest"] for one in index["manifests"] if one.get("artifactType") == SPDX]
        bill = biller.home / "image" / "blobs" / "sha256" / digest.removeprefix("sha256:")
    bill.unlink()
    again = biller.avabuild(*build)
    assert (again.code, "nothing to do" in again.err) == (0, False)
    assert bill.exists()
