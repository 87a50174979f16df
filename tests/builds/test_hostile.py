"""What comes from strangers can't write outside of its image: archives, packages, wheels."""

from __future__ import annotations

import io
import json
import subprocess
import tarfile
import zipfile
from pathlib import Path

import pytest

from .origins import Repo
from .test_repositories import write
from .tiny import write_tiny
from .user import User

pytestmark = pytest.mark.build


@pytest.fixture
def target(builder: User) -> Path:
    """A directory of the builder's that nobody was told to write to."""
    path = builder.home / "target"
    path.mkdir()
    builder.own(path)
    return path


def link(name: str, to: str) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = tarfile.SYMTYPE, to
    return info


def file(name: str) -> tuple[tarfile.TarInfo, io.BytesIO]:
    info = tarfile.TarInfo(name)
    info.size = 4
    return info, io.BytesIO(b"evil")


def test_an_archive_cant_leave_its_root(builder: User, target: Path) -> None:
    base = write_tiny(builder.home / "base.tar")
    up = "../" * 20
    with tarfile.open(base, "a") as tar:
        tar.addfile(*file(f"{up}{str(target).lstrip('/')}/above"))
        tar.addfile(*file(f"{target}/absolute"))
        tar.addfile(link("way-out", str(target)))
        tar.addfile(*file("way-out/through"))
        tar.addfile(link("opt", f"{up}{str(target).lstrip('/')}"))
        hard = tarfile.TarInfo("hard")
        hard.type, hard.linkname = tarfile.LNKTYPE, f"{up}etc/passwd"
        tar.addfile(hard)
    text = 'name = "ava-test-hostile"\nbase = { archive = "base.tar" }\n[[files]]\nsource = "recipe.toml"\ntarget = "/opt/"\n'
    outcome = builder.avabuild(
        "recipe", builder.recipe(f'{text}[[run]]\nshell = "echo x > /way-out/of-the-step"\n')
    )
    assert list(target.iterdir()) == []
    assert "Traceback" not in outcome.err
    if outcome.code:  # the storage refuses to unpack such a thing
        assert outcome.code == 5, outcome.err
    assert builder.leftovers() == []


def test_a_package_cant_leave_the_image(builder: User, repo: Repo, target: Path) -> None:
    repo.add("ava-tool", "1.0", {"/opt/way-out": str(target)}, depends="ava-second")
    repo.add("ava-second", "1.0", {"/opt/second": b"here\n"})
    repo.publish()
    recipe = write(builder, repo)
    recipe.write_text(
        f'{recipe.read_text()}\n[[run]]\nshell = "mkdir -p {target}; echo evil > /opt/way-out/x"\n'
    )
    outcome = builder.avabuild("recipe", recipe, "--json")
    assert outcome.code == 0, outcome.err
    assert list(target.iterdir()) == []
    assert builder.inside(str(outcome.image["reference"]), f"cat {target}/x") == "evil\n"


@pytest.mark.parametrize("name", ["../../up.py", "/etc/up.py", "six-9.data/data/../../../up"])
def test_a_wheel_cant_leave_its_environment(builder: User, name: str) -> None:
    wheel = builder.home / "six-9-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as packed:
        packed.writestr(name, "evil")
        packed.writestr("six-9.dist-info/METADATA", "Metadata-Version: 2.1\nName: six\nVersion: 9\n")
        packed.writestr(
            "six-9.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        packed.writestr("six-9.dist-info/RECORD", "")
    recipe = 'name = "ava-test-hostile"\nbase = { debian = "bookworm" }\n[packages]\npip = ["./six-9-py3-none-any.whl"]\n'
    outcome = builder.avabuild("recipe", builder.recipe(recipe), "--output", "oci:out")
    assert outcome.code not in {0, 1, 70}, outcome.err
    assert wheel.name in outcome.err
    assert not (builder.home / "out").exists()


def test_an_archive_of_an_image_cant_name_what_is_not_its_own(builder: User, target: Path) -> None:
    """A manifest whose digests are paths."""
    layout = builder.home / "layout"
    (layout / "blobs" / "sha256").mkdir(parents=True)
    (layout / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    hostile = {
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "digest": "sha256:../../../target/x",
        "size": 1,
    }
    (layout / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [hostile]}))
    subprocess.run(["tar", "-cf", str(builder.home / "base.tar"), "-C", str(layout), "."], check=True)
    recipe = builder.recipe('name = "ava-test-hostile"\nbase = { archive = "base.tar" }\n')
    outcome = builder.avabuild("recipe", recipe, "--output", "oci:out")
    assert outcome.code not in {0, 1, 70}, outcome.err
    assert list(target.iterdir()) == []


WHITEOUTS = """name = "ava-test-hostile"
base = { archive = "base.tar" }
[[run]]
shell = "touch /etc/.wh.passwd"
"""


def refused_as_whiteout(user: User) -> None:
    write_tiny(user.home / "base.tar")
    outcome = user.avabuild("recipe", user.recipe(WHITEOUTS), "--output", "oci:out")
    assert outcome.code == 5, outcome.err
    assert "'/etc/.wh.passwd' has the name of a whiteout" in outcome.err
    assert "touch /etc/.wh.passwd" in outcome.err
    assert not (user.home / "out").exists()


def test_a_step_cant_delete_files_of_the_base_by_their_names(builder: User) -> None:
    refused_as_whiteout(builder)


def test_nor_can_one_of_root(root: User) -> None:
    refused_as_whiteout(root)
