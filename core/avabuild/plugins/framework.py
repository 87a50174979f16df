"""Framework: what a plugin declares, and what it is asked with."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import Version
from pydantic import BaseModel, ConfigDict, Field, field_validator

from avabuild.common.value import Value
from avabuild.plugins.kinds import Layer
from avabuild.plugins.target import Device, Target

ANY_DEVICE = "any"
PREFIX = "/opt/venv"  # of every image's environment: docs/decisions/0003-venv-at-a-fixed-prefix.md


class Impossible(ValueError):  # noqa: N818 - a plugin raises it as a word of its own
    """Raised by a framework's callables when what the recipe asks can't be had for the target.

    The user is told the text as it stands, and `hint`, what to do instead.
    """

    def __init__(self, text: str, hint: str | None = None) -> None:
        super().__init__(text)
        self.hint = hint


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
            how = 'write "*", "2.19", "~=2.19" or ">=2,<3"'
            raise ValueError(f'"{text}" is no version specifier; {how}') from None
        return text

    @property
    def specifier(self) -> SpecifierSet:
        """The version as a specifier set; `*` allows everything and a bare `2.19` means `==2.19.*`."""
        return _specifier(self.version)

    def allows(self, release: Release) -> bool:
        """Whether `release` is among those that the recipe asks for; a subclass may narrow it further."""
        return release.allowed(self.specifier)


def _specifier(text: str) -> SpecifierSet:
    text = text.strip()
    if text == "*":
        return SpecifierSet()
    if text[:1].isdigit():
        return SpecifierSet(f"=={text.removesuffix('.*')}.*")
    return SpecifierSet(text)


class ForDevice(Value):
    """What a release needs on some of its devices only.

    Attributes:
        device: one of the release's devices, or `cuda12` for those of any CUDA 12.
        constraints: requirements that limit other packages there, as `Release.constraints`.
        apt: packages of the distribution that it can't do without there.
    """

    device: str
    constraints: tuple[str, ...] = ()
    apt: tuple[str, ...] = ()

    @field_validator("device")
    @classmethod
    def _is_a_device(cls, device: str) -> str:
        Device.parse(device)
        return device

    @field_validator("constraints")
    @classmethod
    def _are_requirements(cls, constraints: tuple[str, ...]) -> tuple[str, ...]:
        return _requirements(constraints)


def _requirements(texts: tuple[str, ...]) -> tuple[str, ...]:
    """Return `texts`; raise ValueError for one that is not a requirement (PEP 508)."""
    for text in texts:
        try:
            Requirement(text)
        except InvalidRequirement as error:
            raise ValueError(f'"{text}" is not a requirement: {str(error).splitlines()[0]}') from None
    return texts


class Release(Value):
    """One release series of a framework, where it works, and what it needs beside it.

    Attributes:
        version: the series (`2.19`, `1.15`) or an exact version, as tags and specifiers name it.
        pythons: `MAJOR.MINOR` of every Python that it has wheels for.
        devices: every device (`cpu`, `cuda12.5-cudnn9.3`) that it can be had for; one without a cuDNN takes
            whichever the image has, `cuda12` serves every CUDA 12, and `any` means all devices.
        note: what else a reader of the table should know.
        constraints: requirements (PEP 508) that limit other packages without asking for them. One that bears
            another framework's name limits which of its series are chosen beside this one.
        apt: packages of the distribution that it can't do without, under one name on all of them.
        distributions: code names (`bookworm`) of those on which it can be had; empty means any.
        by_device: what it needs on some of its devices only, beside the rest.
    """

    version: str
    pythons: tuple[str, ...]
    devices: tuple[str, ...] = ("cpu",)
    note: str = ""
    constraints: tuple[str, ...] = ()
    apt: tuple[str, ...] = ()
    distributions: tuple[str, ...] = ()
    by_device: tuple[ForDevice, ...] = ()

    @field_validator("devices")
    @classmethod
    def _are_devices(cls, devices: tuple[str, ...]) -> tuple[str, ...]:
        for text in devices:
            if text != ANY_DEVICE:
                Device.parse(text)
        return devices

    @field_validator("constraints")
    @classmethod
    def _are_requirements(cls, constraints: tuple[str, ...]) -> tuple[str, ...]:
        return _requirements(constraints)

    def fits(self, target: Target) -> bool:
        """Whether this series works on `target`: its Python, its device and its distribution."""
        return (
            target.python in self.pythons
            and self.runs_on(target.device)
            and self.stands_on(target.distribution)
        )

    def runs_on(self, device: Device) -> bool:
        """Whether the series can be had for `device`; a cuDNN that is not told whole takes what there is."""
        return any(offer == ANY_DEVICE or _serves(Device.parse(offer), device) for offer in self.devices)

    def stands_on(self, distribution: str) -> bool:
        """Whether the series can be had on `distribution`."""
        return not self.distributions or distribution in self.distributions

    def packages(self, device: Device) -> tuple[str, ...]:
        """Return the packages of the distribution that it can't do without on `device`."""
        return (*self.apt, *(name for one in self._on(device) for name in one.apt))

    def _on(self, device: Device) -> Iterator[ForDevice]:
        return (one for one in self.by_device if _serves(Device.parse(one.device), device))

    def limits(self, python: str | None, device: Device | None = None) -> tuple[Requirement, ...]:
        """Return those of the constraints, with those for `device`, whose markers hold on `python`."""
        more = self._on(device) if device else ()
        texts = (*self.constraints, *(text for one in more for text in one.constraints))
        found = (Requirement(text) for text in texts)
        environment = {"python_version": python or "3", "python_full_version": f"{python or '3'}.0"}
        return tuple(r for r in found if r.marker is None or r.marker.evaluate(environment))

    def allowed(self, specifier: SpecifierSet) -> bool:
        """Whether some version of this series satisfies `specifier`.

        A series is open at its end: `2.19` holds 2.19.0 and any 2.19.N. The versions to try are its two
        ends, those that the specifier names, and their neighbours; a series that is one post- or
        pre-release holds just that.
        """
        first = Version(self.version)
        if first.is_postrelease or first.is_prerelease:
            return specifier.contains(first, prereleases=True)
        ends = [first, Version(f"{self.version}.99999")]
        named = [Version(s.version.removesuffix(".*")) for s in specifier]
        inside = [v for v in named if v.release[: len(first.release)] == first.release]
        near = [n for v in inside if len(v.release) > len(first.release) for n in _neighbours(v)]
        return any(specifier.contains(v, prereleases=True) for v in [*ends, *inside, *near])


