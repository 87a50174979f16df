"""TensorFlow: the CPU build for cpu; for CUDA the build whose libraries are wheels, or in the base."""

from __future__ import annotations

from typing import NamedTuple

from avabuild.api import Env, Framework, Options, Python, Release, Request, hookimpl

_DRIVER = Env(
    variables=(("NVIDIA_VISIBLE_DEVICES", "all"), ("NVIDIA_DRIVER_CAPABILITIES", "compute,utility"))
)

# The set that 2.18 and 2.19 pin. Later releases take any CUDA 12 from it upwards; without these pins an
# image tagged cuda125 would hold CUDA 12.9.
_CUDA_12_5 = (
    "nvidia-cublas-cu12==12.5.3.2",
    "nvidia-cuda-cupti-cu12==12.5.82",
    "nvidia-cuda-nvcc-cu12==12.5.82",
    "nvidia-cuda-nvrtc-cu12==12.5.82",
    "nvidia-cuda-runtime-cu12==12.5.82",
    "nvidia-cudnn-cu12==9.3.0.75",
    "nvidia-cufft-cu12==11.2.3.61",
    "nvidia-curand-cu12==10.3.6.82",
    "nvidia-cusolver-cu12==11.6.3.83",
    "nvidia-cusparse-cu12==12.5.1.3",
    "nvidia-nvjitlink-cu12==12.5.82",
)
_UNPINNED = ("2.21", "2.20")

_CHECK = """\
from __future__ import print_function
import tensorflow as tf

weights = tf.Variable([[1.0], [2.0]])
with tf.GradientTape() as tape:
    loss = tf.reduce_sum(tf.matmul(tf.constant([[3.0, 4.0]]), weights) ** 2)
gradient = tape.gradient(loss, weights)
assert float(loss) == 121.0, loss
assert gradient.numpy().tolist() == [[66.0], [88.0]], gradient
built_with_cuda = tf.test.is_built_with_cuda()
assert built_with_cuda or not WANTS_CUDA, "this build has no CUDA"
gpus = len(tf.config.experimental.list_physical_devices("GPU")) if built_with_cuda else 0
print("tensorflow", tf.__version__, "built with CUDA" if built_with_cuda else "built for CPU", end="")
print(", computed on GPU 0" if gpus else ", no GPU here" if WANTS_CUDA else "")
"""

# TensorFlow 1 computes in a session.
_CLASSIC_CHECK = """\
from __future__ import print_function
import tensorflow as tf

weights = tf.Variable([[1.0], [2.0]])
loss = tf.reduce_sum(tf.square(tf.matmul(tf.constant([[3.0, 4.0]]), weights)))
gradient, = tf.gradients(loss, [weights])
descend = tf.train.GradientDescentOptimizer(0.01).minimize(loss)
with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    value, slope = session.run([loss, gradient])
    assert value == 121.0, value
    assert slope.tolist() == [[66.0], [88.0]], slope
    for _ in range(20):
        session.run(descend)
    after = session.run(loss)
    assert after < value / 100, after
    gpus = [device.name for device in session.list_devices() if device.device_type == "GPU"]
built_with_cuda = tf.test.is_built_with_cuda()
assert built_with_cuda or not WANTS_CUDA, "this build has no CUDA"
print("tensorflow", tf.__version__, "built with CUDA" if built_with_cuda else "built for CPU", end="")
print(", computed on GPU 0" if gpus else ", no GPU here" if WANTS_CUDA else "")
"""


class _Row(NamedTuple):
    """Some series with the same Pythons and CUDA; `numpy` is what their metadata asks for."""

    series: tuple[str, ...]
    pythons: tuple[str, ...]
    cuda: str
    numpy: str = ""
    note: str = ""


def _from(first: int, last: int, *more: str) -> tuple[str, ...]:
    return (*more, *(f"3.{minor}" for minor in range(first, last + 1)))


def _series(major: int, last: int, first: int) -> tuple[str, ...]:
    return tuple(f"{major}.{minor}" for minor in range(last, first - 1, -1))


_BASE = "for CUDA it needs a base or the framework cuda that has the libraries: it declares no wheels of them"

