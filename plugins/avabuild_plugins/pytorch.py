"""PyTorch: the build for the target's device, never 3 GB of CUDA by surprise."""

from __future__ import annotations

from typing import Literal

from packaging.version import Version
from pydantic import Field

from avabuild.api import Apt, Env, File, Files, Framework, Options, Python, Release, Request, hookimpl

_DRIVER = Env(
    variables=(("NVIDIA_VISIBLE_DEVICES", "all"), ("NVIDIA_DRIVER_CAPABILITIES", "compute,utility"))
)


class PytorchOptions(Options):
    """What a recipe may say of pytorch."""

    build: Literal["auto", "index", "debian"] = Field(
        default="auto",
        description='"auto" takes the +cpu build for the device cpu; PyPI has none, so an index or a folder '
        'of wheels must be configured that does. "index" takes whichever build the index has of the version; '
        "PyPI's works without a GPU too, and brings 3 GB of CUDA. \"debian\" takes the distribution's own "
        "package python3-torch, for the CPU",
    )

    def allows(self, release: Release) -> bool:
        """Debian has one release each, the index has the others."""
        return super().allows(release) and bool(release.apt) == (self.build == "debian")


# Series, last patch release, Pythons from 3.A to 3.B, the CUDA that its public wheels carry or bring.
_TABLE = (
    ("2.15", 0, 11, 15, "cuda13.2-cudnn9.26"),
    ("2.14", 1, 10, 14, "cuda13.0-cudnn9.24"),
    ("2.13", 0, 10, 14, "cuda13.0-cudnn9.20"),
    ("2.12", 1, 10, 14, "cuda13.0-cudnn9.20"),
    ("2.11", 0, 10, 14, "cuda13.0-cudnn9.19"),
    ("2.10", 0, 10, 14, "cuda12.8-cudnn9.10"),
    ("2.9", 1, 10, 14, "cuda12.8-cudnn9.10"),
    ("2.8", 0, 9, 13, "cuda12.8-cudnn9.10"),
    ("2.7", 1, 9, 13, "cuda12.6-cudnn9.5"),
    ("2.6", 0, 9, 13, "cuda12.4-cudnn9.1"),
    ("2.5", 1, 9, 12, "cuda12.4-cudnn9.1"),
    ("2.4", 1, 8, 12, "cuda12.1-cudnn9.1"),
    ("2.3", 1, 8, 12, "cuda12.1-cudnn8.9"),
    ("2.2", 2, 8, 12, "cuda12.1-cudnn8.9"),
    ("2.1", 2, 8, 11, "cuda12.1-cudnn8.9"),
    ("2.0", 1, 8, 11, "cuda11.7-cudnn8.5"),
    ("1.13", 1, 7, 11, "cuda11.7-cudnn8.5"),
)
# The wheels of these hold CUDA and cuDNN themselves, and there is no other build on PyPI: it computes on the
# CPU too. None from before 1.0 is left there.
_CLASSIC = (
    ("1.4", ("2.7", "3.5", "3.6", "3.7", "3.8"), "cuda10.1-cudnn7.6"),
    ("1.3", ("2.7", "3.5", "3.6", "3.7"), "cuda10.1-cudnn7.6"),
    ("1.2", ("2.7", "3.5", "3.6", "3.7"), "cuda10.0-cudnn7.6"),
    ("1.1", ("2.7", "3.5", "3.6", "3.7"), "cuda9.0-cudnn7.5"),
    ("1.0", ("2.7", "3.5", "3.6", "3.7"), "cuda9.0-cudnn7.4"),
)
# Debian's python3-torch: code name, Python, version. The local part tells it from the index's.
_DEBIAN = (
    ("trixie", "3.13", "2.6.0+debian"),
    ("bookworm", "3.11", "1.13.1+debian"),
    ("bullseye", "3.9", "1.7.1+debian"),
)


def _releases() -> tuple[Release, ...]:
    current = [
        Release(
            version=series,
            pythons=tuple(f"3.{minor}" for minor in range(first, last + 1)),
            devices=("cpu", cuda),
            note=f"the build for cpu is {series}.{patch}+cpu, which PyPI does not have: "
            'build = "index" takes PyPI\'s, "debian" the distribution\'s',
            constraints=("numpy<2",) if _number(series) < (2, 3) else (),
        )
        for series, patch, first, last, cuda in _TABLE
    ]
    classic = [
        Release(version=series, pythons=pythons, devices=("cpu", cuda), note="CUDA is inside the wheel")
        for series, pythons, cuda in _CLASSIC
    ]
    packaged = [
        Release(
            version=version,
            pythons=(python,),
            note='with build = "debian"',
            apt=("python3-torch",),
            distributions=(distribution,),
        )
        for distribution, python, version in _DEBIAN
    ]
    everything = (*current, *classic, *packaged)
    return tuple(sorted(everything, key=lambda release: Version(release.version), reverse=True))


