"""The catalogue that is measured: seven recipes of the current era on the CPU, and their Containerfiles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bench.variant import BASE, PASSED

# What ava-sdk imports on Python 3, in the versions that go with every framework below.
SDK = (
    "requests",
    "qiniu",
    "rfc3339",
    "tornado",
    "opencv-python-headless<4.12",
    "Pillow",
    "scikit-learn",
    "scipy",
)
ADDED = "humanize"
"""The package that is added to all images: pure Python, without dependencies."""


@dataclass(frozen=True, slots=True)
class Image:
    """One row: `pip` and `apt` packages; `frameworks` are plugins and what each of them asks pip for."""

    name: str
    frameworks: tuple[tuple[str, str, str], ...] = ()
    pip: tuple[str, ...] = ()
    apt: tuple[str, ...] = ()


LAB = ("jupyterlab", "*", "jupyterlab")
TENSORFLOW = ("tensorflow", "2.21", "tensorflow-cpu==2.21.*")
ROWS = (
    Image("pure"),
    Image("sdk", (LAB,), SDK),
    Image("mxnet", (LAB,), ("mxnet==1.9.1", "numpy<1.24", *SDK), ("libgomp1", "libquadmath0")),
    Image("caffe", (LAB,), ("numpy<2", "protobuf", "scikit-image", *SDK)),
    Image("tensorflow", (LAB, TENSORFLOW), SDK),
    Image("pytorch", (LAB, ("pytorch", "2.13", "torch==2.13.*")), SDK),
    Image("keras", (LAB, TENSORFLOW, ("keras", ">=3", "keras>=3")), SDK),
)


def recipe(image: Image, added: Sequence[str] = ()) -> str:
    """Return the avabuild recipe of a row, beside whose file `base.tar` is."""
    frameworks = "".join(f'{name} = "{version}"\n' for name, version, _ in image.frameworks)
    return f"""\
name = "bench-{image.name}"
base = {{ archive = "base.tar" }}
[matrix]
python = ["3.11"]
[frameworks]
{frameworks}[packages]
pip = [{_quoted((*image.pip, *added))}]
apt = [{_quoted(image.apt)}]
"""


def _quoted(words: Sequence[str]) -> str:
    return ", ".join(f'"{word}"' for word in words)


def requirements(image: Image, added: Sequence[str] = ()) -> str:
    """Return the Containerfile's requirements.txt: what the recipe and its plugins ask for, pip included."""
    return "".join(
        f"{line}\n" for line in ("pip", *(asked for *_, asked in image.frameworks), *image.pip, *added)
    )


_APT = """\
RUN --mount=type=cache,target=/var/cache/apt,sharing=locked \\
    apt-get update && \\
    apt-get install -y --no-install-recommends {packages} && \\
    rm -rf /var/lib/apt/lists/*
"""

_UV = """\
COPY requirements.txt /opt/requirements.txt

RUN --mount=type=bind,source=uv,target=/usr/local/bin/uv \\
    --mount=type=cache,target=/root/.cache/uv \\
    uv venv /opt/venv && \\
    UV_LINK_MODE=copy uv pip install --python /opt/venv/bin/python --compile-bytecode -r /opt/requirements.txt
"""


def containerfile(image: Image) -> str:
    """Return the Containerfile of a row: distribution packages first, downloads in cache mounts."""
    head = [f"FROM {BASE}", *(f"ARG {name}" for name in PASSED), "ENV PATH=/opt/venv/bin:$PATH", ""]
    apt = _APT.format(packages=" ".join(image.apt)) if image.apt else ""
    return "\n".join(head) + apt + _UV
