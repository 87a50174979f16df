"""Scheme: where the files of an image's Python packages are."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from avabuild.common.value import Value


class Scheme(Value):
    """An install scheme: a venv's at a fixed prefix, or for Python 2, which has none, the interpreter's own.

    Attributes:
        prefix: the absolute directory of all; shebang lines name it: no spaces, 100 bytes at most.
        python: `MAJOR.MINOR` of the interpreter.
        packages: the directory of modules below `lib/python2.7` or its like; Debian has a name of its own.
    """

    prefix: str = Field(default="/opt/venv", pattern=r"^(/\w[\w.+-]*)+$", max_length=100)
    python: str = Field(pattern=r"^(2\.7|3\.\d+)$")
    packages: Literal["site-packages", "dist-packages"] = "site-packages"

    @property
    def is_venv(self) -> bool:
        """Whether it is a virtual environment (PEP 405)."""
        return self.python != "2.7"

    @property
    def root(self) -> str:
        """The prefix as names in a layer have it, without the leading slash."""
        return self.prefix[1:]

    @property
    def purelib(self) -> str:
        """The directory of modules, absolute."""
        return f"{self.prefix}/lib/python{self.python}/{self.packages}"

    @property
    def platlib(self) -> str:
        """The directory of platform-specific modules: the same."""
        return self.purelib

    @property
    def scripts(self) -> str:
        """The directory of commands, absolute."""
        return f"{self.prefix}/bin"

    @property
    def data(self) -> str:
        """The directory that data files are relative to, absolute."""
        return self.prefix

    @property
    def interpreter(self) -> str:
        """The interpreter that shebang lines name."""
        return f"{self.scripts}/python"

    @property
    def identity(self) -> dict[str, str]:
        """What a key holds of it; a venv's is what it was before there were others."""
        own = {} if self.packages == "site-packages" else {"packages": self.packages}
        return {"prefix": self.prefix, "python": self.python, **own}

    def headers(self, distribution: str) -> str:
        """Return the directory of a distribution's C headers."""
        site = "site/" if self.is_venv else ""
        return f"{self.prefix}/include/{site}python{self.python}/{distribution}"

    def directory(self, key: str, distribution: str) -> str | None:
        """Return the directory for one of the five keys of a wheel's `.data`, None for another key."""
        if key == "headers":
            return self.headers(distribution)
        fixed = {"purelib": self.purelib, "platlib": self.platlib, "scripts": self.scripts, "data": self.data}
        return fixed.get(key)


def scheme_of(python: str, interpreter: str) -> Scheme:
    """Return where packages of `python` go in an image where its interpreter is at `interpreter`.

    For Python 2.7 that is where the interpreter's own pip puts them: below /usr/local, in Debian's
    `dist-packages` when the interpreter is the distribution's.
    """
    if python != "2.7":
        return Scheme(python=python)
    packages = "dist-packages" if interpreter.startswith("/usr/bin/") else "site-packages"
    return Scheme(prefix="/usr/local", python=python, packages=packages)
