"""What is known of CUDA's versions: cuDNN, sonames, NVIDIA's wheels, the packages of NVIDIA and of Debian.

Sources: `readelf` of the published wheels of MXNet, TensorFlow and PyTorch, and the file lists of NVIDIA's;
the pins in the metadata of PyTorch and TensorFlow; Debian's package lists; for versions before 11, which no
index has, NVIDIA's documentation of its packages. Checked 2026-11-24.
"""

from __future__ import annotations

STEMS = ("cudart", "cublas", "cufft", "curand", "cusolver", "cusparse", "nvrtc")

# CUDA, the cuDNN versions that frameworks want with it, and the version in the sonames: of all libraries,
# then of those that differ.
TABLE: tuple[tuple[str, tuple[str, ...], dict[str, str]], ...] = (
    ("13.2", ("9.26",), {"": "13", "cufft": "12", "curand": "10", "cusolver": "12", "cusparse": "12"}),
    (
        "13.0",
        ("9.24", "9.20", "9.19"),
        {"": "13", "cufft": "12", "curand": "10", "cusolver": "12", "cusparse": "12"},
    ),
    ("12.8", ("9.10",), {"": "12", "cufft": "11", "curand": "10", "cusolver": "11"}),
    ("12.6", ("9.5",), {"": "12", "cufft": "11", "curand": "10", "cusolver": "11"}),
    ("12.5", ("9.3",), {"": "12", "cufft": "11", "curand": "10", "cusolver": "11"}),
    ("12.4", ("9.1",), {"": "12", "cufft": "11", "curand": "10", "cusolver": "11"}),
    ("12.3", ("8.9",), {"": "12", "cufft": "11", "curand": "10", "cusolver": "11"}),
    ("12.2", ("8.9",), {"": "12", "cufft": "11", "curand": "10", "cusolver": "11"}),
    ("12.1", ("8.9",), {"": "12", "cufft": "11", "curand": "10", "cusolver": "11"}),
    ("11.8", ("8.7", "8.6"), {"": "11", "cudart": "11.0", "cufft": "10", "curand": "10", "nvrtc": "11.2"}),
    ("11.7", ("8.5",), {"": "11", "cudart": "11.0", "cufft": "10", "curand": "10", "nvrtc": "11.2"}),
    (
        "11.2",
        ("8.1", "8.5", "8"),
        {"": "11", "cudart": "11.0", "cufft": "10", "curand": "10", "nvrtc": "11.2"},
    ),
    (
        "11.0",
        ("8.0",),
        {"": "11", "cudart": "11.0", "cufft": "10", "curand": "10", "cusolver": "10", "nvrtc": "11.0"},
    ),
    ("10.2", ("7.6", "8.0"), {"": "10", "cudart": "10.2", "nvrtc": "10.2"}),
    ("10.1", ("7.6", "7.5"), {"": "10", "cudart": "10.1", "nvrtc": "10.1"}),
    ("10.0", ("7.4", "7.6", "7"), {"": "10.0"}),
    ("9.2", ("7",), {"": "9.2"}),
    ("9.1", ("7",), {"": "9.1"}),
    ("9.0", ("7", "7.4", "7.5"), {"": "9.0"}),
    ("8.0", ("6", "5.1", "7"), {"": "8.0"}),
)

# Wheels that hold together, as PyTorch and TensorFlow pin them: versions in the order of PROJECTS.
PROJECTS = ("cuda-runtime", "cuda-nvrtc", "cublas", "cufft", "curand", "cusolver", "cusparse", "nvjitlink",
            "nccl", "nvtx")  # fmt: skip
