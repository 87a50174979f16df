"""CUDA: the runtime libraries of a CUDA version, from wherever a site has them.

The driver is never among them: it is the host's, and a container gets it when it starts.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator, model_validator

from avabuild.api import (
    Apt,
    Env,
    File,
    Files,
    Framework,
    Libraries,
    Options,
    Python,
    Release,
    Repository,
    Request,
    driver_minimum,
    hookimpl,
)

Runtime = Literal["auto", "base", "directory", "repository", "debian", "wheels"]

# NVIDIA's key of its APT repositories since April 2022, as it publishes it.
_FINGERPRINT = "EB693B3035CD5710E231E123A4B469963BF863CC"
_PYTHONS = ("2.7", *(f"3.{minor}" for minor in range(5, 16)))
_HOME = "/usr/local/cuda/lib64"
_DRIVER = (("NVIDIA_VISIBLE_DEVICES", "all"), ("NVIDIA_DRIVER_CAPABILITIES", "compute,utility"))

# CUDA, the cuDNN versions that frameworks want with it, and sonames' versions: of cudart, of cublas and the
# rest of the toolkit, of cufft, curand and cusolver where they differ, of nvrtc.
_TABLE: tuple[tuple[str, tuple[str, ...], dict[str, str]], ...] = (
    ("13.2", ("9.26",), {"": "13", "cufft": "12", "curand": "10", "cusolver": "12", "cusparse": "12"}),
    ("13.0", ("9.24", "9.20", "9.19"), {"": "13", "cufft": "12", "curand": "10", "cusolver": "12", "cusparse": "12"}),
    ("12.8", ("9.10",), {"": "12", "cufft": "11", "curand": "10", "cusolver": "11"}),
    ("12.6", ("9.5",), {"": "12", "cufft": "11", "curand": "10", "cusolver": "11"}),
    ("12.5", ("9.3",), {"": "12", "cufft": "11", "curand": "10", "cusolver": "11"}),
    ("12.4", ("9.1",), {"": "12", "cufft": "11", "curand": "10", "cusolver": "11"}),
    ("12.3", ("8.9",), {"": "12", "cufft": "11", "curand": "10", "cusolver": "11"}),
    ("12.2", ("8.9",), {"": "12", "cufft": "11", "curand": "10", "cusolver": "11"}),
    ("12.1", ("8.9",), {"": "12", "cufft": "11", "curand": "10", "cusolver": "11"}),
    ("11.8", ("8.7", "8.6"), {"": "11", "cudart": "11.0", "cufft": "10", "curand": "10", "nvrtc": "11.2"}),
    ("11.7", ("8.5",), {"": "11", "cudart": "11.0", "cufft": "10", "curand": "10", "nvrtc": "11.2"}),
    ("11.2", ("8.1", "8.5", "8"), {"": "11", "cudart": "11.0", "cufft": "10", "curand": "10", "nvrtc": "11.2"}),
    ("11.0", ("8.0",), {"": "11", "cudart": "11.0", "cufft": "10", "curand": "10", "cusolver": "10", "nvrtc": "11.0"}),
    ("10.2", ("7.6", "8.0"), {"": "10", "cudart": "10.2", "nvrtc": "10.2"}),
    ("10.1", ("7.6", "7.5"), {"": "10", "cudart": "10.1", "nvrtc": "10.1"}),
    ("10.0", ("7.4", "7.6", "7"), {"": "10.0"}),
    ("9.2", ("7",), {"": "9.2"}),
    ("9.1", ("7",), {"": "9.1"}),
    ("9.0", ("7", "7.4", "7.5"), {"": "9.0"}),
    ("8.0", ("6", "5.1", "7"), {"": "8.0"}),
)  # fmt: skip
_STEMS = ("cudart", "cublas", "cufft", "curand", "cusolver", "cusparse", "nvrtc")
# What a toolkit's directory gives: no static archives, no stubs, none of the libraries for images and codecs.
_TAKEN = (
    *(f"lib{stem}.so.*" for stem in (*_STEMS, "cublasLt", "cufftw", "cusolverMg", "nvrtc-builtins")),
    *(f"lib{stem}.so.*" for stem in ("nvToolsExt", "nvJitLink", "cupti", "nccl")),
    "libcudnn*.so.*",
)

# The last releases that hold together, as PyTorch and TensorFlow pin them for the CUDA version.
# CUDA, project suffix, then versions: runtime nvrtc cublas cufft curand cusolver cusparse nvjitlink nccl nvtx.
_PROJECTS = ("cuda-runtime", "cuda-nvrtc", "cublas", "cufft", "curand", "cusolver", "cusparse", "nvjitlink",
             "nccl", "nvtx")  # fmt: skip
_WHEELS = {
    "11.7": "cu11 11.7.99 11.7.99 11.10.3.66 10.7.2.91 10.2.10.91 11.4.0.1 11.7.4.91 - 2.14.3 11.7.91",
    "11.8": "cu11 11.8.89 11.8.89 11.11.3.6 10.9.0.58 10.3.0.86 11.4.1.48 11.7.5.86 - 2.16.5 11.8.86",
    "12.1": "cu12 12.1.105 12.1.105 12.1.3.1 11.0.2.54 10.3.2.106 11.4.5.107 12.1.0.106 12.1.105 2.18.1 12.1.105",
    "12.2": "cu12 12.2.140 12.2.140 12.2.5.6 11.0.8.103 10.3.3.141 11.5.2.141 12.1.2.141 12.2.140 2.16.5 12.2.140",
    "12.3": "cu12 12.3.101 12.3.107 12.3.4.1 11.0.12.1 10.3.4.107 11.5.4.101 12.2.0.103 12.3.101 2.19.3 12.3.101",
    "12.4": "cu12 12.4.127 12.4.127 12.4.5.8 11.2.1.3 10.3.5.147 11.6.1.9 12.3.1.170 12.4.127 2.21.5 12.4.127",
    "12.5": "cu12 12.5.82 12.5.82 12.5.3.2 11.2.3.61 10.3.6.82 11.6.3.83 12.5.1.3 12.5.82 2.21.5 12.5.82",
    "12.6": "cu12 12.6.77 12.6.77 12.6.4.1 11.3.0.4 10.3.7.77 11.7.1.2 12.5.4.2 12.6.85 2.26.2 12.6.77",
    "12.8": "cu12 12.8.90 12.8.93 12.8.4.1 11.3.3.83 10.3.9.90 11.7.3.90 12.5.8.93 12.8.93 2.27.3 12.8.90",
    "13.0": "cu13 13.0.96 13.0.88 13.1.0.3 12.0.0.61 10.4.0.35 12.0.4.66 12.6.3.3 13.0.88 2.28.9 13.0.85",
}  # fmt: skip
# 11.0 and 11.2 have no wheels of their own: those of 11.7 have the same sonames, and NVIDIA keeps a major
# version's libraries compatible (mxnet-cu112 was run on them).
_STANDS_IN = {"11.0": "11.7", "11.2": "11.7"}
_CUDNN = {"8.0": "8.5.0.96", "8.1": "8.5.0.96", "8": "8.5.0.96", "8.5": "8.5.0.96", "8.6": "8.6.0.163",
          "8.7": "8.7.0.84", "8.9": "8.9.7.29", "9.1": "9.1.0.70", "9.3": "9.3.0.75", "9.5": "9.5.1.17",
          "9.10": "9.10.2.21", "9.19": "9.19.0.56", "9.20": "9.20.0.48", "9.24": "9.24.0.43"}  # fmt: skip
_DIRECTORIES = {"cuda-runtime": "cuda_runtime", "cuda-nvrtc": "cuda_nvrtc"}

# Debian's toolkits: the release that has each, and its runtime packages (non-free; it packages no cuDNN).
_DEBIAN = {"11.2": "bullseye", "11.8": "bookworm", "12.4": "trixie"}


class CudaOptions(Options):
    """What a recipe may say of cuda; the CUDA version is the target's device."""

    runtime: Runtime = Field(
        default="auto",
        description="Where the runtime comes from: base (it has it), directory, repository, debian (its own "
        "toolkit, non-free), wheels (NVIDIA's); auto takes what is named here, else wheels, debian or base",
    )
    directory: tuple[str, ...] = Field(
        default=(),
        description="Directories of this host with an installed toolkit's libraries, and with cuDNN's",
    )
    uri: tuple[str, ...] = Field(
        default=(), description="Addresses of NVIDIA's APT repositories, or of mirrors: of CUDA, and of cuDNN"
    )
    suite: str = Field(default="/", description="Suite in them; NVIDIA's are flat: /")
    components: tuple[str, ...] = Field(default=(), description="Components in them; NVIDIA's have none")
    key: str = Field(default="", description="File of the public key that signs them")
    fingerprint: str = Field(
        default=_FINGERPRINT, description="Fingerprint that the key must have; by default NVIDIA's"
    )

    @field_validator("directory", "uri", "components", mode="before")
    @classmethod
    def _one_or_many(cls, value: object) -> object:
        return (value,) if isinstance(value, str) else value

    @field_validator("directory")
    @classmethod
    def _absolute(cls, paths: tuple[str, ...]) -> tuple[str, ...]:
        for path in paths:
            if not path.startswith("/"):
                raise ValueError(f'"{path}" must be an absolute path of this host')
        return paths

    @model_validator(mode="after")
    def _fits(self) -> CudaOptions:
        needs = {"directory": self.directory, "repository": self.uri}
        for runtime, given in needs.items():
            if self.runtime == runtime and not given:
                raise ValueError(f'runtime = "{runtime}" needs {"directory" if runtime == "directory" else "uri"}')
            if given and self.runtime not in {"auto", runtime}:
                raise ValueError(f'runtime = "{self.runtime}" excludes what only "{runtime}" uses')
        if self.directory and self.uri:
            raise ValueError("directory and uri exclude each other")
        if bool(self.uri) != bool(self.key):
            raise ValueError("uri and key need each other: a repository is used with the key that signs it")
        return self


