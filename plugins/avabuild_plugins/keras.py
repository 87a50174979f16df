"""Keras: 3 on one of its backends, and what fits an older TensorFlow."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from avabuild.api import Env, Framework, Options, Python, Release, Request, hookimpl


class KerasOptions(Options):
    """What a recipe may say of keras."""

    backend: Literal["tensorflow", "torch", "jax"] = Field(
        default="tensorflow",
        description="What Keras computes with, brought into the image as the framework tensorflow, pytorch "
        "or jax; before Keras 3 there is tensorflow alone",
    )

    def allows(self, release: Release) -> bool:
        """Only Keras 3 knows other backends than TensorFlow."""
        return super().allows(release) and (self.backend == "tensorflow" or release.version.startswith("3."))


_REQUIRES = {"tensorflow": ("tensorflow",), "torch": ("pytorch",), "jax": ("jax",)}

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

# For Keras 2: it runs on Python 2.7 too, and saves as HDF5.
_CLASSIC_CHECK = """\
from __future__ import print_function
import os, shutil, tempfile
import keras, numpy

backend = keras.backend.backend()
assert backend == "tensorflow", "the backend is " + backend
numpy.random.seed(0)
x = numpy.random.normal(size=(64, 4)).astype("float32")
y = x.sum(axis=1, keepdims=True)
model = keras.models.Sequential()
model.add(keras.layers.Dense(8, activation="relu", input_shape=(4,)))
model.add(keras.layers.Dense(1))
model.compile(optimizer="adam", loss="mse")
losses = model.fit(x, y, epochs=20, batch_size=8, verbose=0).history["loss"]
assert losses[-1] < losses[0], losses
directory = tempfile.mkdtemp()
try:
    path = os.path.join(directory, "model.h5")
    model.save(path)
    again = keras.models.load_model(path).predict(x)
finally:
    shutil.rmtree(directory)
assert again.shape == (64, 1), again.shape
assert numpy.allclose(again, model.predict(x), atol=1e-5), "a saved model predicts differently"
print("keras", keras.__version__, "on", backend, "loss %.3f -> %.3f" % (losses[0], losses[-1]))
"""


def _three(first: int, last: int, python: tuple[int, int]) -> tuple[Release, ...]:
    """Return the series 3.`last` down to 3.`first`: pure Python, so on every device of their backends."""
    pythons = tuple(f"3.{minor}" for minor in range(python[0], python[1] + 1))
    return tuple(
        Release(version=f"3.{minor}", pythons=pythons, devices=("any",), constraints=("tensorflow>=2.16.1",))
        for minor in range(last, first - 1, -1)
    )


def _two(last: int, first: int, python: tuple[int, int]) -> tuple[Release, ...]:
    """Return 2.`last` down to 2.`first`: each one goes with the TensorFlow of its own number alone."""
    pythons = tuple(f"3.{minor}" for minor in range(python[0], python[1] + 1))
    return tuple(
        Release(
            version=f"2.{minor}",
            pythons=pythons,
            devices=("any",),
            note="part of TensorFlow by another name",
            constraints=(f"tensorflow==2.{minor}.*",),
        )
        for minor in range(last, first - 1, -1)
    )


def _classic(version: str, tensorflow: str, *pythons: str) -> Release:
    # h5py 3 gives text where these expect bytes: a saved model can't be read.
    return Release(
        version=version,
        pythons=(*pythons, "3.6", "3.5", "2.7"),
        devices=("any",),
        constraints=(f"tensorflow{tensorflow}", "h5py<3"),
    )


# On Python 2.7 an unpinned keras is 2.10.0: it says that it is for it, and is full of f-strings.
_RELEASES = (
    *_three(13, 15, python=(11, 14)),
    *_three(11, 12, python=(10, 13)),
    *_three(6, 10, python=(9, 13)),
    *_three(0, 5, python=(9, 12)),
    *_two(15, 14, python=(9, 11)),
    *_two(13, 12, python=(8, 11)),
    *_two(11, 8, python=(7, 10)),
    *_two(7, 7, python=(7, 9)),
    *_two(6, 6, python=(6, 9)),
    _classic("2.3.1", ">=1.13,<2.2", "3.7"),
    _classic("2.2.4", ">=1.5,<1.13"),
    _classic("2.1.6", ">=1.4,<1.9"),
    _classic("2.0.8", ">=1.4,<1.5"),
)


def _requires(options: KerasOptions) -> tuple[str, ...]:
    return _REQUIRES[options.backend]


def _backend(request: Request) -> tuple[str, ...]:
    """Return the oldest backend that Keras 3 works with, so that a conflict is explained by the resolver."""
    target = request.target
    match request.options.backend:
        case "torch":
            torch = request.others.get("pytorch")
            return () if torch and torch.apt else ("torch>=2.1",)  # Debian's is on no index
        case "jax":
            return ("jax",)
        case _ if target.device.cuda or target.arch != "x86_64":
            return ("tensorflow>=2.16.1",)
        case _:
            return ("tensorflow-cpu>=2.16.1",)


def _layers(request: Request) -> tuple[Python | Env, ...]:
    backend = _backend(request) if _is_three(request) else ()
    return (
        Python(requirements=(f"keras{request.requirement}", *backend)),
        Env(variables=(("KERAS_BACKEND", request.options.backend),)),
    )


def _is_three(request: Request) -> bool:
    return request.release.version.startswith("3.")


def _check(request: Request) -> str:
    if not _is_three(request):
        return _CLASSIC_CHECK
    return _CHECK.replace("BACKEND", request.options.backend)


@hookimpl
def avabuild_frameworks() -> list[Framework]:
    """Declare keras."""
    return [
        Framework(
            name="keras",
            summary="Keras on TensorFlow, PyTorch or JAX",
            releases=_RELEASES,
            layers=_layers,
            check=_check,
            options=KerasOptions,
            requires=_requires,
            source="metadata of the published wheels, and models trained by hand on each TensorFlow",
            checked="2026-11-23",
        )
    ]
