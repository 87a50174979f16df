"""Keras 3 on one of its backends."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from avabuild.api import Env, Framework, Options, Python, Release, Request, hookimpl


class KerasOptions(Options):
    """What a recipe may say of keras."""

    backend: Literal["tensorflow", "torch", "jax"] = Field(
        default="tensorflow",
        description="What Keras computes with. tensorflow and torch bring the framework tensorflow or "
        "pytorch into the image; jax is installed by this plugin, for the CPU only",
    )


_REQUIRES = {"tensorflow": ("tensorflow",), "torch": ("pytorch",), "jax": ()}

_CHECK = """\
import math, os, tempfile
import keras, numpy

backend = keras.backend.backend()
assert backend == "BACKEND", "the backend is " + backend
keras.utils.set_random_seed(0)
x = numpy.random.default_rng(0).normal(size=(64, 4)).astype("float32")
y = x.sum(axis=1, keepdims=True)
model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(8, activation="relu"), keras.layers.Dense(1)])
model.compile(optimizer=keras.optimizers.Adam(0.05), loss="mse")
losses = model.fit(x, y, epochs=5, batch_size=16, verbose=0).history["loss"]
assert all(math.isfinite(loss) for loss in losses) and losses[-1] < losses[0], losses
with tempfile.TemporaryDirectory() as directory:
    path = os.path.join(directory, "model.keras")
    model.save(path)
    again = keras.models.load_model(path).predict(x, verbose=0)
assert again.shape == (64, 1), again.shape
assert numpy.allclose(again, model.predict(x, verbose=0), atol=1e-5), "a saved model predicts differently"
print("keras", keras.__version__, "on", backend, "loss %.3f -> %.3f" % (losses[0], losses[-1]))
"""


def _releases(first: int, last: int, python: tuple[int, int]) -> tuple[Release, ...]:
    """Return the series 3.`last` down to 3.`first`: pure Python, so on every device of their backends."""
    pythons = tuple(f"3.{minor}" for minor in range(python[0], python[1] + 1))
    return tuple(
        Release(version=f"3.{minor}", pythons=pythons, devices=("any",))
        for minor in range(last, first - 1, -1)
    )


_RELEASES = (
    *_releases(13, 15, python=(11, 14)),
    *_releases(11, 12, python=(10, 13)),
    *_releases(6, 10, python=(9, 13)),
    *_releases(0, 5, python=(9, 12)),
)


def _requires(options: KerasOptions) -> tuple[str, ...]:
    return _REQUIRES[options.backend]


def _backend(request: Request) -> str:
    """Return the oldest backend that Keras 3 works with, so that a conflict is explained by the resolver."""
    target = request.target
    match request.options.backend:
        case "torch":
            return "torch>=2.1"
        case "jax" if target.device.cuda:
            raise ValueError(f"the backend jax is for cpu, not {target.device}; choose tensorflow or torch")
        case "jax":
            return "jax"
        case _ if target.device.cuda or target.arch != "x86_64":
            return "tensorflow>=2.16.1"
        case _:
            return "tensorflow-cpu>=2.16.1"


def _layers(request: Request) -> tuple[Python | Env, ...]:
    return (
        Python(requirements=(f"keras{request.requirement}", _backend(request))),
        Env(variables=(("KERAS_BACKEND", request.options.backend),)),
    )


def _check(request: Request) -> str:
    return _CHECK.replace("BACKEND", request.options.backend)


@hookimpl
def avabuild_frameworks() -> list[Framework]:
    """Declare keras."""
    return [
        Framework(
            name="keras",
            summary="Keras 3 on TensorFlow, PyTorch or JAX",
            releases=_RELEASES,
            layers=_layers,
            check=_check,
            options=KerasOptions,
            requires=_requires,
            source="Requires-Python of the published wheels, and the Pythons of the backends of their time",
            checked="2026-11-23",
        )
    ]