def _number(series: str) -> tuple[int, ...]:
    return tuple(int(part) for part in series.split("."))


_RELEASES = _releases()
_LAST_PATCH = {series: patch for series, patch, *_ in _TABLE}

_CHECK = """\
from __future__ import print_function
import torch

gpu = torch.cuda.is_available()
device = torch.device("cuda" if gpu else "cpu")
weights = torch.tensor([[1.0], [2.0]], requires_grad=True, device=device)
loss = torch.tensor([[3.0, 4.0]], device=device).mm(weights).pow(2).sum()
loss.backward()
assert loss.item() == 121.0, loss
assert weights.grad.tolist() == [[66.0], [88.0]], weights.grad
torch.manual_seed(0)
x = torch.randn(64, 4, device=device)
y = x.sum(1, keepdim=True)
model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 1)).to(device)
optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
losses = []
for _ in range(20):
    optimizer.zero_grad()
    loss = torch.nn.functional.mse_loss(model(x), y)
    loss.backward()
    optimizer.step()
    losses.append(loss.item())
assert losses[-1] < losses[0] / 2, losses
cuda = torch.version.cuda
assert WANTED, "this build has CUDA %s" % cuda
built = "built with CUDA %s" % cuda if cuda else "built for CPU"
where = "on GPU 0" if gpu else "on the CPU" + (": no GPU here" if cuda else "")
print("torch", torch.__version__, built + ",", "computed", where)
"""


def _cpu_builds(series: str) -> tuple[str, ...]:
    """Return the exact versions of the series' +cpu builds, newest first.

    No shorter way asks for them: PEP 440 has no wildcard before a local version.
    """
    return tuple(f"{series}.{patch}+cpu" for patch in range(_LAST_PATCH[series], -1, -1))


def _layers(request: Request) -> tuple[Apt | Python | Env | Files, ...]:
    if request.release.apt:
        return (_debian(request),)
    series, cuda = _number(request.release.version), request.target.device.cuda
    if series < (1, 5):
        return _classic(request)
    builds = _cpu_builds(request.release.version)
    asked = str(request.options.specifier)
    if cuda:
        # A local version sorts above its public one, so a folder with both would give the CPU build.
        without = "".join(f",!={build}" for build in builds)
        return (Python(requirements=(f"torch{request.requirement}{without}",)), _DRIVER)
    if request.options.build == "index":
        return (Python(requirements=(f"torch{request.requirement}",)),)
    allowed = (build for build in builds if request.options.specifier.contains(Version(build)))
    exact = next(allowed, builds[0])  # with none allowed the resolver says why, in its own words
    return (Python(requirements=(f"torch=={exact}" + (f",{asked}" if asked else ""),)),)


def _classic(request: Request) -> tuple[Python | Env, ...]:
    # 1.4 imports `builtins` on Python 2.7 without declaring who brings it.
    future = ("future",) if request.target.python == "2.7" else ()
    packages = Python(requirements=(f"torch{request.requirement}", *future))
    return (packages, _DRIVER) if request.target.device.cuda else (packages,)


def _debian(request: Request) -> Files:
    """Show the environment what apt installed, after all that it has itself.

    A .pth file appends a directory to sys.path: wheels of the environment come first, and it stays an
    environment of its own, into which the distribution's packages are not installed.
    """
    path = f"{request.site_packages}/distribution.pth"
    return Files(files=(File(target=path, content="/usr/lib/python3/dist-packages\n"),))


def _check(request: Request) -> str:
    cuda = request.target.device.cuda
    wanted = f'cuda.startswith("{cuda}")' if cuda else "cuda is None"
    bundled = not request.release.apt and _number(request.release.version) < (1, 5)
    if not cuda and (bundled or request.options.build == "index"):
        wanted = "True"
    return _CHECK.replace("WANTED", wanted)


@hookimpl
def avabuild_frameworks() -> list[Framework]:
    """Declare pytorch."""
    return [
        Framework(
            name="pytorch",
            summary="PyTorch, for CPU or with the CUDA it was built for",
            releases=_RELEASES,
            layers=_layers,
            check=_check,
            options=PytorchOptions,
            source="names and metadata of the published x86_64 wheels; package lists of Debian",
            checked="2026-11-24",
        )
    ]