def _release(cuda: str, cudnn: tuple[str, ...]) -> Release:
    devices = (f"cuda{cuda}", *(f"cuda{cuda}-cudnn{one}" for one in cudnn))
    ways = ["wheels" if _wheels_of(cuda) else "", f"debian on {_DEBIAN[cuda]}" if cuda in _DEBIAN else ""]
    ways += ["base", "directory", "repository"]
    note = f"driver {driver_minimum(cuda)} or later; from {', '.join(way for way in ways if way)}"
    return Release(version=cuda, pythons=_PYTHONS, devices=devices, note=note)


def _wheels_of(cuda: str) -> str:
    return _WHEELS.get(_STANDS_IN.get(cuda, cuda), "")


_RELEASES = (
    *(_release(cuda, cudnn) for cuda, cudnn, _ in _TABLE),
    Release(version="0", pythons=_PYTHONS, devices=("cpu",), note="nothing: an image for the CPU"),
)


def _cudnn(request: Request) -> str | None:
    """Return the cuDNN version of the target: the one it names, else none."""
    cudnn: str | None = request.target.device.cudnn
    return cudnn


def sonames(cuda: str, cudnn: str | None) -> tuple[str, ...]:
    """Return the libraries that make up the runtime of `cuda`, with cuDNN's when one is wanted."""
    versions = next(versions for one, _, versions in _TABLE if one == cuda)
    found = [f"lib{stem}.so.{versions.get(stem, versions[''])}" for stem in _STEMS]
    return (*found, *((f"libcudnn.so.{cudnn.partition('.')[0]}",) if cudnn else ()))


