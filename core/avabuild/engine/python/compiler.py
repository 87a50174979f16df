"""Which interpreter compiles an image's modules: one of exactly its version, for equal bytes on any host.

Two patch releases may compile a module differently (8 of 6,493 modules differ between 3.11.2 and 3.11.7). An
interpreter of this host is used when it is of the very version; else the image's own, in a container.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass

from avabuild.common.errors import HostError
from avabuild.engine.stages.workshop import Workshop
from avabuild.layer.bytecode import Start, on_this_host
from avabuild.tools.events import Report

_ASK = "import platform; print(platform.python_version())"


@dataclass(frozen=True, slots=True)
class Compiler:
    """An interpreter: its command, its whole version, and what starts it.

    Attributes:
        identity: what tells it from others that claim its version; empty for one that is trusted.
    """

    argv: tuple[str, ...]
    version: str
    start: Start = on_this_host
    identity: str = ""


def choose_compiler(
    python: str, exact: str | None, workshop: Workshop, report: Report, identity: str
) -> Compiler:
    """Return what compiles for an image with Python `python`, of the version `exact` where that is known.

    `identity` tells the image's own interpreter from others that claim this version.

    Raises:
        HostError: no interpreter of the minor version is here, and no container can be started.
    """
    here = tuple(_here(python))
    for candidate in here:
        if candidate.version == exact or exact is None:
            return candidate
    try:
        return Compiler(workshop.interpreter(), exact or python, workshop.compile, identity)
    except HostError:
        if not here:
            raise
        report.warn(
            f"bytecode is compiled by Python {here[0].version}, not the image's {exact}: "
            "its layer may differ from the one that other hosts make"
        )
        return here[0]


def is_here(python: str) -> bool:
    """Whether this host has an interpreter of the minor version `python`."""
    return any(True for _ in _here(python))


def _here(python: str) -> Iterator[Compiler]:
    """Yield the interpreters of version `python` on this host."""
    own = f"{sys.version_info[0]}.{sys.version_info[1]}"
    if own == python:
        yield Compiler((sys.executable,), ".".join(map(str, sys.version_info[:3])))
    named = f"python{python}"
    for path in dict.fromkeys(found for found in (f"/usr/bin/{named}", shutil.which(named)) if found):
        try:
            done = subprocess.run([path, "-I", "-S", "-c", _ASK], capture_output=True, text=True, check=True)
        except (OSError, subprocess.CalledProcessError):
            continue
        yield Compiler((path,), done.stdout.strip())