_WHEELS = {
    "11.7": "11.7.99 11.7.99 11.10.3.66 10.7.2.91 10.2.10.91 11.4.0.1 11.7.4.91 - 2.14.3 11.7.91",
    "11.8": "11.8.89 11.8.89 11.11.3.6 10.9.0.58 10.3.0.86 11.4.1.48 11.7.5.86 - 2.16.5 11.8.86",
    "12.1": "12.1.105 12.1.105 12.1.3.1 11.0.2.54 10.3.2.106 11.4.5.107 12.1.0.106 12.1.105 2.18.1 12.1.105",
    "12.2": "12.2.140 12.2.140 12.2.5.6 11.0.8.103 10.3.3.141 11.5.2.141 12.1.2.141 12.2.140 2.16.5 12.2.140",
    "12.3": "12.3.101 12.3.107 12.3.4.1 11.0.12.1 10.3.4.107 11.5.4.101 12.2.0.103 12.3.101 2.19.3 12.3.101",
    "12.4": "12.4.127 12.4.127 12.4.5.8 11.2.1.3 10.3.5.147 11.6.1.9 12.3.1.170 12.4.127 2.21.5 12.4.127",
    "12.5": "12.5.82 12.5.82 12.5.3.2 11.2.3.61 10.3.6.82 11.6.3.83 12.5.1.3 12.5.82 2.21.5 12.5.82",
    "12.6": "12.6.77 12.6.77 12.6.4.1 11.3.0.4 10.3.7.77 11.7.1.2 12.5.4.2 12.6.85 2.26.2 12.6.77",
    "12.8": "12.8.90 12.8.93 12.8.4.1 11.3.3.83 10.3.9.90 11.7.3.90 12.5.8.93 12.8.93 2.27.3 12.8.90",
    "13.0": "13.0.96 13.0.88 13.1.0.3 12.0.0.61 10.4.0.35 12.0.4.66 12.6.3.3 13.0.88 2.28.9 13.0.85",
}
# 11.0 and 11.2 have no wheels of their own. Those of 11.7 have the sonames of 11.2, and a major version's
# libraries stay compatible: mxnet-cu112 was run on them. 11.0's cusolver has another.
_STANDS_IN = {"11.2": "11.7"}
CUDNN = {"8": "8.5.0.96", "8.1": "8.5.0.96", "8.5": "8.5.0.96", "8.6": "8.6.0.163", "8.7": "8.7.0.84",
         "8.9": "8.9.7.29", "9.1": "9.1.0.70", "9.3": "9.3.0.75", "9.5": "9.5.1.17", "9.10": "9.10.2.21",
         "9.19": "9.19.0.56", "9.20": "9.20.0.48", "9.24": "9.24.0.43"}  # fmt: skip

# Debian's toolkits: which of its releases has each, in non-free. It packages no cuDNN.
DEBIAN = {"11.2": "bullseye", "11.8": "bookworm", "12.4": "trixie"}


def sonames(cuda: str, cudnn: str | None) -> tuple[str, ...]:
    """Return the libraries that make up the runtime of `cuda`, with cuDNN's when one is wanted."""
    versions = next(versions for one, _, versions in TABLE if one == cuda)
    found = [f"lib{stem}.so.{versions.get(stem, versions[''])}" for stem in STEMS]
    return (*found, *((f"libcudnn.so.{cudnn.partition('.')[0]}",) if cudnn else ()))


def wheels(cuda: str) -> dict[str, str]:
    """Return the pins of NVIDIA's wheels for `cuda`, each with the directory of `nvidia/` that it fills."""
    of = _STANDS_IN.get(cuda, cuda)
    if of not in _WHEELS:
        return {}
    major = of.partition(".")[0]
    pins = {}
    for project, version in zip(PROJECTS, _WHEELS[of].split(), strict=True):
        if version == "-":
            continue
        # From 13 on the toolkit's own wheels have no suffix, and one directory; what is released apart has.
        merged = major == "13" and project != "nccl"
        directory = "cu13" if merged else project.replace("-", "_")
        requirement = f"nvidia-{project}{'' if merged else f'-cu{major}'}=={version}"
        pins[requirement] = directory
    return pins


def cudnn_wheel(cuda: str, cudnn: str) -> str | None:
    """Return the pin of NVIDIA's wheel of `cudnn` for `cuda`, None where there is none."""
    return f"nvidia-cudnn-cu{cuda.partition('.')[0]}=={CUDNN[cudnn]}" if cudnn in CUDNN else None


def nvidia_packages(cuda: str, cudnn: str | None) -> tuple[str, ...]:
    """Return what NVIDIA's APT repositories call the runtime: the names changed with 10.1 and with 11.0."""
    major, minor = (int(part) for part in cuda.split("."))
    end = cuda.replace(".", "-")
    if major >= 11:
        own = {"cudart", "nvrtc"}
        names = [f"{'cuda-' if stem in own else 'lib'}{stem}-{end}" for stem in STEMS]
    elif (major, minor) >= (10, 1):
        names = [*(f"cuda-{stem}-{end}" for stem in STEMS if stem != "cublas"), "libcublas10"]
    else:
        names = [f"cuda-{stem}-{end}" for stem in STEMS]
    if cudnn:
        exact = f"{cudnn}.*" if "." in cudnn else "*"
        names.append(f"libcudnn{cudnn.partition('.')[0]}={exact}+cuda{cuda}")
    return tuple(names)


def debian_packages(cuda: str) -> tuple[str, ...]:
    """Return what Debian calls the runtime: after the sonames, as its policy has it (8.1)."""
    names = (soname.partition(".so.") for soname in sonames(cuda, None))
    return (*(f"{stem}{version}" for stem, _, version in names), "libnvtoolsext1")
