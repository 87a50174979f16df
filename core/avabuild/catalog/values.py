"""What the pages of a catalogue say, as values: an entry for each image, and what is not shown with why."""

from __future__ import annotations

import re
from typing import Literal

from avabuild.common.value import Value

State = Literal["published", "built", "planned"]


class Part(Value):
    """A framework or package with its version, which is empty where nothing is known yet."""

    name: str
    version: str = ""
    size: int = 0

    def __str__(self) -> str:
        return f"{self.name} {self.version}".strip()


class Slice(Value):
    """One layer of an image as a reader sees it.

    Attributes:
        name: what it is (`wheels of frameworks`).
        size: compressed bytes, 0 where unknown.
        download: bytes that a build fetches for it, 0 where unknown.
        origins: who asked for it.
        holds: packages in it, or what is asked for until they are known.
    """

    name: str
    size: int = 0
    download: int = 0
    origins: tuple[str, ...] = ()
    holds: tuple[str, ...] = ()


class Entry(Value):
    """One image.

    Attributes:
        name: its repository (`ava-keras`).
        tag: its tag (`py311-cpu`).
        reference: what names it for podman: in the registry if it is there, else in the local storage.
        state: `published` in the registry, `built` by this cache, or `planned` by a recipe.
        recipe: the recipe's file as readers have it (`recipes/keras.toml`); empty when none makes it.
        base: what it stands on, in words.
        python: `MAJOR.MINOR`, or empty.
        arch: as `uname -m` names it.
        cuda: the CUDA version, empty on a CPU; `cudnn` likewise.
        driver: the oldest NVIDIA driver for it, or empty.
        sdk: the AVA SDK's version, empty without it.
        jupyterlab: JupyterLab's version, empty without it.
        frameworks: all others.
        ports: published by its containers.
        slices: its layers, lowest first.
        python_packages: from the lock or empty; `apt_packages` likewise.
        requirements: what is asked of the indexes, while the lock doesn't say what came of it.
        digest: of its manifest in the registry, or empty.
        size: compressed bytes of all layers, 0 where unknown.
    """

    name: str
    tag: str
    reference: str
    state: State = "planned"
    recipe: str = ""
    base: str = ""
    python: str = ""
    arch: str = ""
    cuda: str = ""
    cudnn: str = ""
    driver: str = ""
    sdk: str = ""
    jupyterlab: str = ""
    frameworks: tuple[Part, ...] = ()
    ports: tuple[str, ...] = ()
    slices: tuple[Slice, ...] = ()
    python_packages: tuple[Part, ...] = ()
    apt_packages: tuple[Part, ...] = ()
    requirements: tuple[str, ...] = ()
    digest: str = ""
    size: int = 0

    @property
    def title(self) -> str:
        """Its name and tag."""
        return f"{self.name}:{self.tag}"

    @property
    def path(self) -> str:
        """Its page, relative to the site: safe as a file name and in an address, one for each title."""
        return f"images/{_quoted(self.name)}/{_quoted(self.tag)}.html"

    @property
    def device(self) -> str:
        """What it computes on, in words."""
        return f"CUDA {self.cuda}" if self.cuda else "CPU"


class Missing(Value):
    """What the catalogue has no page for, and why."""

    name: str
    reason: str


class Site(Value):
    """A whole catalogue.

    Attributes:
        title: of its front page.
        registry: the namespace that was asked what it holds, or empty.
        entries: in the order in which they are shown.
        missing: what could not be planned.
    """

    title: str
    registry: str = ""
    entries: tuple[Entry, ...] = ()
    missing: tuple[Missing, ...] = ()


def natural(text: str) -> tuple[tuple[int, int, str], ...]:
    """Return a key that sorts numbers within texts by value: py39 before py311, 9.0 before 12.5."""
    parts = re.findall(r"\d+|\D+", text)
    return tuple((0, int(part), "") if part.isdigit() else (1, 0, part) for part in parts)


def order(entry: Entry) -> tuple[object, ...]:
    """Return the key of the order in which images are listed: by name, newest Python and CPU first."""
    python = tuple(-int(part) for part in entry.python.split(".") if part.isdigit())
    return natural(entry.name), python, natural(entry.cuda), natural(entry.tag)


def _quoted(text: str) -> str:
    """Return `text` as a plain file name: other characters as `~` and their UTF-8 in hex, no leading dot."""
    return re.sub(r"[^A-Za-z0-9_.-]|^\.", lambda m: "".join(f"~{b:02x}" for b in m[0].encode()), text)
