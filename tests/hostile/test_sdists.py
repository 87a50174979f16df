"""Source distributions whose build backends are after the host, its credentials and what others build."""

from __future__ import annotations

import io
import json
import os
import tarfile
import zipfile
from pathlib import Path

import pytest

from avabuild.common.errors import ResolveError, WheelError
from avabuild.engine.stages.workshop import check_requirement, system_of
from avabuild.resolve import Indexes, Platform, Resolver
from avabuild.resolve.about import About, configuration, read_about

from ..builds.origins import Index
from ..builds.user import User

PYPROJECT = '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
# Tells what it could do, in the module of the wheel that it makes.
BACKEND = """
import glob, json, os, socket, sys, zipfile
report = {"env": dict(os.environ), "python": os.path.exists("/usr/lib/python3.11/evil.py"), "written": [], "reached": ""}
for place in (os.path.expanduser("~/EVIL"), "MARKER"):
    try:
        open(place, "w").write(json.dumps(report))
    except OSError:
        pass
open("/usr/lib/python3.11/evil.py", "w").write("evil")
for path in glob.glob("/run/avabuild*") + glob.glob("/run/avabuild*/**/*", recursive=True):
    if not path.startswith("/run/avabuild-out") and os.access(path, os.W_OK) and os.path.isfile(path):
        try:
            open(path, "a").close()
            report["written"].append(path)
        except OSError:
            pass
try:
    with socket.create_connection(("127.0.0.1", PORT), 5) as server:
        server.sendall(("GET /simple/?" + os.environ.get("UV_INDEX_URL", "") + " HTTP/1.0\\r\\n\\r\\n").encode())
        report["reached"] = server.recv(12).decode()
except OSError as error:
    report["reached"] = "not at all"
METADATA = "Metadata-Version: 2.1\\nName: NAME\\nVersion: 1.0\\n"
def get_requires_for_build_wheel(settings=None):
    return []
def prepare_metadata_for_build_wheel(directory, settings=None):
    os.mkdir(os.path.join(directory, "NAME-1.0.dist-info"))
    open(os.path.join(directory, "NAME-1.0.dist-info", "METADATA"), "w").write(METADATA)
    return "NAME-1.0.dist-info"
def build_wheel(directory, settings=None, metadata=None):
    name = "NAME-1.0-py3-none-any.whl"
    with zipfile.ZipFile(os.path.join(directory, name), "w") as wheel:
        wheel.writestr("NAME.json", json.dumps(report))
        wheel.writestr("NAME-1.0.dist-info/METADATA", METADATA)
        wheel.writestr("NAME-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr("NAME-1.0.dist-info/RECORD", "")
    return name
"""


def sdist(directory: Path, name: str, *, marker: Path, port: int = 9, version: str = "1.0") -> Path:
    path = directory / f"{name}-{version}.tar.gz"
    backend = BACKEND.replace("MARKER", str(marker)).replace("NAME", name).replace("PORT", str(port))
    files = {"pyproject.toml": PYPROJECT, "backend.py": backend}
    files["PKG-INFO"] = f"Metadata-Version: 1.2\nName: {name}\nVersion: {version}\n"
    with tarfile.open(path, "w:gz") as tar:
        for inner, text in files.items():
            info = tarfile.TarInfo(f"{name}-{version}/{inner}")
            info.size = len(text)
            tar.addfile(info, io.BytesIO(text.encode()))
    return path


@pytest.fixture
def marker(tmp_path: Path) -> Path:
    """What a backend that ran on the host would leave."""
    place = tmp_path / "marker"
    place.mkdir()
    place.chmod(0o777)
    return place / "EVIL"


def resolver(tmp_path: Path, indexes: Indexes) -> Resolver:
    workdir = tmp_path / "work"
    workdir.mkdir()
    return Resolver(Platform("3.11", "x86_64", "2.36"), indexes, tmp_path, workdir)


def test_no_way_of_asking_uv_runs_a_backend_on_the_host(tmp_path: Path, index: Index, marker: Path) -> None:
    path = sdist(tmp_path, "avatestevil", marker=marker)
    index.add("avatestevil", path)
    asked = resolver(tmp_path, Indexes(index=index.url))
    with pytest.raises(ResolveError):
        asked.resolve((), ["avatestevil"])
    with pytest.raises(ResolveError, match=r"avatestevil==1\.0 comes only as source"):
        asked.resolve((), ["avatestevil"], build=True)
    with pytest.raises(ResolveError, match="comes only as source"):
        asked.pinned([f"avatestevil @ {path.as_uri()}"])
    with pytest.raises(ResolveError):
        asked.resolve((), [f"./{path.name}"], build=True)
    (found,) = asked.pinned(["avatestevil==1.0"])
    assert found.package.kind == "sdist"
    assert asked.locate([found.package])
    assert not marker.exists()
    assert not Path("~/EVIL").expanduser().exists()


