"""The walk-through, as it is written: its recipes are planned, and its images are built and used."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from urllib.request import ProxyHandler, build_opener

import pytest

from avabuild.resolve import read_lock

ROOT = Path(__file__).parents[2]
RECIPES = re.findall(r"```toml\n(.*?)```", (ROOT / "docs" / "walk-through.md").read_text(), re.DOTALL)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    shutil.copytree(ROOT / "recipes", tmp_path / "recipes")
    return tmp_path


def avabuild(home: Path, *argv: str) -> subprocess.CompletedProcess[str]:
    program = [sys.executable, "-c", "from avabuild.cli import main; main()"]
    return subprocess.run(
        [*program, *argv], cwd=home, capture_output=True, text=True, timeout=1800, check=True
    )


def plans(home: Path, number: int, monkeypatch: pytest.MonkeyPatch) -> dict[str, dict[str, Any]]:
    """Plan the recipe of that number; return the plans by the images' names."""
    monkeypatch.setenv("AVABUILD_CACHE", str(home / "cache"))
    (home / "keras.toml").write_text(RECIPES[number])
    made = json.loads(avabuild(home, "plan", "keras.toml", "--json").stdout)
    return {plan["reference"]: plan for plan in made}


def frameworks(plan: dict[str, Any]) -> dict[str, str]:
    return {one["name"]: one["series"] for one in plan["frameworks"]}


def test_the_first_recipe_stands_on_the_catalogues_own(home, monkeypatch):
    plan = plans(home, 0, monkeypatch)["localhost/my-keras:py27-cpu"]
    assert frameworks(plan) == {"tensorflow": "2.1", "ava-sdk": "0.1.3", "jupyterlab": "0.33"}
    assert plan["python_extra"]["layer"]["requirements"] == ["keras==2.3.1"]


def test_a_framework_knows_which_keras_it_is(home, monkeypatch):
    plan = plans(home, 1, monkeypatch)["localhost/my-keras:py27-cpu"]
    assert frameworks(plan)["keras"] == "2.3.1"


def test_only_the_tag_changes_for_another_device(home, monkeypatch):
    made = plans(home, 2, monkeypatch)
    assert frameworks(made["localhost/my-keras:py27-cpu"]) == {
        "tensorflow": "2.1",
        "keras": "2.3.1",
        "ava-sdk": "0.1.3",
        "jupyterlab": "0.33",
    }
    assert frameworks(made["localhost/my-keras:py27-cuda90-cudnn7"]) == {
        "tensorflow": "1.12",
        "keras": "2.2.4",
        "ava-sdk": "0.1.3",
        "jupyterlab": "0.33",
    }


def test_the_plan_on_a_locked_recipe_names_what_its_lock_has(home, monkeypatch):
    plan = plans(home, 0, monkeypatch)["localhost/my-keras:py27-cpu"]
    rows = {row["name"]: row["holds"] for row in plan["forecast"]}
    locked = read_lock(home / "recipes" / "classic" / "tensorflow.lock").target("py27-cpu")
    assert rows["python packages"] == [f"{package.name} {package.version}" for package in locked.python]
    assert rows["python packages added"] == ["keras==2.3.1", "pip finds them in a container"]


@pytest.mark.slow
@pytest.mark.build
@pytest.mark.network
@pytest.mark.parametrize("number", [0, 2])
def test_its_images_are_built_fit_a_model_and_serve_jupyterlab(home, number):
    (home / "keras.toml").write_text(RECIPES[number].replace("my-keras", "ava-test-walk"))
    only = ["--only", "*-cpu"] if number == 2 else []
    lines = avabuild(home, "recipe", "keras.toml", "--json", *only).stdout.splitlines()
    events = [json.loads(line) for line in lines]
    checked = {event["step"]: event.get("text", "") for event in events if event["event"] == "finish"}
    assert "serves /lab" in checked["check jupyterlab"]
    name = "localhost/ava-test-walk:py27-cpu"
    container = buildah("from", name)
    try:
        program = (
            "import keras, numpy; m = keras.Sequential([keras.layers.Dense(1, input_shape=(2,))]); "
            "m.compile('sgd', 'mse'); m.fit(numpy.ones((4, 2)), numpy.ones(4), verbose=0); "
            "print(keras.__version__)"
        )
        run = ("run", "--isolation", "chroot", container, "--")
        assert buildah(*run, "python", "-c", program).split()[-1] == "2.3.1"
        config = json.loads(buildah("inspect", "--type", "image", name))["OCIv1"]["config"]
        assert list(config["ExposedPorts"]) == ["8888/tcp"]
        assert "version" in answer_of(["buildah", *run, *config["Cmd"]])
    finally:
        buildah("rm", container)
        buildah("rmi", "--force", name)


def buildah(*argv: str) -> str:
    return subprocess.run(["buildah", *argv], capture_output=True, text=True, check=True).stdout.strip()


def answer_of(command: list[str]) -> dict[str, Any]:
    """Run the server that listens on a port of its own, and return what its /api says."""
    with contextlib.closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    direct = build_opener(ProxyHandler({}))
    server = subprocess.Popen(
        [*command, f"--port={port}", "--NotebookApp.port_retries=0"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        for _ in range(600):
            assert server.poll() is None, "it ended"
            with (
                contextlib.suppress(OSError),
                direct.open(f"http://127.0.0.1:{port}/api", timeout=30) as page,
            ):
                return json.load(page)
            time.sleep(0.5)
        raise AssertionError("nothing answers")
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait()
