"""`avabuild lock`: versions without a build, for targets whose base need not be here."""

from __future__ import annotations

import hashlib
import json
import signal
import socket
import subprocess
import time
import tomllib
import zipfile
from pathlib import Path

import pytest

from .conftest import COMMAND

RECIPE = """\
name = "mine"
base = { debian = "bookworm" }
[matrix]
python = ["3.11"]
device = ["cpu"]
[packages]
pip = ["alpha"]
"""

RULES = """\
from avabuild.api import Label, Policy, hookimpl
@hookimpl
def avabuild_policies():
    return [Policy(name="house", summary="x", amend=lambda draft: [Label(name="team", value="TEAM")])]
"""


def wheel(directory: Path, name: str, version: str, *needs: str) -> None:
    about = f"{name}-{version}.dist-info"
    lines = [
        f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}",
        *(f"Requires-Dist: {n}" for n in needs),
    ]
    files = {"METADATA": "\n".join(lines), "WHEEL": "Wheel-Version: 1.0\nTag: py3-none-any\n", "RECORD": ""}
    with zipfile.ZipFile(directory / f"{name}-{version}-py3-none-any.whl", "w") as archive:
        for file, text in files.items():
            archive.writestr(f"{about}/{file}", text)


@pytest.fixture
def wheels(tmp_path: Path, environment: dict[str, str]) -> Path:
    """A directory of wheels, all that there is for the command."""
    directory = tmp_path / "wheels"
    directory.mkdir()
    wheel(directory, "pip", "26.0")
    wheel(directory, "alpha", "1.0", "beta")
    wheel(directory, "beta", "1.0")
    environment.pop("UV_DEFAULT_INDEX")
    environment |= {"PIP_FIND_LINKS": str(directory), "PIP_NO_INDEX": "1"}
    return directory


def locked(path: Path) -> dict[str, tuple[str, list[str]]]:
    (target,) = tomllib.loads(path.read_text())["targets"]
    return {one["name"]: (one["version"], one.get("by", [])) for one in target["python"]}


def test_a_recipe_is_locked_without_its_base(avabuild, wheels, tmp_path):
    (tmp_path / "mine.toml").write_text(RECIPE)
    said = avabuild("lock", "mine.toml")
    assert said.returncode == 0, said.stderr
    assert said.stdout.splitlines()[1].startswith("mine:py311-cpu         3 ")
    assert said.stdout.endswith("mine.lock  written\n")
    assert locked(tmp_path / "mine.lock") == {
        "alpha": ("1.0", []),
        "beta": ("1.0", []),
        "pip": ("26.0", ["avabuild"]),
    }
    assert not list((tmp_path / "cache" / "blobs").rglob("sha256/*"))


def test_what_is_locked_stays_until_it_is_upgraded(avabuild, wheels, tmp_path):
    (tmp_path / "mine.toml").write_text(RECIPE)
    avabuild("lock", "mine.toml")
    wheel(wheels, "alpha", "2.0", "beta")
    wheel(wheels, "beta", "2.0")
    assert "unchanged" in avabuild("lock", "mine.toml").stdout
    (event,) = [
        json.loads(line)
        for line in avabuild("lock", "mine.toml", "--upgrade", "Alpha", "--json").stdout.splitlines()
        if '"locked"' in line
    ]
    assert (event["reference"], event["changed"], event["packages"]) == ("localhost/mine:py311-cpu", True, 3)
    found = locked(tmp_path / "mine.lock")
    assert (found["alpha"][0], found["beta"][0]) == ("2.0", "1.0")


def test_a_changed_plugin_is_pinned_anew_where_it_asks_for_the_same(avabuild, wheels, tmp_path):
    recipe = RECIPE.replace("\n", '\nplugins = ["./rules.py"]\n', 1)
    (tmp_path / "mine.toml").write_text(recipe)
    for team in ("one", "two"):
        (tmp_path / "rules.py").write_text(RULES.replace("TEAM", team))
        said = avabuild("lock", "mine.toml")
        assert said.stdout.endswith("mine.lock  written\n"), said.stderr
        (pinned,) = tomllib.loads((tmp_path / "mine.lock").read_text())["plugins"]
        digest = hashlib.sha256((tmp_path / "rules.py").read_bytes()).hexdigest()
        assert digest.startswith(pinned["version"].removeprefix("sha256:"))
    assert avabuild("lock", "mine.toml").stdout.endswith("mine.lock  unchanged\n")


