"""Strangers' distributions, installed as wheels beside avabuild in one fresh environment that all tests share."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from filelock import FileLock

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent
SAMPLES = ("avabuild-sample", "avabuild-annoy", "avabuild-house")

collect_ignore_glob = ["avabuild-*"]  # their tests run in their own environment


@dataclass(frozen=True)
class Stranger:
    """An environment that has avabuild and some plugins, as their authors and users have it."""

    place: Path

    @property
    def bin(self) -> Path:
        return self.place / "venv" / "bin"

    def run(self, *argv: str | Path, cwd: Path | None = None, **env: str) -> subprocess.CompletedProcess[str]:
        """Run a program of the environment, without anything of ours in sight."""
        clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        return subprocess.run(
            [self.bin / argv[0], *map(str, argv[1:])],
            cwd=cwd or self.place, env=clean | env, capture_output=True, text=True, check=False, timeout=600,
        )  # fmt: skip

    def install(self, *what: str | Path) -> None:
        uv("pip", "install", "--python", self.bin / "python", *what)

    def remove(self, name: str) -> None:
        uv("pip", "uninstall", "--python", self.bin / "python", name)

    def build(self, project: Path) -> Path:
        """Return the wheel of a project."""
        out = self.place / "dist" / project.name
        uv("build", "--wheel", "--out-dir", out, project)
        (wheel,) = out.glob("*.whl")
        return wheel


def uv(*arguments: str | Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "uv", "--quiet", *map(str, arguments)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def session(factory: pytest.TempPathFactory, worker: str) -> Path:
    """Return the temporary directory that all workers of a run share."""
    base = factory.getbasetemp()
    return base if worker == "master" else base.parent


DEBIANS_PIP = "pip==23.0.1"  # Debian 12's: what a stranger's machine has, and what knows least


@pytest.fixture(scope="session")
def stranger(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Stranger:
    """The environment, with the samples and what their tests need; made once, whoever comes first."""
    place = session(tmp_path_factory, worker_id) / "stranger"
    made = Stranger(place)
    with FileLock(f"{place}.lock"):
        if not (place / "ready").exists():
            uv("venv", "--python", sys.executable, place / "venv")
            wheels = [made.build(project) for project in (ROOT, *(HERE / name for name in SAMPLES))]
            made.install(*wheels, DEBIANS_PIP, "pytest", "ruff", "mypy")
            (place / "ready").touch()
    return made


@pytest.fixture
def kept(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> dict[str, str]:
    """Where real builds of a stranger keep things: the cache of the other real builds, an own storage."""
    storage = tmp_path / "storage.conf"
    graph, run = tmp_path / "graph", tmp_path / "run"
    storage.write_text(f'[storage]\ndriver = "overlay"\ngraphroot = "{graph}"\nrunroot = "{run}"\n')
    cache = os.environ.get("AVABUILD_TEST_CACHE") or session(tmp_path_factory, worker_id) / "store"
    return {"AVABUILD_CACHE": str(cache), "CONTAINERS_STORAGE_CONF": str(storage)}
