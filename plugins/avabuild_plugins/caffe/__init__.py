"""Caffe: compiled from the last source package that Debian had, for the CPU, into the image's environment.

Debian's own python3-caffe is for the system's Python 3.9 alone, and no index has wheels for later Pythons.
"""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import Field

from avabuild.api import (
    Apt,
    Compile,
    Framework,
    Options,
    Python,
    Release,
    Request,
    hookimpl,
)
from avabuild_plugins.caffe.check import CHECK
from avabuild_plugins.caffe.script import BOOST, CAFFE, NUMPY_27, shell


class CaffeOptions(Options):
    """What a recipe may say of caffe."""

    opencv: bool = Field(
        default=False,
        description="compile with OpenCV, for the layers ImageData and WindowData; "
        "its libraries are some 250 MB of packages",
    )


_BUILD = (
    "cmake", "g++", "libboost-dev", "libboost-filesystem-dev", "libboost-system-dev", "libboost-thread-dev",
    "libgflags-dev", "libgoogle-glog-dev", "libhdf5-dev", "libleveldb-dev", "liblmdb-dev",
    "libopenblas-dev", "libprotobuf-dev", "libsnappy-dev", "make", "patch", "protobuf-compiler", "xz-utils",
)  # fmt: skip
_RUNTIME = ("libgflags2.2", "libleveldb1d", "liblmdb0", "libopenblas0-pthread")


@dataclass(frozen=True, slots=True)
class _Debian:
    """What a release of Debian calls the libraries that Caffe needs, and its protobuf's Python side."""

    libraries: tuple[str, ...]
    boost: str
    opencv: tuple[str, ...]
    protobuf: str


_DEBIANS = {
    "bullseye": _Debian(
        libraries=("libgoogle-glog0v5", "libhdf5-103-1", "libhdf5-hl-100", "libprotobuf23"),
        boost="1.74.0",
        opencv=("libopencv-imgcodecs4.5", "libopencv-imgproc4.5"),
        protobuf="protobuf<3.21",  # what its protoc 3.12 generates is refused by later ones
    ),
    "bookworm": _Debian(
        libraries=("libgoogle-glog0v6", "libhdf5-103-1", "libhdf5-hl-100", "libprotobuf32"),
        boost="1.74.0",
        opencv=("libopencv-imgcodecs406", "libopencv-imgproc406"),
        protobuf="protobuf>=3.20",
    ),
    "trixie": _Debian(
        libraries=("libgoogle-glog0v6t64", "libhdf5-310", "libhdf5-hl-310", "libprotobuf32t64"),
        boost="1.83.0",
        opencv=("libopencv-imgcodecs410", "libopencv-imgproc410"),
        protobuf="protobuf>=3.20",
    ),
}
# What is compiled against these headers runs with any numpy from 1.19 on (2.7: from 1.16).
_NUMPY = {"3.9": "numpy==2.0.2", "3.11": "numpy==2.2.6", "3.13": "numpy==2.2.6"}


def _layers(request: Request) -> tuple[Apt | Python | Compile, ...]:
    python, debian = request.target.python or "", _DEBIANS[request.target.distribution]
    old, opencv = python == "2.7", request.options.opencv
    boost = [
        f"libboost-{part}{debian.boost}" for part in ("filesystem", "thread", *([] if old else ["python"]))
    ]
    headers = ("python2.7-dev",) if old else ("libboost-python-dev", "python3-dev")
    protobuf = "protobuf==3.17.3" if old else debian.protobuf
    libraries = (*_RUNTIME, *debian.libraries, *boost, f"libpython{python}")
    return (
        Compile(
            name="caffe",
            shell=shell(python, opencv=opencv),
            packages=(*_BUILD, *headers, *(("libopencv-dev",) if opencv else ())),
            requirements=() if old else (_NUMPY[python],),
            sources=(CAFFE, BOOST, NUMPY_27) if old else (CAFFE,),
        ),
        Apt(packages=(*libraries, *(debian.opencv if opencv else ()))),
        Python(requirements=("numpy", "pillow", "scikit-image", "six", protobuf)),
    )


def _check(request: Request) -> str:
    return CHECK.replace("@OPENCV@", str(request.options.opencv))


_RELEASES = (
    Release(
        version="1.0",
        pythons=("2.7", "3.9", "3.11", "3.13"),
        distributions=("bullseye", "bookworm", "trixie"),
        note="compiled from Debian's 1.0.0+git20180821.99bd997-8, which takes some minutes, once",
    ),
)


@hookimpl
def avabuild_frameworks() -> list[Framework]:
    """Declare caffe."""
    return [
        Framework(
            name="caffe",
            summary="Caffe for the CPU, compiled from Debian's last source package",
            releases=_RELEASES,
            layers=_layers,
            check=_check,
            options=CaffeOptions,
            source="compiled and run on bullseye, bookworm and trixie; the packages of these releases",
            checked="2026-11-24",
        )
    ]
