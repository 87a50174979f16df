"""MXNet: the build for the target's device, and never the release of 2017 that a resolver falls back to."""

from __future__ import annotations

from typing import NamedTuple

from avabuild.api import Env, Framework, Options, Python, Release, Request, hookimpl


class _Row(NamedTuple):
    series: str
    pythons: tuple[str, ...]
    cuda: tuple[str, ...]
    numpy: str
    note: str = ""


_OLD = ("3.6", "3.5", "2.7")
_PY3 = ("3.8", "3.7", "3.6", "3.5")
_DROPPED = "imports on Python 3 only, although its wheels say otherwise"
_STATIC = "cuDNN is inside"

# numpy: what the metadata asks for, and below 1.24 because the code says numpy.bool. CUDA of the published
# mxnet-cuXX projects; only those of 11.2 have their libraries on the index, as wheels of NVIDIA's.
_TABLE = (
    _Row("1.9", tuple(f"3.{n}" for n in range(11, 5, -1)),
         ("10.0", "10.1", "10.2", "11.0", "11.2-cudnn8", "11.3-cudnn8"), "<1.24"),
    _Row("1.8", _PY3, ("10.0", "10.1", "10.2", "11.0", "11.2-cudnn8"), ">1.16.0,<1.24", _DROPPED),
    _Row("1.7", _PY3, ("9.2", "10.0", "10.1", "10.2"), ">1.16.0,<1.24", _DROPPED),
    _Row("1.6", ("3.7", *_OLD), ("9.0", "9.2", "10.0", "10.1", "10.2"), ">1.16.0,<1.24", _STATIC),
    _Row("1.5", ("3.7", *_OLD), ("8.0", "9.0", "9.2", "10.0", "10.1"), ">1.16.0,<1.24", _STATIC),
    _Row("1.4", _OLD, ("8.0", "9.0", "9.2", "10.0", "10.1"), ">=1.8.2,<1.15", _STATIC),
    _Row("1.3", _OLD, ("8.0", "9.0", "9.2", "10.0"), ">=1.8.2,<1.15", _STATIC),
    _Row("1.2", _OLD, ("8.0", "9.0", "9.1", "9.2"), ">=1.8.2,<=1.15.2", _STATIC),
)  # fmt: skip
_RELEASES = tuple(
    Release(
        version=row.series,
        pythons=row.pythons,
        devices=("cpu", *(f"cuda{cuda}" for cuda in row.cuda)),
        note=row.note,
        constraints=(f"numpy{row.numpy}",),
        apt=("libgomp1", "libquadmath0") if row.series >= "1.7" else ("libgomp1",),
    )
    for row in _TABLE
)

# What mxnet-cu112 1.9.1 links to (readelf), as wheels that were loaded together.
_CUDA_11 = (
    "nvidia-cublas-cu11==11.10.3.66",
    "nvidia-cuda-nvrtc-cu11==11.7.99",
    "nvidia-cuda-runtime-cu11==11.7.99",
    "nvidia-cudnn-cu11==8.5.0.96",
    "nvidia-cufft-cu11==10.7.2.91",
    "nvidia-curand-cu11==10.2.10.91",
    "nvidia-cusolver-cu11==11.4.0.1",
    "nvidia-cusparse-cu11==11.7.4.91",
    "nvidia-nccl-cu11==2.14.3",
    "nvidia-nvtx-cu11==11.7.91",
)
_DIRECTORIES = ("cublas", "cuda_nvrtc", "cuda_runtime", "cudnn", "cufft", "curand", "cusolver", "cusparse",
                "nccl", "nvtx")  # fmt: skip

_CHECK = """\
from __future__ import print_function
import mxnet as mx
from mxnet import autograd, gluon, nd

try:
    gpus = mx.context.num_gpus()
except (AttributeError, mx.base.MXNetError):
    gpus = 0
context = mx.gpu() if gpus else mx.cpu()
weights = nd.array([[1.0], [2.0]], ctx=context)
weights.attach_grad()
with autograd.record():
    loss = (nd.dot(nd.array([[3.0, 4.0]], ctx=context), weights) ** 2).sum()
loss.backward()
assert loss.asscalar() == 121.0, loss
assert weights.grad.asnumpy().tolist() == [[66.0], [88.0]], weights.grad
mx.random.seed(0)
x = nd.random.normal(shape=(64, 4), ctx=context)
y = x.sum(axis=1, keepdims=True)
net = gluon.nn.Dense(1)
net.initialize(ctx=context)
trainer = gluon.Trainer(net.collect_params(), "sgd", {"learning_rate": 0.1})
losses = []
for _ in range(10):
    with autograd.record():
        loss = gluon.loss.L2Loss()(net(x), y)
    loss.backward()
    trainer.step(64)
    losses.append(loss.mean().asscalar())
assert losses[-1] < losses[0] / 2, losses
if WANTS_CUDA and hasattr(mx, "runtime"):
    assert mx.runtime.Features().is_enabled("CUDA"), "this build has no CUDA"
where = "on GPU 0" if gpus else "on the CPU" + (": no GPU here" if WANTS_CUDA else "")
print("mxnet", mx.__version__, "computed", where, "loss %.3f -> %.3f" % (losses[0], losses[-1]))
"""


def _layers(request: Request) -> tuple[Python | Env, ...]:
    cuda = request.target.device.cuda
    project = f"mxnet-cu{cuda.replace('.', '')}" if cuda else "mxnet"
    # Every project has post releases too, which == with a star takes in.
    packages = [project + request.requirement]
    variables: list[tuple[str, str]] = []
    places: tuple[str, ...] = ()
    if cuda == "11.2":
        packages += _CUDA_11
        places = tuple(f"{request.site_packages}/nvidia/{name}/lib" for name in _DIRECTORIES)
    if cuda:
        variables += [("NVIDIA_VISIBLE_DEVICES", "all"), ("NVIDIA_DRIVER_CAPABILITIES", "compute,utility")]
    if tuple(map(int, request.target.glibc.split("."))) >= (2, 41):
        # From here on the loader refuses libraries that ask for an executable stack, as libmxnet.so does.
        variables.append(("GLIBC_TUNABLES", "glibc.rtld.execstack=2"))
    own = [Env(variables=tuple(variables), library_path=places)] if variables else []
    return (Python(requirements=tuple(packages)), *own)


def _check(request: Request) -> str:
    return _CHECK.replace("WANTS_CUDA", str(request.target.device.cuda is not None))


@hookimpl
def avabuild_frameworks() -> list[Framework]:
    """Declare mxnet."""
    return [
        Framework(
            name="mxnet",
            summary="Apache MXNet, for CPU or CUDA",
            releases=_RELEASES,
            layers=_layers,
            check=_check,
            options=Options,
            source="names, metadata and needed libraries (readelf) of the published x86_64 wheels",
            checked="2026-11-23",
        )
    ]
