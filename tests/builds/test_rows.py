"""Rows of the catalogue, from their recipes to images whose checks were true."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .user import User

pytestmark = [pytest.mark.build, pytest.mark.one_builder, pytest.mark.network]

RECIPES = Path(__file__).parents[2] / "recipes"
LAB, SDK = "serves /lab; kernels: python", r"ava-sdk 0\.1\.3 imports 4[23] of 43 modules"
MXNET, CAFFE = r"mxnet 1\.\d+\.\d+ computed on the CPU loss 2", r"caffe 1\.0\.0 with 59 layers"
TENSORFLOW, KERAS = r"tensorflow 2\.\d+", r"keras \d\.\d+"
TORCH = r"torch \S+ built for CPU, computed on the CPU$"
COMMON = {"ava-sdk": SDK, "jupyterlab": LAB}
# A row, and what each framework's check says of it.
ROWS = {
    "pure": {"python": r"python 3\.11\.\d+ with OpenSSL .* and pip 2\d"},
    "jupyterlab": {"jupyterlab": LAB},
    "sdk": COMMON,
    "mxnet": {**COMMON, "mxnet": MXNET},
    "tensorflow": {**COMMON, "tensorflow": TENSORFLOW},
    "keras": {**COMMON, "tensorflow": TENSORFLOW, "keras": KERAS},
    "pytorch": {**COMMON, "pytorch": r"torch 2\.13\.0\+cpu built for CPU, computed on the CPU$"},
    "caffe": {**COMMON, "caffe": CAFFE},
    "trixie/pure": {"python": r"python 3\.13\.\d+ with OpenSSL .* and pip 2\d"},
    "trixie/sdk": COMMON,
    "trixie/tensorflow": {**COMMON, "tensorflow": TENSORFLOW},
    "trixie/keras": {**COMMON, "tensorflow": TENSORFLOW, "keras": KERAS},
    "trixie/pytorch": {**COMMON, "pytorch": TORCH},
    "trixie/caffe": {**COMMON, "caffe": CAFFE},
    "trixie/keras-jax": {
        **COMMON, "jax": r"jax 0\.\d+\.\S+ computed on cpu$", "keras": r"keras 3\.\S+ on jax loss"
    },
    "trixie/keras-torch": {
        **COMMON,
        "pytorch": r"torch 2\.6\.0\S* built for CPU, computed on the CPU$",
        "keras": r"keras 3\.\S+ on torch loss",
    },
    "classic/pure": {"python": r"python 2\.7\.\d+ with OpenSSL .* and pip 20"},
    "classic/sdk": COMMON,
    "classic/mxnet": {**COMMON, "mxnet": MXNET},
    "classic/tensorflow": {**COMMON, "tensorflow": TENSORFLOW},
    "classic/keras": {**COMMON, "tensorflow": TENSORFLOW, "keras": KERAS},
    "classic/caffe": {**COMMON, "caffe": CAFFE},
    "classic/pytorch": {**COMMON, "pytorch": r"torch 1\.[14]\.0\S* built with CUDA (10\.1|9\.0)"},
}  # fmt: skip
# Rows whose CUDA comes as NVIDIA's wheels, 2 to 3 GB of them each.
CUDA = {"tensorflow-cuda125": "tensorflow", "jax-cuda129": "jax", "keras-jax-cuda129": "jax",
        "pytorch-cuda132": "pytorch", "mxnet-cuda112": "mxnet"}  # fmt: skip


def built(user: User, row: str) -> dict[str, str]:
    """Build the row under a name of the test's; return what each step said."""
    text = (RECIPES / f"{row}.toml").read_text().replace('name = "ava-', 'name = "ava-test-')
    outcome = user.avabuild("recipe", user.recipe(text), "--json", timeout=3600)
    assert outcome.code == 0, outcome.err
    assert "ava-test-" in str(outcome.image["reference"])
    return {str(e["step"]): str(e.get("text")) for e in outcome.events if e["event"] == "finish"}


# What makes the suite no longer: a base that others need too, and wheels of some megabytes.
QUICK = {"pure", "mxnet"}


def test_every_row_that_can_be_built_here_is() -> None:
    """Its base is a Debian: images of Docker Hub are not available everywhere."""
    found = {
        path.relative_to(RECIPES).with_suffix("").as_posix()
        for path in RECIPES.rglob("*.toml")
        if "debian" in tomllib.loads(path.read_text()).get("base", {})
    }
    assert found == {*ROWS, *(f"cuda/{row}" for row in CUDA)}


@pytest.mark.parametrize(
    "row", [row if row in QUICK else pytest.param(row, marks=pytest.mark.slow) for row in ROWS]
)
def test_a_row_is_built_and_its_checks_compute(builder: User, row: str) -> None:
    said = built(builder, row)
    for framework, words in ROWS[row].items():
        assert re.search(words, said[f"check {framework}"]), said


@pytest.mark.slow
@pytest.mark.parametrize("row", CUDA)
def test_a_row_with_cuda_is_built_and_says_that_no_gpu_computed(own: User, row: str) -> None:
    said = built(own, f"cuda/{row}")
    assert re.search(r"no GPU here", said[f"check {CUDA[row]}"]), said
    assert re.search(r"\d+ files", said["linkage"]), "each library that a wheel needs was found"
    own.forget_cache()  # 10 GB and more


@pytest.mark.slow
def test_the_environment_sees_debians_torch_after_its_own_packages(builder: User) -> None:
    built(builder, "trixie/keras-torch")
    program = "import numpy, torch; print(torch.__file__); print(numpy.__file__)"
    torch, numpy = builder.inside(
        "localhost/ava-test-keras-torch:py313-cpu", f"python -c '{program}'"
    ).split()
    assert torch == "/usr/lib/python3/dist-packages/torch/__init__.py"
    assert numpy.startswith("/opt/venv/lib/python3.13/site-packages/")
    installed = builder.inside(
        "localhost/ava-test-keras-torch:py313-cpu", "pip list --format=freeze 2>/dev/null"
    )
    assert "nvidia" not in installed
