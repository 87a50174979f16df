"""Agreement: whether the packages that were resolved are for the device that the image is said to be for."""

from __future__ import annotations

import re
from collections.abc import Sequence

from packaging.version import Version

from avabuild.plugins.target import Device
from avabuild.resolve.lock import Package

# NVIDIA's own libraries as wheels; those of CUDA 13 have no number in their names.
_LIBRARIES = re.compile(
    r"nvidia-(cublas|cuda|cudnn|cufft|cufile|curand|cusolver|cusparse|cusparselt|nccl|npp|nvfatbin|nvimgcodec"
    r"|nvjitlink|nvjpeg|nvrtc|nvshmem|nvtx)[a-z-]*(-cu\d+)?|cuda-toolkit"
)
_RUNTIME = re.compile(r"nvidia-cuda-runtime(-cu\d+)?")
_BUILD = re.compile(r"(?:^|[-.])cu(?:da)?(\d{1,3})x?$")


def disagreement(device: Device, packages: Sequence[Package]) -> str:
    """Say that packages bring another CUDA than the device has, and how much of it; empty when they agree.

    A driver runs what was made for its own CUDA or an older one of the same major version. Within that a
    framework's table may have chosen otherwise.
    """
    brought = [package for package in packages if _cuda(package) or _LIBRARIES.fullmatch(package.name)]
    wrong = [cuda for package in brought if (cuda := _cuda(package)) and not _fits(package, cuda, device)]
    if not brought or (device.cuda and not wrong):
        return ""
    version = ".".join(map(str, max(wrong, default=())))
    size = sum(package.size for package in brought)
    heaviest = sorted(brought, key=lambda package: -package.size)[:3]
    names = ", ".join(f"{package.name} {package.version}" for package in heaviest)
    more = f" and {len(brought) - len(heaviest)} more" if len(brought) > len(heaviest) else ""
    return (
        f"the device is {device}, and packages bring CUDA{version and f' {version}'}: "
        f"{size / 1e6:.0f} MB of {names}{more}; {_way_out(device, packages)}"
    )


def _way_out(device: Device, packages: Sequence[Package]) -> str:
    if device.cuda:
        return "name that CUDA in matrix.device, or ask for versions that were made for the device"
    if any(package.name == "torch" for package in packages):
        return (
            "ask for pytorch in [frameworks], which takes the build for the CPU, or name a device with CUDA"
        )
    return "ask for builds for the CPU, or name a device with CUDA in matrix.device"


def _cuda(package: Package) -> tuple[int, ...]:
    """Return the CUDA that a package is for, as far as it tells: by its name, or the version's local part."""
    version = Version(package.version) if package.version else None
    if _RUNTIME.fullmatch(package.name) and version:
        return version.release[:2]
    for text in (package.name, version.local or "" if version else ""):
        if named := _BUILD.search(text):
            return _digits(named[1])
    return ()


def _digits(text: str) -> tuple[int, ...]:
    """Read CUDA's version without its dot: `90` is 9.0, `12` all of 12, `121` is 12.1."""
    if len(text) == 1 or (len(text) == 2 and int(text) < 20):
        return (int(text),)
    return int(text[:-1]), int(text[-1])


def _fits(package: Package, made_for: tuple[int, ...], device: Device) -> bool:
    """Whether a package made for a CUDA goes with the device."""
    if device.cuda is None:
        return False
    has = tuple(map(int, device.cuda.split(".")))
    return made_for[0] == has[0] and (bool(package.by) or len(has) == 1 or made_for[1:2] <= has[1:2])