def runtime_of(request: Request) -> str:
    """Return where the runtime comes from: what the recipe says, else the first of the table's ways."""
    options, cuda = request.options, request.release.version
    if options.runtime != "auto":
        return str(options.runtime)
    if options.directory:
        return "directory"
    if options.uri:
        return "repository"
    if _wheels_of(cuda) and _has_wheel(cuda, _cudnn(request)):
        return "wheels"
    return "debian" if _DEBIAN.get(cuda) == request.target.distribution else "base"


def _has_wheel(cuda: str, cudnn: str | None) -> bool:
    return cudnn is None or cudnn in _CUDNN


def _layers(request: Request) -> tuple[Apt | Env | Files | Libraries | Python, ...]:
    if request.target.device.cuda is None:
        return ()
    cuda, cudnn = request.release.version, _cudnn(request)
    runtime = runtime_of(request)
    made = {
        "base": lambda: (),
        "directory": lambda: _from_directory(request),
        "repository": lambda: _from_repository(request),
        "debian": lambda: _from_debian(request),
        "wheels": lambda: _from_wheels(request),
    }[runtime]()
    where: Literal["base", "host", "image"] = "image"
    if runtime in {"base", "directory"}:
        where = "base" if runtime == "base" else "host"
    wanted = Libraries(sonames=sonames(cuda, cudnn), where=where, hint=_hint(cuda, request.target.distribution))
    return (*made, wanted, Env(variables=_DRIVER))


