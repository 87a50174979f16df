"""Entries of a site: one of each kind, and one whose every word is hostile."""

from __future__ import annotations

import pytest

from avabuild.catalog.values import Entry, Missing, Part, Site, Slice

HOSTILE = """"><script>alert('x')</script>&amp;' onload=alert(1) </title></pre>"""


def make_keras(**changes: object) -> Entry:
    given: dict[str, object] = {
        "name": "ava-keras",
        "tag": "py311-cpu",
        "reference": "localhost/ava-keras:py311-cpu",
        "recipe": "recipes/keras.toml",
        "base": "Debian 12 (bookworm)",
        "python": "3.11",
        "arch": "x86_64",
        "jupyterlab": "4.6.6",
        "frameworks": (Part(name="keras", version="3.15.1"), Part(name="tensorflow", version="2.21.0")),
        "ports": ("8888",),
        "slices": (
            Slice(name="base: Debian 12 (bookworm)", size=50_000_000),
            Slice(
                name="wheels of frameworks", download=83_629_664, origins=("frameworks",), holds=("h11 0.16",)
            ),
        ),
        "python_packages": tuple(
            Part(name=f"package-{n}", version=f"{n}.0", size=1000 * n) for n in range(30)
        ),
        "apt_packages": (Part(name="libexpat1", version="2.5.0-1+deb12u5", size=108_000),),
    }
    return Entry.model_validate(given | changes)


def make_site(*entries: Entry, **changes: object) -> Site:
    return Site.model_validate({"title": "Container images", "entries": entries} | changes)


@pytest.fixture
def keras():
    """Return a function that makes a locked image for the CPU, with what is to differ."""
    return make_keras


@pytest.fixture
def site():
    """Return a function that makes a site of entries."""
    return make_site


@pytest.fixture
def varied(keras):
    """A site of images of four kinds."""
    mxnet = keras(
        name="ava-mxnet", tag="py27-cuda80-cudnn6", reference="localhost/ava-mxnet:py27-cuda80-cudnn6",
        recipe="recipes/cuda/mxnet-cuda80.toml", base="ubuntu:16.04", python="2.7", cuda="8.0", cudnn="6",
        driver="375.26", sdk="0.1.3", jupyterlab="0.33", frameworks=(Part(name="mxnet", version="1.5"),),
        python_packages=(), apt_packages=(), requirements=("mxnet-cu80==1.5.*",),
    )  # fmt: skip
    newer = keras(
        tag="py313-cpu", reference="localhost/ava-keras:py313-cpu", python="3.13", recipe="recipes/new.toml"
    )
    published = keras(
        name="ava-pure", tag="py311-cpu", reference="reg.example.com/ava/ava-pure:py311-cpu",
        state="published", jupyterlab="", frameworks=(), size=61_000_000, digest="sha256:" + "a" * 64,
    )  # fmt: skip
    return make_site(
        keras(), newer, mxnet, published,
        registry="reg.example.com/ava", missing=(Missing(name="ava-odd", reason="its base is not here"),),
    )  # fmt: skip


@pytest.fixture
def hostile(keras):
    """A site whose every text tries to be markup."""
    part = Part(name=HOSTILE, version=HOSTILE, size=5)
    entry = keras(
        name=HOSTILE, tag=HOSTILE, reference=HOSTILE, recipe=HOSTILE, base=HOSTILE, python=HOSTILE, arch=HOSTILE,
        cuda=HOSTILE, cudnn=HOSTILE, driver=HOSTILE, sdk=HOSTILE, jupyterlab=HOSTILE, digest=HOSTILE,
        frameworks=(part,), ports=(HOSTILE,), requirements=(HOSTILE,),
        python_packages=(part,) * 25, apt_packages=(part,),
        slices=(Slice(name=HOSTILE, size=1, origins=(HOSTILE,), holds=(HOSTILE,)),),
    )  # fmt: skip
    other = keras(name=HOSTILE, tag="other" + HOSTILE)
    missing = (Missing(name=HOSTILE, reason=HOSTILE),)
    return make_site(entry, other, title=HOSTILE, registry=HOSTILE, missing=missing)