def _serves(offer: Device, asked: Device) -> bool:
    """Whether an image for `asked` may hold what was made for `offer`: 9.0 with 7 goes with 9.0 and 7.4.

    An offer of a major version alone, `cuda12`, goes with every CUDA 12.
    """
    major = (asked.cuda or "").partition(".")[0]
    if offer.cuda not in {asked.cuda, major}:
        return False
    if offer.cudnn is None or asked.cudnn is None:
        return True
    shorter, longer = sorted((offer.cudnn, asked.cudnn), key=len)
    return f"{longer}.".startswith(f"{shorter}.")


def _neighbours(version: Version) -> tuple[Version, ...]:
    """Return the versions one below and one above in the last number."""
    *head, last = version.release
    numbers = ([*head, last + step] for step in (-1, 1) if last + step >= 0)
    return tuple(Version(".".join(map(str, number))) for number in numbers)


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
        asked, series = str(self.options.specifier), Version(self.release.version)
        end = "" if series.is_prerelease or series.is_postrelease else ".*"  # one of those is no series
        return f"=={self.release.version}{end}" + (f",{asked}" if asked else "")

    @property
    def site_packages(self) -> str:
        """Where Python packages are in the image, absolute: for a variable or a file that must name it.

        Python 2.7 has no environments of files alone: its packages are where Debian has pip put them.
        """
        if self.target.python == "2.7":
            return "/usr/local/lib/python2.7/dist-packages"
        return f"{PREFIX}/lib/python{self.target.python}/site-packages"


@dataclass(frozen=True, slots=True)
class Wanted:
    """The image that a framework is asked for, before releases are chosen.

    Attributes:
        target: the point of the matrix.
        frameworks: the names of all frameworks that the recipe itself asks for, sorted.
    """

    target: Target
    frameworks: tuple[str, ...] = ()


def _nothing_required(options: Any) -> tuple[str, ...]:  # noqa: ARG001 - the default of a callable field
    return ()


@dataclass(frozen=True, slots=True)
class Framework:
    """A framework, declared by a plugin. Every callable is pure: same request, same answer.

    Attributes:
        name: the word a recipe uses; lower case.
        summary: one line for `avabuild plugins`.
        releases: what there is, newest first.
        layers: request -> the layers it contributes (`Apt`, `Python`, `Files`, `Run`, `Env`,
            `Libraries`).
        check: request -> a Python program that imports the framework, prints its version, computes
            something and exits non-zero when the result is wrong.
        options: the class of its options.
        requires: options -> names of frameworks that must be in the image too (added when absent); a callable
            of two arguments is given the options and what is `Wanted`.
        source: where the releases table comes from.
        checked: the ISO date on which the table was last held against its source.
    """

    name: str
    summary: str
    releases: tuple[Release, ...]
    layers: Callable[[Request], Iterable[Layer]]
    check: Callable[[Request], str]
    options: type[Options] = Options
    requires: Callable[[Any], Iterable[str]] | Callable[[Any, Wanted], Iterable[str]] = _nothing_required
    source: str = ""
    checked: str = ""
