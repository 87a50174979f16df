"""JAX, for the CPU or with NVIDIA's own wheels for CUDA."""

from __future__ import annotations

from avabuild.api import Env, Framework, Options, Python, Release, Request, hookimpl

_DRIVER = Env(
    variables=(("NVIDIA_VISIBLE_DEVICES", "all"), ("NVIDIA_DRIVER_CAPABILITIES", "compute,utility"))
)


def _release(version: str, first: int, last: int, *cuda: str, note: str = "") -> Release:
    pythons = tuple(f"3.{minor}" for minor in range(first, last + 1))
    return Release(version=version, pythons=pythons, devices=("cpu", *cuda), note=note)


_12, _13 = "cuda12.9-cudnn9", "cuda13.5-cudnn9"
_RELEASES = (
    _release("0.12", 12, 14, _12, _13),
    _release("0.10", 11, 14, _12, _13, note="the last for Python 3.11"),
    _release("0.9", 11, 14, _12, _13),
    _release("0.8", 11, 14, _12, _13),
    _release("0.7", 11, 14, _12, note="0.7.2 has CUDA 13 too"),
    _release("0.6", 10, 13, _12, note="the last for Python 3.10"),
    _release("0.5", 10, 13, _12),
    _release("0.4", 9, 12, _12, note="0.4.30 is the last for Python 3.9"),
)

# The extras take any CUDA of their major version; without these pins an image's tag would say one that it
# does not hold.
_CUDA = {
    "12.9": (
        "jax[cuda12]",
        ("nvidia-cuda-nvcc-cu12==12.9.*", "nvidia-cuda-runtime-cu12==12.9.*"),
    ),
    "13.5": (
        "jax[cuda13]",
        ("nvidia-cuda-nvcc==13.5.*", "nvidia-cuda-nvrtc==13.5.*", "nvidia-cuda-runtime==13.5.*"),
    ),
}

_CHECK = """\
import jax
import jax.numpy as jnp

def loss(weights):
    return (jnp.matmul(jnp.array([[3.0, 4.0]]), weights) ** 2).sum()

value, gradient = jax.jit(jax.value_and_grad(loss))(jnp.array([[1.0], [2.0]]))
assert float(value) == 121.0, value
assert gradient.tolist() == [[66.0], [88.0]], gradient
kinds = sorted({device.platform for device in jax.devices()})
assert "gpu" in kinds or "cpu" in kinds, kinds
where = "on " + ", ".join(kinds) + (": no GPU here" if WANTS_CUDA and "gpu" not in kinds else "")
if WANTS_CUDA:
    from importlib.metadata import version
    version("nvidia-cudnn-cuMAJOR")
print("jax", jax.__version__, "computed", where)
"""


def _layers(request: Request) -> tuple[Python | Env, ...]:
    cuda = request.target.device.cuda
    if cuda is None:
        return (Python(requirements=(f"jax{request.requirement}",)),)
    project, pins = _CUDA[cuda]
    return (Python(requirements=(project + request.requirement, *pins)), _DRIVER)


def _check(request: Request) -> str:
    cuda = request.target.device.cuda
    program = _CHECK.replace("WANTS_CUDA", str(cuda is not None))
    return program.replace("MAJOR", (cuda or "").partition(".")[0])


@hookimpl
def avabuild_frameworks() -> list[Framework]:
    """Declare jax."""
    return [
        Framework(
            name="jax",
            summary="JAX, for CPU or with NVIDIA's wheels",
            releases=_RELEASES,
            layers=_layers,
            check=_check,
            options=Options,
            source="names and metadata of the published x86_64 wheels, resolved by uv",
            checked="2026-11-24",
        )
    ]
