"""What is built: the image and its one-edit variants, as a recipe and as Containerfiles."""

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
    "UV_FIND_LINKS",
    "UV_INDEX_STRATEGY",
)


@dataclass(frozen=True, slots=True)
class Variant:
    """One state of the image: `tensorflow` is a `MAJOR.MINOR` series; `pip` and `apt` are extra packages."""

    tensorflow: str = "2.19"
    pip: tuple[str, ...] = ("requests",)
    apt: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Scenario:
    """What is timed: `variant` is built; `limit` is the promised avabuild / best Containerfile, if any."""

    title: str
    variant: Variant
    limit: float | None = None


START = Variant()

# Each on caches of its own, empty but for the base; downloads included.
FRESH = {
    "cold": Scenario("cold to local store", START, 0.6),
    "oci": Scenario("cold to an OCI layout, compressed", START, 0.25),
}
# Each is one edit of the start, on the caches that `cold` left.
EDITS = {
    "no-op": Scenario("no-op", START, 2.0),
    "pip": Scenario("one pip package added", replace(START, pip=("requests", "scikit-learn")), 0.15),
    "apt": Scenario("one apt package added", replace(START, apt=("tree",)), 0.5),
    "apt again": Scenario("another apt package after it", replace(START, apt=("tree", "hello"))),
    "framework": Scenario("framework version changed", replace(START, tensorflow="2.18")),
}
SCENARIOS = FRESH | EDITS


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
    return """\
name = "bench-base"
base = { archive = "base.tar" }
[matrix]
python = ["3.11"]
device = ["cpu"]
"""


def requirements(variant: Variant) -> str:
    """Return the Containerfiles' requirements.txt: what the recipe's plugins ask for, in the same series."""
    return "".join(
        f"{line}\n" for line in (f"tensorflow-cpu=={variant.tensorflow}.*", "jupyterlab", *variant.pip)
    )


_PIP = r"""
COPY requirements.txt /opt/requirements.txt

RUN --mount=type=cache,target=/root/.cache/pip \
    python3 -m venv /opt/venv && pip install -r /opt/requirements.txt
"""

_UV = r"""
COPY requirements.txt /opt/requirements.txt

RUN --mount=type=bind,source=uv,target=/usr/local/bin/uv \
    --mount=type=cache,target=/root/.cache/uv \
    uv venv /opt/venv && \
    UV_LINK_MODE=copy uv pip install --python /opt/venv/bin/python --compile-bytecode -r /opt/requirements.txt
"""

_APT = r"""
RUN apt-get update && \
    apt-get install -y --no-install-recommends {packages} && \
    rm -rf /var/lib/apt/lists/*
"""


def containerfile(installer: str, variant: Variant) -> str:
    """Return the Containerfile for `installer` (`pip` or `uv`), written as someone who knows buildah would.

    Downloads are in a cache mount, nothing of them in a layer; the apt line of an added package is below
    the Python packages, where adding it costs least.
    """
    head = [f"FROM {BASE}", *(f"ARG {name}" for name in PASSED), "ENV PATH=/opt/venv/bin:$PATH", ""]
    apt = _APT.format(packages=" ".join(variant.apt)) if variant.apt else ""
    return "\n".join(head) + {"pip": _PIP, "uv": _UV}[installer] + apt
