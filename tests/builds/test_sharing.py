"""A lab's shared store: one user fills it, another builds from it; no network, and nothing believed unseen."""

from __future__ import annotations

import io
import os
import shutil
import stat
import subprocess
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from .user import program

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .user import User

pytestmark = pytest.mark.build

RECIPE = """
    name = "ava-test-shared"
    base = { archive = "base.tar" }
    [packages]
    pip = ["six", "toolz"]
    [[files]]
    source = "motd"
    target = "/etc/motd"
"""
CLOSED = {"UV_INDEX_URL": "http://127.0.0.1:9/simple", "UV_DEFAULT_INDEX": "http://127.0.0.1:9/simple"}
UMASK = ("sh", "-c", 'umask 077; exec "$@"', "sh")


def write_base(path: Path) -> None:
    """Write a root file system that has a Python by its looks: enough for layers of files."""
    files = {
        "etc/os-release": b"ID=debian\nVERSION_CODENAME=bookworm\n",
        "usr/bin/python3.11": b"#!/bin/sh\n",
    }
    with tarfile.open(path, "w") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(content), 0o755
            tar.addfile(info, io.BytesIO(content))


@pytest.fixture(scope="module")
def writer(make_user: Callable[[str, bool], User]) -> User:
    user = make_user("avatestwriter", False)
    user.program = (*UMASK, *program())
    return user


@pytest.fixture(scope="module")
def reader(make_user: Callable[[str, bool], User]) -> User:
    return make_user("avatestreader", False)


@pytest.fixture(scope="module")
def lab(writer: User, reader: User) -> Iterator[Path]:
    """A store that the writer filled, in a directory of a group that the reader is in too."""
    subprocess.run(["groupadd", "--force", "avatestlab"], check=True)
    for user in (writer, reader):
        subprocess.run(["usermod", "--append", "--groups", "avatestlab", user.name], check=True)
    lab = writer.home.parent / "lab"
    lab.mkdir()
    shutil.chown(lab, writer.name, "avatestlab")
    lab.chmod(0o2770)
    for user in (writer, reader):
        write_base(user.home / "base.tar")
        user.own(user.home / "base.tar")
        user.recipe(RECIPE)
        user.recipe("hello", "motd")
    writer.cache = lab
    outcome = writer.avabuild("recipe", "recipe.toml", "--output", "oci:image", "--json")
    assert outcome.code == 0, outcome.err
    shutil.copy(writer.home / "recipe.lock", reader.home / "recipe.lock")
    reader.own(reader.home / "recipe.lock")
    yield lab
    subprocess.run(["groupdel", "avatestlab"], check=True)


def built(reader: User, lab: Path, name: str, **env: str) -> tuple[dict[str, object], str]:
    """Build as the reader with a new cache and no index; return the image and what was said."""
    reader.cache = reader.home / name
    reader.env = {
        **reader.env,
        **CLOSED,
        "AVABUILD_SHARED_CACHE": str(lab),
        "AVABUILD_SHARED_TRUST": "",
        **env,
    }
    outcome = reader.avabuild("recipe", "recipe.toml", "--locked", "--output", f"oci:image-{name}", "--json")
    assert outcome.code == 0, outcome.err + outcome.out
    return outcome.image, outcome.out + outcome.err


def state(lab: Path) -> dict[str, int]:
    return {str(path): path.lstat().st_mtime_ns for path in (lab, *lab.rglob("*"))}


def test_what_is_written_under_a_closed_umask_is_the_groups_to_read(lab: Path) -> None:
    kept = [lab / name for name in ("blobs", "index", "wheels", "pyc", "locks")]
    paths = [path for top in kept for path in (top, *top.rglob("*"))]
    assert {path.group() for path in paths} == {"avatestlab"}
    assert {stat.S_IMODE(path.stat().st_mode) for path in paths if path.is_dir()} == {0o2770}
    assert {stat.S_IMODE(path.stat().st_mode) for path in paths if path.is_file()} == {0o640, 0o660}


def test_a_colleague_who_trusts_the_writer_makes_and_fetches_nothing(lab: Path, reader: User) -> None:
    before = state(lab)
    image, said = built(reader, lab, "trusting", AVABUILD_SHARED_TRUST="@avatestlab")
    assert image["made"] == []
    assert '"event": "warn"' not in said
    assert state(lab) == before
    assert not [
        path for path in (reader.cache / "blobs").rglob("*") if path.is_file() and path.stat().st_size > 9000
    ]
    checked = subprocess.run(
        ["skopeo", "inspect", f"oci:{reader.home}/image-trusting:py311-cpu"], capture_output=True, check=False
    )
    assert checked.returncode == 0, checked.stderr
    inodes = {path.stat().st_ino for path in (lab / "blobs").rglob("*")}
    assert not any(path.stat().st_ino in inodes for path in (reader.home / "image-trusting").rglob("*"))


def test_one_who_trusts_nobody_takes_wheels_by_their_hash_makes_the_layers_and_gets_the_same(
    lab: Path, reader: User
) -> None:
    trusted, _ = built(reader, lab, "again", AVABUILD_SHARED_TRUST=f"{lab.owner()},@avatestlab")
    image, said = built(reader, lab, "wary")
    assert image["digest"] == trusted["digest"]
    assert image["made"]
    assert "AVABUILD_SHARED_TRUST=@avatestlab" in said


def test_a_hostile_or_damaged_store_changes_nothing_but_the_time(
    lab: Path, reader: User, writer: User
) -> None:
    expected, _ = built(reader, lab, "before", AVABUILD_SHARED_TRUST="@avatestlab")
    spoilt = lab.with_name("spoilt")
    shutil.copytree(lab, spoilt, copy_function=shutil.copy)
    for number, path in enumerate(sorted(path for path in spoilt.rglob("*") if path.is_file())):
        part = path.relative_to(spoilt).parts[0]
        if part == "wheels":  # or there would be nowhere to get them from
            continue
        if part in {"blobs", "pyc"}:
            path.write_bytes(path.read_bytes()[: number % 3] + os.urandom(64))
        elif part == "index":
            path.write_text(
                ('{"digest": "sha256:', '["no", "layer"]', '{"digest": "/etc/shadow"}')[number % 3]
            )
    for path in (spoilt, *spoilt.rglob("*")):
        shutil.chown(path, writer.name, "avatestlab")
    image, _ = built(reader, spoilt, "after", AVABUILD_SHARED_TRUST="@avatestlab")
    assert image["digest"] == expected["digest"]
    assert "avatest" in Path("/etc/group").read_text()
    shutil.rmtree(spoilt)


def test_a_second_member_of_the_group_may_write_too(lab: Path, reader: User) -> None:
    reader.cache, reader.env = lab, {k: v for k, v in reader.env.items() if not k.startswith(("AVA", "UV"))}
    reader.recipe(RECIPE.replace('"toolz"', '"toolz", "iniconfig"'), "second.toml")
    outcome = reader.avabuild("recipe", "second.toml", "--output", "oci:image-second", "--json")
    assert outcome.code == 0, outcome.err + outcome.out
    assert outcome.image["made"]
