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
    Impossible,
    Libraries,
    Options,
    Python,
    Release,
    Repository,
    Request,
    driver_minimum,
    hookimpl,
)
from avabuild_plugins.cuda.tables import (
    DEBIAN,
    STEMS,
    TABLE,
    cudnn_wheel,
    debian_packages,
    nvidia_packages,
    sonames,
    wheels,
)

Runtime = Literal["auto", "base", "directory", "repository", "debian", "wheels"]

# NVIDIA's key of its APT repositories since April 2022, as it publishes it.
_FINGERPRINT = "EB693B3035CD5710E231E123A4B469963BF863CC"
_PYTHONS = ("2.7", *(f"3.{minor}" for minor in range(5, 16)))
_HOME = "/usr/local/cuda/lib64"

# What a toolkit's directory gives: no static archives, no stubs, none of the libraries for images and codecs.
_TAKEN = (
    *(f"lib{stem}.so.*" for stem in (*STEMS, "cublasLt", "cufftw", "cusolverMg", "nvrtc-builtins")),
    *(f"lib{stem}.so.*" for stem in ("nvToolsExt", "nvJitLink", "cupti", "nccl")),
    "libcudnn*.so.*",
)


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

    @field_validator("fingerprint")
    @classmethod
    def _has_40_digits(cls, text: str) -> str:
        bare = text.replace(" ", "").upper()
        if len(bare) != 40 or set(bare) - set("0123456789ABCDEF"):
            raise ValueError(f'"{text}" is no fingerprint: it has 40 hexadecimal digits')
        return bare

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
                raise ValueError(
                    f'runtime = "{runtime}" needs {"directory" if runtime == "directory" else "uri"}'
                )
            if given and self.runtime not in {"auto", runtime}:
                raise ValueError(f'runtime = "{self.runtime}" excludes what only "{runtime}" uses')
        if self.directory and self.uri:
            raise ValueError("directory and uri exclude each other")
        if bool(self.uri) != bool(self.key):
            raise ValueError("uri and key need each other: a repository is used with the key that signs it")
        return self


def _release(cuda: str, cudnn: tuple[str, ...]) -> Release:
    devices = (f"cuda{cuda}", *(f"cuda{cuda}-cudnn{one}" for one in cudnn))
    ways = ["wheels"] if wheels(cuda) else []
    ways += [f"debian on {DEBIAN[cuda]}"] if cuda in DEBIAN else []
    note = f"driver {driver_minimum(cuda)} or later; from {', '.join([*ways, 'base, directory, repository'])}"
    return Release(version=cuda, pythons=_PYTHONS, devices=devices, note=note)


_RELEASES = (
    *(_release(cuda, cudnn) for cuda, cudnn, _ in TABLE),
    Release(version="0", pythons=_PYTHONS, devices=("cpu",), note="nothing: for an image without CUDA"),
)


def runtime_of(request: Request) -> str:
    """Return where the runtime comes from: what the recipe says, else the first of the table's ways."""
    options, cuda, cudnn = request.options, request.release.version, request.target.device.cudnn
    if options.runtime != "auto":
        return str(options.runtime)
    if options.directory:
        return "directory"
    if options.uri:
        return "repository"
    if wheels(cuda) and (cudnn is None or cudnn_wheel(cuda, cudnn)):
        return "wheels"
    return "debian" if DEBIAN.get(cuda) == request.target.distribution else "base"


def _layers(request: Request) -> tuple[Apt | Env | Files | Libraries | Python, ...]:
    if request.target.device.cuda is None:
        return ()
    cuda, where, runtime = request.release.version, "image", runtime_of(request)
    made: tuple[Apt | Env | Files | Python, ...] = ()
    match runtime:
        case "base":
            where = "base"
        case "directory":
            where, made = "host", _from_directory(request.options)
        case "repository":
            made = _from_repository(request)
        case "debian":
            made = _from_debian(request)
        case _:
            made = _from_wheels(request)
    names = sonames(cuda, request.target.device.cudnn)
    hint = _hint(cuda, request.target.distribution)
    wanted = Libraries.model_validate({"sonames": names, "where": where, "hint": hint})
    return (*made, wanted)


def _from_directory(options: CudaOptions) -> tuple[Files, Env]:
    files = tuple(File(source=path, target=f"{_HOME}/", only=_TAKEN) for path in options.directory)
    return Files(files=files), Env(library_path=(_HOME,))