def test_a_plan_of_what_stands_on_another_has_its_versions_as_a_build_would(avabuild, wheels, tmp_path):
    (tmp_path / "mine.toml").write_text(RECIPE)
    avabuild("lock", "mine.toml")
    wheel(wheels, "alpha", "2.0", "beta")
    above = RECIPE.replace("mine", "above").replace('debian = "bookworm"', 'recipe = "mine.toml"')
    (tmp_path / "above.toml").write_text(above)
    planned = avabuild("plan", "above.toml")
    assert planned.returncode == 0, planned.stderr
    assert "alpha 1.0" in planned.stdout
    avabuild("lock", "above.toml")
    assert locked(tmp_path / "above.lock")["alpha"][0] == "1.0"


def test_what_can_be_locked_is_whatever_becomes_of_the_others(avabuild, wheels, tmp_path):
    (tmp_path / "mine.toml").write_text(RECIPE)
    (tmp_path / "other.toml").write_text(RECIPE.replace("mine", "other").replace("alpha", "nowhere"))
    said = avabuild("lock", "other.toml", "mine.toml")
    assert said.returncode == 9
    assert "nowhere" in said.stderr
    assert (tmp_path / "mine.lock").exists()
    assert not (tmp_path / "other.lock").exists()


def test_a_base_that_can_not_be_had_hinders_only_what_needs_a_container_of_it(avabuild, wheels, tmp_path):
    base = RECIPE.replace('debian = "bookworm"', 'image = "127.0.0.1:9/nobody/ubuntu:16.04"')
    (tmp_path / "mine.toml").write_text(base.replace('"3.11"', '"3.5"'))
    said = avabuild("lock", "mine.toml")
    assert said.returncode == 75
    assert (
        "resolving for Python 3.5 needs a container of the base, and the base is not available here"
        in said.stderr
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_lock_ends_soon_and_leaves_nothing(environment, tmp_path, number):
    names = [f"{letter}.toml" for letter in "abcdefgh"]  # more than are locked at a time
    for name in names:
        (tmp_path / name).write_text(RECIPE.replace("mine", name[0]))
    with socket.create_server(("127.0.0.1", 0)) as silent:
        environment["UV_DEFAULT_INDEX"] = f"http://127.0.0.1:{silent.getsockname()[1]}/simple"
        process = subprocess.Popen(
            [COMMAND, "lock", *names], cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True
        )
        silent.settimeout(30)
        asked = [silent.accept()[0] for _ in range(2)]
        began = time.monotonic()
        process.send_signal(number)
        _, said = process.communicate(timeout=30)
        assert time.monotonic() - began < 5
        for one in asked:
            one.close()
    assert (process.returncode, "Traceback" in said) == (130, False), said
    assert said.rstrip().endswith("stopped")
    assert list((tmp_path / "cache" / "tmp").iterdir()) == []
    assert list(tmp_path.glob("*.lock")) == []
    assert not [one for one in Path("/proc").glob("[0-9]*/cmdline") if str(tmp_path) in text_of(one)]


def text_of(path: Path) -> str:
    try:
        return path.read_bytes().decode(errors="replace")
    except OSError:
        return ""  # it ended


@pytest.mark.parametrize("apt", ["", 'apt = ["tree"]'])
def test_a_lock_without_base_and_apt_packages_is_refused_before_anything_is_fetched(
    avabuild, wheels, tmp_path, apt
):
    (tmp_path / "mine.toml").write_text(RECIPE.replace("[packages]", f"[packages]\n{apt}"))
    assert avabuild("lock", "mine.toml").returncode == 0
    said = avabuild("recipe", "mine.toml", "--locked", AVABUILD_DEBIAN_MIRROR="http://127.0.0.1:9/debian")
    assert said.returncode == 8, said.stderr
    assert "does not say which base and apt packages\n" in said.stderr, "the interpreter is one of those"
    assert "avabuild lock --full mine.toml" in said.stderr
    assert "bootstrap" not in said.stderr
