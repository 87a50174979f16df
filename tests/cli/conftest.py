"""The installed command, run in an environment of its own: no index, no home, an empty cache."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

COMMAND = Path(sys.executable).with_name("avabuild")
NOBODY = "http://127.0.0.1:9/simple"  # the port of `discard`: nobody answers there

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """What the command sees of this host: tools, and an index that is down."""
    home = tmp_path / "home"
    home.mkdir()
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "AVABUILD_CACHE": str(tmp_path / "cache"),
        "UV_DEFAULT_INDEX": NOBODY,
        "UV_HTTP_RETRIES": "0",
        "PIP_CONFIG_FILE": "/dev/null",
    }


@pytest.fixture
def avabuild(tmp_path: Path, environment: dict[str, str]) -> Run:
    """Return a function that runs `avabuild` with arguments in `tmp_path`."""

    def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [COMMAND, *arguments],
            cwd=tmp_path,
            env={**environment, **variables},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run


@pytest.fixture
def done() -> Any:
    """An image as a session hands it to a console, of 82 MB in three layers."""
    composed = SimpleNamespace(
        digest="sha256:" + "a" * 64, size=82_400_000, layers=("base", "venv", "wheels")
    )
    return SimpleNamespace(
        warnings=(),
        pushed=None,
        plan=SimpleNamespace(
            reference="localhost/mine:py311-cpu",
            target=SimpleNamespace(python="3.11", device="cpu"),
            frameworks=(
                SimpleNamespace(name="jupyterlab", series="4.6"),
                SimpleNamespace(name="tensorflow", series="2.21"),
                SimpleNamespace(name="keras", series="3.15"),
            ),
        ),
        built=SimpleNamespace(
            driver="",
            composed=composed,
            made=["wheels"],
            reused=["venv"],
            lock=SimpleNamespace(python=(SimpleNamespace(name="jupyterlab", version="4.6.6"),)),
        ),
        seconds=12.34,
    )
