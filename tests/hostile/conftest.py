"""What attacks need: the users, caches and sources of packages that real builds have."""

from __future__ import annotations

import io
import json
import os
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ..builds.conftest import index, repo, root, tmp_path  # noqa: F401 - fixtures
from ..builds.user import User

_LEFT_OUT = ("usr/share/doc/", "usr/share/man/", "usr/share/locale/", "usr/share/zoneinfo/", "usr/lib/x86_64-linux-gnu/gconv/",
             "usr/lib/x86_64-linux-gnu/perl-base/", "etc/apt/sources.list")  # fmt: skip


def small(place: Path, layers: list[Path]) -> Path:
    """Write the tar of `layers`, of a name that nobody knows: no index of packages is asked for it."""
    last = {}  # no name may come twice
    for layer in layers:
        with tarfile.open(layer) as source:
            last |= {one.name.removeprefix("./").rstrip("/"): layer for one in source if not one.isdir()}
    with tarfile.open(place, "w") as target:
        for layer in layers:
            with tarfile.open(layer) as source:
                for member in source:
                    name = member.name.removeprefix("./").rstrip("/")
                    if name.startswith(_LEFT_OUT) or last.setdefault(name, layer) != layer:
                        continue
                    file = source.extractfile(member) if member.isfile() else None
                    if name == "usr/lib/os-release":
                        text = b"ID=debian\nVERSION_CODENAME=nowhere\n"
                        member.size, file = len(text), io.BytesIO(text)
                    target.addfile(member, file)
    return place


def layers_of(layout: Path) -> list[Path]:
    """The layers of the last image of a layout, lowest first."""
    blobs = layout / "blobs" / "sha256"
    listed = json.loads((layout / "index.json").read_bytes())
    manifest = json.loads((blobs / listed["manifests"][-1]["digest"].removeprefix("sha256:")).read_bytes())
    return [blobs / layer["digest"].removeprefix("sha256:") for layer in manifest["layers"]]


@pytest.fixture(scope="session")
def small_debian(
    bases: Callable[..., str],
    everyones: Path,
) -> Path:
    """A Debian with APT, without repositories, and without Python to ask for."""
    return small(everyones / "debian.tar", layers_of(Path(bases("bookworm"), "out"))[:1])


@pytest.fixture(scope="session")
def small_python(
    bases: Callable[..., str],
    everyones: Path,
) -> Path:
    """The same with Debian's Python."""
    return small(everyones / "python.tar", layers_of(Path(bases("bookworm"), "out"))[:2])


@pytest.fixture
def with_python(anyone: User, small_python: Path, tmp_path: Path) -> User:  # noqa: F811
    """The same users with a small Debian at home that has Python."""
    os.link(small_python, tmp_path / "python.tar")
    return anyone


@pytest.fixture(params=["root", "ranged", "bare"])
def anyone(
    request: pytest.FixtureRequest,
    make_user: Callable[[str, bool], User],
    tmp_path: Path,  # noqa: F811
    small_debian: Path,
) -> Iterator[User]:
    """Root, a user with a range of ids and one without: each with an empty cache, and a small Debian at home."""
    kind = str(request.param)
    user = request.getfixturevalue("root") if kind == "root" else make_user(f"evil{kind}", kind == "ranged")
    user.env["HOME"] = str(Path.home() if kind == "root" else user.home)
    user.home, user.cache = tmp_path, tmp_path / "cache"
    for name in [name for name in os.environ if name.startswith("AVABUILD_")]:
        user.env[name] = ""
    os.link(small_debian, tmp_path / "debian.tar")
    if kind != "root":
        subprocess.run(["chown", "-R", f"{user.name}:", str(tmp_path)], check=True)
    yield user
    user.clear_images(tmp_path)
