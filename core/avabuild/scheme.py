"""Scheme: where the files of a Python environment are, as a venv at a fixed prefix lays them out."""

from __future__ import annotations

from pydantic import Field

from avabuild.value import Value


class Scheme(Value):
    """The install scheme of a venv.

    Attributes:
        prefix: the venv's absolute directory; shebang lines name it: no spaces, 100 bytes at most.
        python: `MAJOR.MINOR` of its interpreter.
    """

    prefix: str = Field(default="/opt/venv", pattern=r"^(/\w[\w.+-]*)+$", max_length=100)
    python: str = Field(pattern=r"^3\.\d+$")

    @property
    def root(self) -> str:
        """The prefix as names in a layer have it, without the leading slash."""
        return self.prefix[1:]

    @property
    def purelib(self) -> str:
        """The directory of modules, absolute."""
        return f"{self.prefix}/lib/python{self.python}/site-packages"

    @property
    def platlib(self) -> str:
        """The directory of platform-specific modules: in a venv, the same."""
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

    def headers(self, distribution: str) -> str:
        """Return the directory of a distribution's C headers."""
        return f"{self.prefix}/include/site/python{self.python}/{distribution}"

    def directory(self, key: str, distribution: str) -> str | None:
        """Return the directory for one of the five keys of a wheel's `.data`, None for another key."""
        if key == "headers":
            return self.headers(distribution)
        fixed = {"purelib": self.purelib, "platlib": self.platlib, "scripts": self.scripts, "data": self.data}
        return fixed.get(key)
