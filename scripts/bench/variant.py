"""What is built: the image, its one-edit variants, and how a recipe and the Containerfiles say each of them."""

from __future__ import annotations

from dataclasses import dataclass, replace

BASE = "localhost/bench-base"
BASE_PACKAGES = ("python3", "python3-venv", "ca-certificates")

# Settings of the host that a build step needs to reach its indexes; given as build arguments, so they are
# not in the image's configuration.
PASSED = (
    "PIP_CERT",
    "SSL_CERT_FILE",
    "PIP_INDEX_URL",
    "PIP_EXTRA_INDEX_URL",
    "UV_DEFAULT_INDEX",
    "UV_INDEX",
)


@dataclass(frozen=True, slots=True)
class Variant:
    """One state of the image: `tensorflow` is a `MAJOR.MINOR` series; `pip` and `apt` are extra packages."""

    tensorflow: str = "2.19"
    pip: tuple[str, ...] = ("requests",)
    apt: tuple[str, ...] = ()


START = Variant()

# Every edit is made to the start, after the cold build, on the caches that it left.
EDITS = {
    "no-op": START,
    "one pip package added": replace(START, pip=("requests", "scikit-learn")),
    "one apt package added": replace(START, apt=("tree",)),
    "framework version changed": replace(START, tensorflow="2.18"),
}
COLD = "cold to local store"
OCI = "cold to an OCI layout, compressed"
SCENARIOS = (COLD, OCI, *EDITS)

# What the ratio avabuild / best Containerfile is meant to be at most; None where nothing was promised.
LIMITS: dict[str, float | None] = {
    COLD: 0.6,
    OCI: 0.25,
    "no-op": 2.0,
    "one pip package added": 0.15,
    "one apt package added": 0.5,
    "framework version changed": None,
}


def recipe(variant: Variant) -> str:
    """Return the avabuild recipe, beside whose file `base.tar` is."""
    return f"""\
name = "bench"
base = {{ archive = "base.tar" }}
[matrix]
python = ["3.11"]
device = ["cpu"]
[frameworks]
tensorflow = "{variant.tensorflow}"
jupyterlab = "*"
[packages]
pip = [{", ".join(f'"{name}"' for name in variant.pip)}]
apt = [{", ".join(f'"{name}"' for name in variant.apt)}]
"""


def base_recipe() -> str:
    """Return the recipe of the base alone: what FROM finds in the local store, avabuild must have too."""
    return 'name = "bench-base"\nbase = { archive = "base.tar" }\n[matrix]\npython = ["3.11"]\ndevice = ["cpu"]\n'


def requirements(variant: Variant) -> str:
    """Return the Containerfiles' requirements.txt: what the recipe's plugins ask for, in the same series."""
    return "".join(f"{line}\n" for line in (f"tensorflow-cpu=={variant.tensorflow}.*", "jupyterlab", *variant.pip))


def containerfile(way: str, variant: Variant) -> str:
    """Return the Containerfile of `way` (`pip` or `uv`), written as someone who knows buildah would.

    Downloads are in a cache mount, nothing of them in a layer; the apt line of an added package is below
    the Python packages, where adding it costs least.
    """
    return "\n\n".join([_head(), *_python(way), *_apt(variant.apt)]) + "\n"


def _head() -> str:
    return "\n".join([f"FROM {BASE}", *(f"ARG {name}" for name in PASSED), "ENV PATH=/opt/venv/bin:$PATH"])


def _python(way: str) -> list[str]:
    copy = "COPY requirements.txt /opt/requirements.txt"
    if way == "pip":
        return [
            copy,
            "RUN --mount=type=cache,target=/root/.cache/pip \\\n"
            "    python3 -m venv /opt/venv && pip install -r /opt/requirements.txt",
        ]
    return [
        copy,
        "RUN --mount=type=bind,source=uv,target=/usr/local/bin/uv \\\n"
        "    --mount=type=cache,target=/root/.cache/uv \\\n"
        "    uv venv /opt/venv && \\\n"
        "    UV_LINK_MODE=copy uv pip install --python /opt/venv/bin/python --compile-bytecode"
        " -r /opt/requirements.txt",
    ]


def _apt(packages: tuple[str, ...]) -> list[str]:
    if not packages:
        return []
    return [
        "RUN apt-get update && \\\n"
        f"    apt-get install -y --no-install-recommends {' '.join(packages)} && \\\n"
        "    rm -rf /var/lib/apt/lists/*"
    ]
