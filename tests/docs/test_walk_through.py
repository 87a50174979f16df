"""The walk-through, as it is written: its recipes are planned, and the first image is built and used."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

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
    assert frameworks(made["localhost/my-keras:py27-cpu"]) == {"tensorflow": "2.1", "keras": "2.3.1"}
    assert frameworks(made["localhost/my-keras:py27-cuda90-cudnn7"]) == {
        "tensorflow": "1.12",
        "keras": "2.2.4",
    }


@pytest.mark.slow
@pytest.mark.build
@pytest.mark.network
def test_the_first_image_is_built_and_fits_a_model(home):
    (home / "keras.toml").write_text(RECIPES[0].replace("my-keras", "ava-test-walk"))
    events = [
        json.loads(line) for line in avabuild(home, "recipe", "keras.toml", "--json").stdout.splitlines()
    ]
    checked = {event["step"]: event["text"] for event in events if event["event"] == "finish"}
    assert "serves /lab" in checked["check jupyterlab"]
    program = (
        "import keras, numpy; m = keras.Sequential([keras.layers.Dense(1, input_shape=(2,))]); "
        "m.compile('sgd', 'mse'); m.fit(numpy.ones((4, 2)), numpy.ones(4), verbose=0); print(keras.__version__)"
    )
    name = "localhost/ava-test-walk:py27-cpu"
    run = f'c=$(buildah from {name}) && buildah run --isolation chroot $c -- python -c "$0"; buildah rm $c >/dev/null'
    done = subprocess.run(["sh", "-c", run, program], capture_output=True, text=True, check=True)
    assert done.stdout.split()[-1] == "2.3.1", done.stderr
    subprocess.run(["buildah", "rmi", "--force", name], check=True, capture_output=True)
