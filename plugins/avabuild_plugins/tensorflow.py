"""TensorFlow: the CPU build for cpu, and with NVIDIA's own wheels for CUDA."""

from __future__ import annotations

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
import tensorflow as tf

weights = tf.Variable([[1.0], [2.0]])
with tf.GradientTape() as tape:
    loss = tf.reduce_sum(tf.matmul(tf.constant([[3.0, 4.0]]), weights) ** 2)
gradient = tape.gradient(loss, weights)
assert float(loss) == 121.0, loss
assert gradient.numpy().tolist() == [[66.0], [88.0]], gradient
built_with_cuda = tf.test.is_built_with_cuda()
assert built_with_cuda or not WANTS_CUDA, "this build has no CUDA"
print("tensorflow", tf.__version__, "built with CUDA" if built_with_cuda else "built for CPU")
"""


def _release(version: str, first: int, last: int, *cuda: str, note: str = "") -> Release:
    pythons = tuple(f"3.{minor}" for minor in range(first, last + 1))
    return Release(version=version, pythons=pythons, devices=("cpu", *cuda), note=note)


_NO_CUDA = "declares no CUDA wheels: for CUDA it needs a base that has them"

_RELEASES = (
    _release("2.21", 10, 13, "cuda12.5-cudnn9.3"),
    _release("2.20", 9, 13, "cuda12.5-cudnn9.3"),
    _release("2.19", 9, 12, "cuda12.5-cudnn9.3"),
    _release("2.18", 9, 12, "cuda12.5-cudnn9.3"),
    _release("2.17", 9, 12, "cuda12.3-cudnn8.9"),
    _release("2.16", 9, 12, "cuda12.3-cudnn8.9", note="the first with Keras 3"),
    _release("2.15", 9, 11, "cuda12.2-cudnn8.9", note="the last with Keras 2"),
    _release("2.14", 9, 11, note="its CUDA extra names a tensorrt that has no wheel"),
    _release("2.13", 8, 11, note=_NO_CUDA),
    _release("2.12", 8, 11, note=_NO_CUDA),
)


def _layers(request: Request) -> tuple[Python | Env, ...]:
    if request.target.device.cuda is None:
        # tensorflow-cpu has wheels for x86_64 only; elsewhere tensorflow itself is built for the CPU.
        project = "tensorflow-cpu" if request.target.arch == "x86_64" else "tensorflow"
        return (Python(requirements=(project + request.requirement,)),)
    pins = _CUDA_12_5 if request.release.version in _UNPINNED else ()
    return (Python(requirements=(f"tensorflow[and-cuda]{request.requirement}", *pins)), _DRIVER)


def _check(request: Request) -> str:
    return _CHECK.replace("WANTS_CUDA", str(request.target.device.cuda is not None))


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
            checked="2026-11-23",
        )
    ]
