"""Rows of the catalogue, from their recipes to images whose checks were true."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .user import User

pytestmark = [pytest.mark.build, pytest.mark.one_builder, pytest.mark.network]

RECIPES = Path(__file__).parents[2] / "recipes"
# A row, and what each framework's check says of it.
ROWS = {
    "pure": {"python": r"python 3\.11\.\d+ with OpenSSL .* and pip 2\d"},
    "mxnet": {
        "mxnet": r"mxnet 1\.9\.1 computed on the CPU loss 2",
        "jupyterlab": "serves /lab; kernels: python3",
    },
    "pytorch": {
        "pytorch": r"torch 2\.13\.0\+cpu built for CPU, computed on the CPU$",
        "jupyterlab": "serves /lab; kernels: python3",
    },
    "trixie/keras-jax": {"jax": r"jax 0\.\d+\.\S+ computed on cpu$", "keras": r"keras 3\.\S+ on jax loss"},
    "trixie/keras-torch": {
        "pytorch": r"torch 2\.6\.0\S* built for CPU, computed on the CPU$",
        "keras": r"keras 3\.\S+ on torch loss",
    },
}
# Rows whose CUDA comes as NVIDIA's wheels, 2 to 3 GB of them each.
CUDA = {"tensorflow-cuda125": "tensorflow", "jax-cuda129": "jax", "pytorch-cuda132": "pytorch",
        "mxnet-cuda112": "mxnet"}  # fmt: skip


def built(user: User, row: str) -> dict[str, str]:
    """Build the row under a name of the test's; return what each step said."""
    text = (RECIPES / f"{row}.toml").read_text().replace('name = "ava-', 'name = "ava-test-')
    outcome = user.avabuild("recipe", user.recipe(text), "--json", timeout=1200)
    assert outcome.code == 0, outcome.err
    assert "ava-test-" in str(outcome.image["reference"])
    return {str(e["step"]): str(e.get("text")) for e in outcome.events if e["event"] == "finish"}


# Torch alone is 180 MB, as a wheel that an index or folder of this host must have, and as Debian's packages,
# which need a base of their own.
SLOW = {row for row in ROWS if row == "pytorch" or row.startswith("trixie/")}


@pytest.mark.parametrize(
    "row", [pytest.param(row, marks=pytest.mark.slow) if row in SLOW else row for row in ROWS]
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
    shutil.rmtree(own.cache)  # 10 GB and more


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