def _from_repository(request: Request) -> tuple[Apt, Env]:
    options, cuda = request.options, request.release.version
    repositories = tuple(
        Repository(
            name=f"cuda-{number}" if number else "cuda",
            uri=uri,
            suite=options.suite,
            components=options.components,
            key=options.key,
            fingerprint=options.fingerprint,
        )
        for number, uri in enumerate(options.uri)
    )
    packages = nvidia_packages(cuda, request.target.device.cudnn)
    home = f"/usr/local/cuda-{cuda}"
    places = (f"{home}/lib64", f"{home}/targets/{request.target.arch}-linux/lib")
    return Apt(packages=packages, repositories=repositories), Env(library_path=places)


def _from_debian(request: Request) -> tuple[Apt | Python | Env, ...]:
    cuda, suite = request.release.version, request.target.distribution
    if DEBIAN.get(cuda) != suite:
        has = ", ".join(f"{one} has {version}" for version, one in DEBIAN.items())
        raise Impossible(f"{suite} has no toolkit of CUDA {cuda}; {has}", _hint(cuda, suite))
    other = Repository(name="debian-non-free", suite=suite, components=("contrib", "non-free"))
    toolkit = Apt(packages=debian_packages(cuda), repositories=(other,))
    return (toolkit, *_wheels(request, _cudnn_of(request)))


def _from_wheels(request: Request) -> tuple[Python | Env, ...]:
    cuda = request.release.version
    pins = wheels(cuda)
    if not pins:
        raise Impossible(f"there are no wheels of CUDA {cuda}", _hint(cuda, request.target.distribution))
    return _wheels(request, {**pins, **_cudnn_of(request)})


def _cudnn_of(request: Request) -> dict[str, str]:
    cuda, cudnn = request.release.version, request.target.device.cudnn
    if cudnn is None:
        return {}
    wheel = cudnn_wheel(cuda, cudnn)
    if wheel is None:
        raise Impossible(f"there is no wheel of cuDNN {cudnn}", _hint(cuda, request.target.distribution))
    return {wheel: "cudnn"}


def _wheels(request: Request, pins: dict[str, str]) -> tuple[Python | Env, ...]:
    """Return what installs `pins`, and has the directories found that they fill."""
    site = f"/opt/venv/lib/python{request.target.python}/site-packages/nvidia"
    places = tuple(dict.fromkeys(f"{site}/{directory}/lib" for directory in pins.values()))
    if not pins:
        return ()
    if any(other.devices != ("any",) for other in request.others.values()):
        # Others are built for this device, too: where they pin wheels of CUDA, those pins hold.
        names = tuple(pin.partition("==")[0] for pin in pins)
        return (Python(requirements=names, preferred=tuple(pins)), Env(library_path=places))
    return (Python(requirements=tuple(pins)), Env(library_path=places))


def _hint(cuda: str, distribution: str) -> str:
    """Return every way to give the runtime of `cuda`, as lines to paste."""
    lines = ['cuda = { runtime = "wheels" }'] if wheels(cuda) else []
    lines += ['cuda = { runtime = "debian" }'] if DEBIAN.get(cuda) == distribution else []
    lines += [
        f'cuda = {{ directory = "/usr/local/cuda-{cuda}/lib64" }}',
        'cuda = { uri = "https://...", key = "nvidia.asc" }',
        'cuda = { runtime = "base" }, on a base = { image = "..." } that has them',
    ]
    shown = "\n".join(f"    {line}" for line in lines)
    return f"give CUDA {cuda} under [frameworks] in one of these ways (docs/cuda.md):\n{shown}"


_CHECK = """\
import ctypes

for name in NAMES:
    ctypes.CDLL(name, ctypes.RTLD_GLOBAL)
runtime, version, found = ctypes.CDLL(NAMES[0]), ctypes.c_int(), "VERSION"
# Without a GPU some runtimes do not even say their version.
if hasattr(runtime, "cudaRuntimeGetVersion") and runtime.cudaRuntimeGetVersion(ctypes.byref(version)) == 0:
    found = "%d.%d" % (version.value // 1000, version.value % 1000 // 10)
    assert found.split(".")[0] == "VERSION".split(".")[0], "the runtime is of CUDA " + found
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
    names = repr(list(sonames(cuda, request.target.device.cudnn)))
    return _CHECK.replace("NAMES", names).replace("VERSION", cuda)


@hookimpl
def avabuild_frameworks() -> list[Framework]:
    """Declare cuda."""
    return [
        Framework(
            name="cuda",
            summary="CUDA's runtime libraries, from wheels, Debian, a base, a directory or an APT repository",
            releases=_RELEASES,
            layers=_layers,
            check=_check,
            options=CudaOptions,
            source="sonames in published wheels, the pins of PyTorch and TensorFlow, Debian's package lists, "
            "NVIDIA's release notes",
            checked="2026-11-24",
        )
    ]