# Pythons, CUDA and cuDNN as the project tested them (site/en/install/source.md), and as wheels are there.
_TABLE = (
    _Row(("2.21",), _from(10, 13), "12.5-cudnn9.3", ">=1.26"),
    _Row(("2.20",), _from(9, 13), "12.5-cudnn9.3", ">=1.26"),
    _Row(("2.19", "2.18"), _from(9, 12), "12.5-cudnn9.3", ">=1.26"),
    _Row(("2.17",), _from(9, 12), "12.3-cudnn8.9", ">=1.23.5,<2"),
    _Row(("2.16",), _from(9, 12), "12.3-cudnn8.9", ">=1.23.5,<2", "the first with Keras 3"),
    _Row(("2.15",), _from(9, 11), "12.2-cudnn8.9", ">=1.23.5,<2", "the last with Keras 2"),
    _Row(("2.14",), _from(9, 11), "11.8-cudnn8.7", ">=1.23.5,<2", _BASE),
    _Row(("2.13",), _from(8, 11), "11.8-cudnn8.6", ">=1.22,<=1.24.3", _BASE),
    _Row(("2.12",), _from(8, 11), "11.8-cudnn8.6", ">=1.22,<1.25", _BASE),
    _Row(_series(2, 11, 8), _from(7, 10), "11.2-cudnn8.1", ">=1.20,<2", _BASE),
    _Row(("2.7",), _from(7, 9), "11.2-cudnn8.1", ">=1.14.5,<2", _BASE),
    _Row(("2.6", "2.5"), _from(6, 9), "11.2-cudnn8.1", ">=1.19.2,<1.20", _BASE),
    _Row(("2.4",), _from(6, 8), "11.0-cudnn8.0", ">=1.19.2,<1.20", _BASE),
    _Row(("2.3", "2.2"), _from(5, 8), "10.1-cudnn7.6", ">=1.16,<1.19", _BASE),
    _Row(("2.1",), _from(5, 7, "2.7"), "10.1-cudnn7.6", ">=1.16,<2", "the last for Python 2.7"),
    _Row(("2.0",), _from(5, 7, "2.7"), "10.0-cudnn7.4", ">=1.16,<2"),
    _Row(_series(1, 15, 13), _from(5, 7, "2.7"), "10.0-cudnn7.4", ">=1.14.5,<2"),
    _Row(("1.12", "1.11"), _from(5, 6, "2.7"), "9.0-cudnn7", ">=1.13.3,<2"),
    _Row(("1.10",), _from(5, 6, "2.7"), "9.0-cudnn7", ">=1.13.3,<=1.14.5"),
    _Row(_series(1, 9, 5), _from(5, 6, "2.7"), "9.0-cudnn7", ">=1.13.3,<2"),
    _Row(("1.4",), _from(5, 6, "2.7"), "8.0-cudnn6", ">=1.12.1,<2", "tf.keras has no Sequential"),
)

# The newest of these that Python 2.7 can have are none that pip would choose: later ones are source only, or
# say that they are for it and aren't.
_PY27 = (
    'grpcio==1.39.0; python_version < "3"',
    'h5py==2.10.0; python_version < "3"',
    'protobuf==3.17.3; python_version < "3"',
)


def _constraints(series: str, numpy: str) -> tuple[str, ...]:
    before = _number(series)
    old = ("protobuf<3.21",) if before < (2, 12) else ()  # code that an older protoc made
    return (f"numpy{numpy}", *old, *(_PY27 if before < (2, 2) else ()))


def _number(series: str) -> tuple[int, ...]:
    return tuple(int(part) for part in series.split("."))


_RELEASES = tuple(
    Release(
        version=series,
        pythons=row.pythons,
        devices=("cpu", f"cuda{row.cuda}"),
        note=row.note,
        constraints=_constraints(series, row.numpy),
    )
    for row in _TABLE
    for series in row.series
)


def _layers(request: Request) -> tuple[Python | Env, ...]:
    series, cuda = _number(request.release.version), request.target.device.cuda
    if cuda is None:
        return (Python(requirements=(_cpu_project(series, request.target.arch) + request.requirement,)),)
    if series < (2, 1):
        return (Python(requirements=(f"tensorflow-gpu{request.requirement}",)), _DRIVER)
    if series < (2, 15):
        return (Python(requirements=(f"tensorflow{request.requirement}",)), _DRIVER)
    pins = _CUDA_12_5 if request.release.version in _UNPINNED else ()
    return (Python(requirements=(f"tensorflow[and-cuda]{request.requirement}", *pins)), _DRIVER)


def _cpu_project(series: tuple[int, ...], arch: str) -> str:
    """Return the project of the build without CUDA, a quarter of the other's size.

    It has wheels for x86_64 only; elsewhere, and before 1.15 and in 2.0, tensorflow itself is that build.
    """
    own = series >= (1, 15) and series != (2, 0)
    return "tensorflow-cpu" if arch == "x86_64" and own else "tensorflow"


def _check(request: Request) -> str:
    program = _CLASSIC_CHECK if _number(request.release.version) < (2,) else _CHECK
    return program.replace("WANTS_CUDA", str(request.target.device.cuda is not None))


@hookimpl
def avabuild_frameworks() -> list[Framework]:
    """Declare tensorflow."""
    return [
        Framework(
            name="tensorflow",
            summary="TensorFlow, for CPU or with the CUDA it was built for",
            releases=_RELEASES,
            layers=_layers,
            check=_check,
            options=Options,
            source="names and metadata of the published x86_64 wheels; the project's tested configurations",
            checked="2026-11-24",
        )
    ]
