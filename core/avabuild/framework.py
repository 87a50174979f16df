"""Framework: what a plugin declares, and what it is asked with."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import Version
from pydantic import BaseModel, ConfigDict, Field, field_validator

from avabuild.layers import Layer
from avabuild.target import Target
from avabuild.value import Value


class Options(BaseModel):
    """What a recipe may say of a framework; plugins subclass it and add typed, described fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: str = Field(default="*", description="PEP 440 specifier of the framework's version, or *")

    @field_validator("version")
    @classmethod
    def _is_a_specifier(cls, text: str) -> str:
        try:
            _specifier(text)
        except InvalidSpecifier:
            raise ValueError(f'"{text}" is no version specifier; write "*", "2.19", "~=2.19" or ">=2,<3"') from None
        return text

    @property
    def specifier(self) -> SpecifierSet:
        """The version as a specifier set; `*` allows everything and a bare `2.19` means `==2.19.*`."""
        return _specifier(self.version)


def _specifier(text: str) -> SpecifierSet:
    text = text.strip()
    if text == "*":
        return SpecifierSet()
    if text[:1].isdigit():
        return SpecifierSet(f"=={text.removesuffix('.*')}.*")
    return SpecifierSet(text)


class Release(Value):
    """One release series of a framework and where it works.

    Attributes:
        version: the series (`2.19`, `1.15`) or an exact version, as tags and specifiers name it.
        pythons: `MAJOR.MINOR` of every Python that it has wheels for.
        devices: every device (`cpu`, `cuda12.5-cudnn9.3`) that it can be had for.
        note: what else a reader of the table should know.
    """

    version: str
    pythons: tuple[str, ...]
    devices: tuple[str, ...] = ("cpu",)
    note: str = ""

    def fits(self, target: Target, specifier: SpecifierSet) -> bool:
        """Whether this series can be put on `target` within `specifier`."""
        return target.python in self.pythons and str(target.device) in self.devices and self.allowed(specifier)

    def allowed(self, specifier: SpecifierSet) -> bool:
        """Whether some version of this series satisfies `specifier`.

        A series is open at its end: `2.19` holds 2.19.0 and any 2.19.N. Testing both ends of that range and
        the versions that the specifier itself names covers every operator of PEP 440.
        """
        named = [Version(s.version.removesuffix(".*")) for s in specifier if s.operator != "==="]
        series = Version(self.version)
        inside = [v for v in named if v.release[: len(series.release)] == series.release]
        candidates = [series, Version(f"{self.version}.99999"), *inside]
        return any(specifier.contains(v, prereleases=True) for v in candidates)


@dataclass(frozen=True, slots=True)
class Request:
    """What a framework is asked with; everything its layers may depend on.

    Attributes:
        target: the point of the matrix.
        options: the recipe's options, an instance of the framework's own class.
        release: the newest release series that fits target and options.
        others: the chosen release series of every other framework of the recipe, by name.
    """

    target: Target
    options: Any
    release: Release
    others: Mapping[str, Release] = field(default_factory=dict)

    @property
    def requirement(self) -> str:
        """The specifier to hand to the resolver: within the chosen series and the recipe's own words."""
        asked = str(self.options.specifier)
        return f"=={self.release.version}.*" + (f",{asked}" if asked else "")


def _nothing_required(options: Any) -> tuple[str, ...]:  # noqa: ANN401, ARG001 - the default of a callable field
    return ()


@dataclass(frozen=True, slots=True)
class Framework:
    """A framework, declared by a plugin. Every callable is pure: same request, same answer.

    Attributes:
        name: the word a recipe uses; lower case.
        summary: one line for `avabuild plugins`.
        releases: what there is, newest first.
        layers: request -> the layers it contributes (`Apt`, `Python`, `Files`, `Run`, `Env`).
        check: request -> a Python program that imports the framework, prints its version, computes
            something and exits non-zero when the result is wrong.
        options: the class of its options.
        requires: options -> names of frameworks that must be in the image too (added when absent).
        source: where the releases table comes from.
        checked: the ISO date on which the table was last held against its source.
    """

    name: str
    summary: str
    releases: tuple[Release, ...]
    layers: Callable[[Request], Sequence[Layer]]
    check: Callable[[Request], str]
    options: type[Options] = Options
    requires: Callable[[Any], tuple[str, ...]] = _nothing_required
    source: str = ""
    checked: str = ""
