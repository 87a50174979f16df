"""NVIDIA's libraries by soname: which are the driver's, which are of CUDA, and how a recipe gives those."""

from __future__ import annotations

import re

# What the driver brings: it is the host's, and a container gets it when it starts.
_DRIVER = re.compile(
    r"lib(cuda|cudadebugger|nvcuvid|nvoptix|nvidia-[\w-]+|(GLX|EGL|GLESv1_CM|GLESv2)_nvidia)\.so(\.[\d.]+)?"
)
_CUDA = re.compile(
    r"lib(?P<stem>cudart|cublas|cublasLt|nvblas|cufft|cufftw|curand|cusolver|cusolverMg|cusparse|cusparseLt|nvrtc|"
    r"nvrtc-builtins|nvToolsExt|nvJitLink|cupti|cudnn\w*|nccl|npp\w+|nvjpeg|cutensor)"
    r"(?P<packed>-[0-9a-f]{8})?\.so(\.(?P<version>[\d.]+))?"
)


def is_driver(soname: str) -> bool:
    """Whether the host's driver brings `soname`, so that no image has it."""
    return _DRIVER.fullmatch(soname) is not None


def is_cuda(soname: str) -> bool:
    """Whether `soname` is a library of the CUDA toolkit, of cuDNN or of NCCL."""
    return _CUDA.fullmatch(soname) is not None


def plain(soname: str) -> str:
    """Return the name before a wheel's tools made it unique: `libcudart-1b201d85.so.10.1`."""
    found = _CUDA.fullmatch(soname)
    return soname.replace(found["packed"], "", 1) if found and found["packed"] else soname


def cuda_version(sonames: tuple[str, ...]) -> str:
    """Return the CUDA that libraries are of: `9.0`, `12`; empty when their names don't tell."""
    found = {m["stem"]: m["version"] or "" for name in sonames if (m := _CUDA.fullmatch(name))}
    for stem in ("cudart", "cublas", "cusparse", "cufft", "curand", "cusolver"):
        if version := found.get(stem):
            return version
    return ""


def advice(sonames: tuple[str, ...]) -> str:
    """Say how a recipe gives CUDA's libraries: a line to paste for each way."""
    version = cuda_version(sonames)
    return (
        (f"CUDA {version} is wanted" if version else "CUDA's libraries are wanted")
        + "; give them under [frameworks] in one of these ways (docs/cuda.md):\n"
        + "\n".join(WAYS)
    )


WAYS = (
    '    cuda = { runtime = "wheels" }     # CUDA 11 and later',
    '    cuda = { runtime = "debian" }     # what the Debian release has: 11.2, 11.8 or 12.4',
    '    cuda = { directory = "/usr/local/cuda/lib64" }     # an installed toolkit of this machine',
    '    cuda = { uri = "https://...", key = "nvidia.asc" }     # NVIDIA\'s APT repository, or a mirror',
    '    cuda = { runtime = "base" }     # and base = { image = "..." }, one that has CUDA',
)