def _from_directory(request: Request) -> tuple[Files | Env, ...]:
    files = tuple(File(source=path, target=f"{_HOME}/", only=_TAKEN) for path in request.options.directory)
    return Files(files=files), Env(library_path=(_HOME,))


def _from_repository(request: Request) -> tuple[Apt | Env, ...]:
    options, cuda, cudnn = request.options, request.release.version, _cudnn(request)
    repositories = tuple(
        Repository(
            name=f"cuda-{number}" if number else "cuda",
            uri=uri,
            suite=options.suite,
            components=options.components,
            key=options.key,
            fingerprint=options.fingerprint.replace(" ", "").upper(),
        )
        for number, uri in enumerate(options.uri)
    )
    packages = list(_packages(cuda))
    if cudnn:
        exact = f"{cudnn}.*" if "." in cudnn else "*"
        packages.append(f"libcudnn{cudnn.partition('.')[0]}={exact}+cuda{cuda}")
    directories = (f"/usr/local/cuda-{cuda}/lib64", f"/usr/local/cuda-{cuda}/targets/x86_64-linux/lib")
    return Apt(packages=tuple(packages), repositories=repositories), Env(library_path=directories)


def _packages(cuda: str) -> tuple[str, ...]:
    """Return the names that NVIDIA gives the packages of the runtime: they changed with 10.1 and with 11.0."""
    major, minor = (int(part) for part in cuda.split("."))
    end = cuda.replace(".", "-")
    if (major, minor) < (11, 0):
        libraries = tuple(f"cuda-{stem}-{end}" for stem in _STEMS if stem != "cublas" or (major, minor) < (10, 1))
        return libraries if (major, minor) < (10, 1) else (*libraries, "libcublas10")
    own = {"cudart", "nvrtc"}
    return tuple(f"{'cuda-' if stem in own else 'lib'}{stem}-{end}" for stem in _STEMS)


def _from_debian(request: Request) -> tuple[Apt | Python | Env, ...]:
    cuda, suite = request.release.version, request.target.distribution
    if _DEBIAN.get(cuda) != suite:
        has = ", ".join(f"{one} has {version}" for version, one in _DEBIAN.items())
        raise ValueError(f'runtime = "debian": {suite} has no toolkit of CUDA {cuda}; {has}')
    names = []
    for soname in sonames(cuda, None):
        stem, _, version = soname.partition(".so.")
        names.append(f"{stem}{version}")
    names.append("libnvtoolsext1")
    other = Repository(name="debian-non-free", suite=suite, components=("contrib", "non-free"))
    made: tuple[Apt | Python | Env, ...] = (Apt(packages=tuple(names), repositories=(other,)),)
    if cudnn := _cudnn(request):
        made += _wheels(request, {"cudnn": _cudnn_wheel(cuda, cudnn)})
    return made


