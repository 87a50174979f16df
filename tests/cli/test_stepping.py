"""A recipe whose packages don't go with the newest series of a framework, on an index of three wheels."""

from __future__ import annotations

import tomllib
import zipfile
from pathlib import Path

import pytest

PLUGIN = """\
from avabuild.api import Framework, Python, Release, hookimpl

def layers(request):
    return [Python(requirements=(f"net{request.requirement}",))]

@hookimpl
def avabuild_frameworks():
    releases = tuple(Release(version=v, pythons=("3.11",), note=f"note of {v}") for v in ("2.1", "2.0", "1.0"))
    return [Framework(name="net", summary="", releases=releases, layers=layers, check=lambda r: "pass")]
"""
RECIPE = """\
name = "mine"
plugins = ["./net.py"]
[frameworks]
net = "VERSION"
[packages]
pip = ["wire<2"]
"""


def wheel(directory: Path, name: str, version: str, *requires: str) -> None:
    info = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(directory / f"{name}-{version}-py3-none-any.whl", "w") as archive:
        needs = "".join(f"Requires-Dist: {one}\n" for one in requires)
        archive.writestr(
            f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needs}"
        )
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")


@pytest.fixture
def wheels(tmp_path: Path, environment: dict[str, str]) -> Path:
    """A folder of wheels that is all there is; net 2 needs wire 2, and there is no net 2.1."""
    place = tmp_path / "wheels"
    place.mkdir()
    wheel(place, "pip", "30.0")
    wheel(place, "net", "2.0", "wire>=2")
    wheel(place, "net", "1.0", "wire")
    for version in ("1.0", "2.0"):
        wheel(place, "wire", version)
    (tmp_path / "uv.toml").write_text(f'no-index = true\nfind-links = ["{place}"]\n')
    del environment["UV_DEFAULT_INDEX"]
    environment["UV_CONFIG_FILE"] = str(tmp_path / "uv.toml")
    (tmp_path / "net.py").write_text(PLUGIN)
    (tmp_path / "mine.toml").write_text(RECIPE.replace("VERSION", "*"))
    return place


def test_an_older_series_is_planned_and_locked_where_the_newest_does_not_fit_the_packages(
    avabuild, wheels, tmp_path
):
    said = avabuild("plan", "mine.toml")
    assert said.returncode == 0, said.stderr
    assert said.stderr == "warning: taken: net 1.0, because 2.1 does not resolve here; note of 2.1\n"
    assert "  frameworks  net 1.0" in said.stdout.splitlines()
    said = avabuild("lock", "mine.toml")
    assert said.returncode == 0, said.stderr
    (target,) = tomllib.loads((tmp_path / "mine.lock").read_text())["targets"]
    assert target["without"] == ["net 2.0", "net 2.1"]
    assert {p["name"]: p["version"] for p in target["python"]} == {"net": "1.0", "pip": "30.0", "wire": "1.0"}


def test_a_lock_that_stepped_back_fits_without_asking_again_until_the_recipe_or_the_user_says_so(
    avabuild, wheels, tmp_path
):
    assert avabuild("lock", "mine.toml").returncode == 0
    before = (tmp_path / "mine.lock").read_text()
    for path in wheels.iterdir():
        path.unlink()
    said = avabuild("plan", "mine.toml")
    assert (said.returncode, said.stderr) == (0, "")
    assert "mine.lock fits" in said.stdout
    wheel(wheels, "pip", "30.0")
    wheel(wheels, "net", "2.1", "wire<2")
    wheel(wheels, "wire", "1.0")
    assert avabuild("lock", "mine.toml").returncode == 0
    assert (tmp_path / "mine.lock").read_text() == before
    assert avabuild("lock", "mine.toml", "--upgrade", "*").returncode == 0
    (target,) = tomllib.loads((tmp_path / "mine.lock").read_text())["targets"]
    assert "without" not in target
    assert "2.1" in {p["version"] for p in target["python"]}


def test_an_error_names_the_series_that_would_resolve(avabuild, wheels, tmp_path):
    (tmp_path / "mine.toml").write_text(RECIPE.replace("VERSION", "2.0"))
    said = avabuild("plan", "mine.toml")
    assert said.returncode != 0
    assert (
        "net 1.0 would resolve: ask for that in [frameworks]; note of 2.0; the releases chosen were net 2.0"
        in said.stderr
    )
