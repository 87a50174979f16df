"""Platform: a target as the resolver and wheel tags name it; nothing of the machine that builds is used."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from packaging.markers import Environment
from packaging.tags import Tag, compatible_tags, cpython_tags

from avabuild.common.errors import ResolveError
from avabuild.plugins.target import CLASSIC_PYTHONS

OLDEST_PYTHON = (3, 6)
"""The oldest Python that uv resolves for."""

_ARCHES = ("x86_64", "aarch64")
_UV_MINORS = (17, 28, *range(31, 41))
_OLD_NAMES = {17: "manylinux2014", 12: "manylinux2010", 5: "manylinux1"}


@dataclass(frozen=True, slots=True)
class Platform:
    """What wheels must fit: `python` and `glibc` as `MAJOR.MINOR`, `arch` as `uname -m` names it."""

    python: str
    arch: str
    glibc: str

    @property
    def version(self) -> tuple[int, int]:
        """Python's version as two numbers."""
        return _pair(self.python)

    def uv_name(self) -> str:
        """Return the newest `--python-platform` of uv that still runs on this glibc.

        Raises ResolveError for what uv can't resolve for; such a target is left to its own pip.
        """
        if self.version < OLDEST_PYTHON:
            raise ResolveError(f"uv resolves for Python 3.6 and newer, not {self.python}")
        major, minor = _pair(self.glibc)
        fitting = [known for known in _UV_MINORS if major == 2 and known <= minor]
        if self.arch not in _ARCHES or not fitting:
            raise ResolveError(
                f"uv resolves for x86_64 or aarch64 with glibc 2.17, not {self.arch} with {self.glibc}"
            )
        return f"{self.arch}-manylinux_2_{fitting[-1]}"

    def tags(self) -> tuple[Tag, ...]:
        """Return the wheel tags that CPython takes here, best first (PEP 425, PEP 600)."""
        interpreter = "cp{}{}".format(*self.version)
        suffix = "mu" if self.version < (3, 0) else "m" if self.version < (3, 8) else ""
        platforms = tuple(self._tag_platforms())
        return (
            *cpython_tags(self.version, [interpreter + suffix], platforms),
            *compatible_tags(self.version, interpreter, platforms),
        )

    def environment(self) -> Environment:
        """Return the values of environment markers (PEP 508); the patch release is taken as 0, as uv does."""
        return Environment(
            implementation_name="cpython",
            implementation_version=f"{self.python}.0",
            os_name="posix",
            platform_machine=self.arch,
            platform_release="",
            platform_system="Linux",
            platform_version="",
            python_full_version=f"{self.python}.0",
            platform_python_implementation="CPython",
            python_version=self.python,
            sys_platform="linux",
        )

    def _tag_platforms(self) -> Iterator[str]:
        lowest = 5 if self.arch == "x86_64" else 17
        for minor in range(_pair(self.glibc)[1], lowest - 1, -1):
            yield f"manylinux_2_{minor}_{self.arch}"
            if minor in _OLD_NAMES:
                yield f"{_OLD_NAMES[minor]}_{self.arch}"
        yield f"linux_{self.arch}"


def is_served(python: str) -> bool:
    """Whether there is a resolver for packages of this Python."""
    return python in CLASSIC_PYTHONS or _pair(python) >= OLDEST_PYTHON


def _pair(text: str) -> tuple[int, int]:
    major, minor = text.split(".")[:2]
    return int(major), int(minor)