def _from_wheels(request: Request) -> tuple[Python | Env, ...]:
    cuda = request.release.version
    row = _wheels_of(cuda)
    if not row:
        raise ValueError(
            f'runtime = "wheels": NVIDIA has published no wheels of CUDA {cuda}; they begin with 11.7\n'
            f"{_hint(cuda, request.target.distribution)}"
        )
    suffix, *versions = row.split()
    pins: dict[str, str] = {}
    for project, version in zip(_PROJECTS, versions, strict=True):
        if version != "-":
            # From 13 on the toolkit's own wheels have no suffix; those that are released apart keep it.
            name = f"nvidia-{project}" + ("" if suffix == "cu13" and project != "nccl" else f"-{suffix}")
            pins[_DIRECTORIES.get(project, project)] = f"{name}=={version}"
    if cudnn := _cudnn(request):
        pins["cudnn"] = _cudnn_wheel(cuda, cudnn)
    return _wheels(request, pins)


def _cudnn_wheel(cuda: str, cudnn: str) -> str:
    if cudnn not in _CUDNN:
        raise ValueError(f"NVIDIA has published no wheel of cuDNN {cudnn}; there are {', '.join(_CUDNN)}")
    return f"nvidia-cudnn-cu{cuda.partition('.')[0]}=={_CUDNN[cudnn]}"


def _wheels(request: Request, pins: dict[str, str]) -> tuple[Python, Env]:
    site = f"/opt/venv/lib/python{request.target.python}/site-packages/nvidia"
    merged = request.release.version.startswith("13.")
    alone = {"nccl", "cudnn"}
    places = dict.fromkeys(f"{site}/{'cu13' if merged and name not in alone else name}/lib" for name in pins)
    return Python(requirements=tuple(pins.values())), Env(library_path=tuple(places))


def _hint(cuda: str, distribution: str) -> str:
    """Return every way to give the runtime of `cuda`, as lines to paste under [frameworks]."""
    lines = []
    if _wheels_of(cuda):
        lines.append('cuda = { runtime = "wheels" }')
    if _DEBIAN.get(cuda) == distribution:
        lines.append('cuda = { runtime = "debian" }')
    lines += [
        f'cuda = {{ directory = "/usr/local/cuda-{cuda}/lib64" }}',
        'cuda = { uri = "https://...", key = "nvidia.asc" }',
        'cuda = { runtime = "base" }   with   base = { image = "..." }   of an image that has them',
    ]
    return f"give CUDA {cuda} under [frameworks] in one of these ways (docs/cuda.md):\n" + "\n".join(
        f"    {line}" for line in lines
    )


_CHECK = """\
import ctypes

for name in NAMES:
    ctypes.CDLL(name, ctypes.RTLD_GLOBAL)
runtime = ctypes.CDLL(NAMES[0])
version = ctypes.c_int()
if hasattr(runtime, "cudaRuntimeGetVersion"):
    assert runtime.cudaRuntimeGetVersion(ctypes.byref(version)) == 0
    found = "%d.%d" % (version.value // 1000, version.value % 1000 // 10)
    assert found.split(".")[0] == "CUDA".split(".")[0], "the runtime is of CUDA " + found
else:
    found = "CUDA"
devices = ctypes.c_int()
try:
    driver = ctypes.CDLL("libcuda.so.1")
    alive = driver.cuInit(0) == 0 and driver.cuDeviceGetCount(ctypes.byref(devices)) == 0
except (OSError, AttributeError):
    alive = False
gpus = "%d GPUs" % devices.value if alive and devices.value else "no GPU here: nothing was computed on one"
print("cuda %s with %d libraries; %s" % (found, len(NAMES), gpus))
"""


def _check(request: Request) -> str:
    cuda = request.release.version
    if request.target.device.cuda is None:
        return 'print("no CUDA: an image for the CPU")\n'
    return _CHECK.replace("NAMES", repr(list(sonames(cuda, _cudnn(request))))).replace("CUDA\"", f'{cuda}"', 2)


@hookimpl
def avabuild_frameworks() -> list[Framework]:
    """Declare cuda."""
    return [
        Framework(
            name="cuda",
            summary="CUDA's runtime libraries: from the base, a directory, an APT repository, Debian or wheels",
            releases=_RELEASES,
            layers=_layers,
            check=_check,
            options=CudaOptions,
            source="sonames of NVIDIA's wheels and of what classic wheels are linked with; the pins of PyTorch "
            "and TensorFlow; Debian's package lists; NVIDIA's release notes",
            checked="2026-11-24",
        )
    ]
