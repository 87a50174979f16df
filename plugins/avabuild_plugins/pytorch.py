"""PyTorch: the build for the target's device, never 3 GB of CUDA by surprise."""

from __future__ import annotations

from typing import Literal

from packaging.version import Version
from pydantic import Field

from avabuild.api import Env, Framework, Options, Python, Release, Request, hookimpl

_DRIVER = Env(
    variables=(("NVIDIA_VISIBLE_DEVICES", "all"), ("NVIDIA_DRIVER_CAPABILITIES", "compute,utility"))
)


class PytorchOptions(Options):
    """What a recipe may say of pytorch."""

    build: Literal["auto", "index"] = Field(
        default="auto",
        description='"auto" takes the +cpu build for the device cpu; PyPI has none, so an index or a folder '
        'of wheels must be configured that does. "index" takes whichever build the index has of the version; '
        "PyPI's works without a GPU too, and brings 3 GB of CUDA",
    )


# Series, last patch release, Pythons from 3.A to 3.B, the CUDA that its public wheels carry.
_TABLE = (
    ("2.15", 0, 11, 15, "cuda13.2-cudnn9.26"),
    ("2.14", 1, 10, 14, "cuda13.0-cudnn9.24"),
    ("2.13", 0, 10, 14, "cuda13.0-cudnn9.20"),
    ("2.12", 1, 10, 14, "cuda13.0-cudnn9.20"),
    ("2.11", 0, 10, 14, "cuda13.0-cudnn9.19"),
    ("2.10", 0, 10, 14, "cuda12.8-cudnn9.10"),
    ("2.9", 1, 10, 14, "cuda12.8-cudnn9.10"),
    ("2.8", 0, 9, 13, "cuda12.8-cudnn9.10"),
    ("2.7", 1, 9, 13, "cuda12.6-cudnn9.5"),
    ("2.6", 0, 9, 13, "cuda12.4-cudnn9.1"),
)
_RELEASES = tuple(
    Release(
        version=series,
        pythons=tuple(f"3.{minor}" for minor in range(first, last + 1)),
        devices=("cpu", cuda),
        note=f"the build for cpu is {series}.{patch}+cpu, which PyPI does not have",
    )
    for series, patch, first, last, cuda in _TABLE
)
_LAST_PATCH = {series: patch for series, patch, *_ in _TABLE}

_CHECK = """\
import torch

weights = torch.tensor([[1.0], [2.0]], requires_grad=True)
loss = (torch.tensor([[3.0, 4.0]]) @ weights).pow(2).sum()
loss.backward()
assert loss.item() == 121.0, loss
assert weights.grad.tolist() == [[66.0], [88.0]], weights.grad
cuda = torch.version.cuda
assert WANTED, "this build has CUDA %s" % cuda
print("torch", torch.__version__, "built with CUDA %s" % cuda if cuda else "built for CPU")
"""


def _cpu_builds(series: str) -> tuple[str, ...]:
    """Return the exact versions of the series' +cpu builds, newest first.

    No shorter way asks for them: PEP 440 has no wildcard before a local version.
    """
    return tuple(f"{series}.{patch}+cpu" for patch in range(_LAST_PATCH[series], -1, -1))


def _layers(request: Request) -> tuple[Python | Env, ...]:
    builds = _cpu_builds(request.release.version)
    asked = str(request.options.specifier)
    if request.target.device.cuda:
        # A local version sorts above its public one, so a folder with both would give the CPU build.
        without = "".join(f",!={build}" for build in builds)
        return (Python(requirements=(f"torch{request.requirement}{without}",)), _DRIVER)
    if request.options.build == "index":
        return (Python(requirements=(f"torch{request.requirement}",)),)
    allowed = (build for build in builds if request.options.specifier.contains(Version(build)))
    exact = next(allowed, builds[0])  # with none allowed the resolver says why, in its own words
    return (Python(requirements=(f"torch=={exact}" + (f",{asked}" if asked else ""),)),)


def _check(request: Request) -> str:
    cuda = request.target.device.cuda
    wanted = f'cuda == "{cuda}"' if cuda else "cuda is None"
    if not cuda and request.options.build == "index":
        wanted = "True"
    return _CHECK.replace("WANTED", wanted)


@hookimpl
def avabuild_frameworks() -> list[Framework]:
    """Declare pytorch."""
    return [
        Framework(
            name="pytorch",
            summary="PyTorch, for CPU or with the CUDA it was built for",
            releases=_RELEASES,
            layers=_layers,
            check=_check,
            options=PytorchOptions,
            source="names and metadata of the published x86_64 wheels",
            checked="2026-11-23",
        )
    ]