def test_what_was_found_out_of_a_source_is_asked_once_and_told_to_uv(
    tmp_path: Path, index: Index, marker: Path
) -> None:
    index.add("avatestevil", sdist(tmp_path, "avatestevil", marker=marker))
    index.add("avatestmore", sdist(tmp_path, "avatestmore", marker=marker))
    seen = []

    def learn(found: object) -> About:
        seen.append(found.package)  # type: ignore[attr-defined]
        more = ("avatestmore",) if found.package.name == "avatestevil" else ()  # type: ignore[attr-defined]
        return About(name=found.package.name, version="1.0", requires=more)  # type: ignore[attr-defined]

    asked = resolver(tmp_path, Indexes(index=index.url))
    asked = type(asked)(asked.platform, asked.indexes, tmp_path, asked.workdir, learn=learn)
    found = asked.resolve((), ["avatestevil"], build=True)
    assert [one.package.name for one in found] == ["avatestevil", "avatestmore"]
    assert [package.name for package in seen] == ["avatestevil", "avatestmore"]
    assert all(package.sha256 for package in seen)
    assert not marker.exists()


@pytest.mark.parametrize(
    "text",
    [
        "Name: x\nVersion: 1\nRequires-Dist: ] bad\n",
        "Name: ../x\nVersion: 1\n",
        "Name: x\nVersion: one\n",
        "",
        "\0\0",
    ],
)
def test_metadata_that_says_nonsense_is_an_error(text: str) -> None:
    with pytest.raises(ResolveError, match="can't be used"):
        read_about(text.encode())


def test_no_text_of_metadata_leaves_its_place_in_uvs_configuration() -> None:
    about = About(
        name="x", version="1", requires=('a; python_version < "3"',), extras=('"]\nindex-url = "evil',)
    )
    import tomllib

    table = tomllib.loads(configuration([about]))
    assert list(table) == ["dependency-metadata"]


@pytest.mark.parametrize("content", [b"no tar", b""])
def test_a_damaged_source_is_an_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x-1.0.tar.gz"
    path.write_bytes(content)
    with pytest.raises(WheelError, match="is no source distribution"):
        system_of(path, "")


@pytest.mark.parametrize(
    "text",
    ["--no-binary=:all:", "-e git+https://127.0.0.1/x", "--index-url=x", "x @ http://127.0.0.1/x.zip", "/x"],
)
def test_a_build_requirement_that_is_an_option_or_an_address_is_an_error(text: str) -> None:
    with pytest.raises(WheelError, match="build requirement"):
        check_requirement(text)


def report(user: User, name: str) -> dict[str, object]:
    (wheel,) = (user.cache / "built").rglob(f"{name}-1.0-py3-none-any.whl")
    with zipfile.ZipFile(wheel) as archive:
        found: dict[str, object] = json.loads(archive.read(f"{name}.json"))
    return found


RECIPE = """
    name = "ava-test-evil"
    base = { archive = "python.tar" }
    build = { bytecode = false }
    [packages]
    pip = ["avatestevil", "avatestgood"]
"""


@pytest.mark.build
def test_a_backend_reaches_neither_host_nor_network_nor_what_another_is_built_with(
    with_python: User, index: Index, marker: Path
) -> None:
    user, port = with_python, index.server.server_port
    for name in ("avatestevil", "avatestgood"):
        index.add(name, sdist(marker.parent, name, marker=marker, port=port))
    user.env["UV_INDEX"] = index.url.replace("//", "//someone:ava-secret@")
    user.env["ftp_proxy"] = "http://me:ava-secret@127.0.0.1:9"
    recipe = user.recipe(RECIPE)
    planned = user.avabuild("plan", recipe)
    assert planned.code == 0, planned.err
    outcome = user.avabuild("recipe", recipe, "--output", "oci:out")
    assert outcome.code == 0, outcome.err
    for name in ("avatestevil", "avatestgood"):
        told = report(user, name)
        assert "ava-secret" not in json.dumps(told)
        assert told["reached"] == "not at all"
        assert told["written"] == []
        assert told["python"] is False, "the other's container is not this one's"
    assert not marker.exists()
    assert not (user.home / "EVIL").exists()
    assert not (Path(user.env["HOME"]) / "EVIL").exists()
    assert not any("ava-secret" in request for request in index.requests)
    if user.name == "root":
        recipe = user.recipe(f'{RECIPE}    build-network = ["AvaTestEvil"]\n')
        assert "while built from source: avatestevil" in user.avabuild("plan", recipe).out
        for wheel in (user.cache / "built").rglob("*.whl"):
            wheel.unlink()
        outcome = user.avabuild("recipe", recipe, "--output", "oci:out")
        assert outcome.code == 0, outcome.err
        assert str(report(user, "avatestevil")["reached"]).startswith("HTTP/1.0")
        assert report(user, "avatestgood")["reached"] == "not at all"
        assert "UV_INDEX" not in str(report(user, "avatestevil")["env"])
    assert not os.path.lexists(user.cache / "uv-build")
