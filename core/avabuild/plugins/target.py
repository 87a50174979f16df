"""Target: one point of a recipe's matrix, and the device it is for."""

from __future__ import annotations

import re

from avabuild.common.value import Value

CLASSIC_PYTHONS = ("2.7", "3.5")
"""Pythons older than uv knows, whose packages are resolved by pip 20.3.4, the last that runs on them."""

_DEVICE = re.compile(r"cpu|cuda(?P<cuda>\d+(?:\.\d+)?)(?:-cudnn(?P<cudnn>\d+(?:\.\d+)?))?")


class Device(Value):
    """What the image computes on: the CPU, or CUDA in a version with or without a cuDNN version."""

    cuda: str | None = None
    cudnn: str | None = None

    @classmethod
    def parse(cls, text: str) -> Device:
        """Read `cpu`, `cuda12.5` or `cuda9.0-cudnn7`; raise ValueError for anything else."""
        found = _DEVICE.fullmatch(text)
        if not found:
            raise ValueError(f'"{text}" is no device; write cpu, cuda12.5 or cuda9.0-cudnn7')
        return cls(cuda=found["cuda"], cudnn=found["cudnn"])

    def __str__(self) -> str:
        if self.cuda is None:
            return "cpu"
        return f"cuda{self.cuda}" + (f"-cudnn{self.cudnn}" if self.cudnn else "")

    @property
    def tag(self) -> str:
        """The form used in image tags, without dots: `cuda80-cudnn6`."""
        return str(self).replace(".", "")


class Target(Value):
    """What an image is built for.

    Attributes:
        distribution: a Debian-like code name (`bookworm`), or `scratch` or `unknown`.
        arch: the machine as `uname -m` names it (`x86_64`).
        python: `MAJOR.MINOR` of the image's interpreter, or None for an image without Python.
        device: cpu or CUDA.
        glibc: `MAJOR.MINOR` of the base's C library: the newest manylinux policy that fits.
    """

    distribution: str
    arch: str
    python: str | None
    device: Device
    glibc: str

    @classmethod
    def for_base(cls, arch: str) -> Target:
        """Return the target of a base alone, about which nothing but `arch` is known yet."""
        return cls(distribution="unknown", arch=arch, python=None, device=Device(), glibc="2.17")

    @property
    def is_classic(self) -> bool:
        """Whether its packages are resolved and built by the Python's own pip."""
        return self.python in CLASSIC_PYTHONS

    @property
    def has_venv(self) -> bool:
        """Whether its packages stand in a virtual environment, which Python 2.7 does not know."""
        return self.python not in {None, "2.7"}

    @property
    def tag(self) -> str:
        """The default image tag: `py311-cpu`, `py27-cuda80-cudnn6`, or the device alone without Python."""
        return f"py{self.python.replace('.', '')}-{self.device.tag}" if self.python else self.device.tag

    @property
    def oci_arch(self) -> str:
        """The architecture as the OCI image config names it (GOARCH)."""
        return {"x86_64": "amd64", "aarch64": "arm64"}.get(self.arch, self.arch)
