"""Claims: every point for which a framework says that it can be had, and the options it may be asked with."""

from __future__ import annotations

import enum
import types
import typing
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from avabuild.layer.facts import Facts, assumed, homes
from avabuild.plugins.framework import ANY_DEVICE, Framework, Options, Release
from avabuild.plugins.target import Device, Target

_ANY = ("cpu", "cuda12.9-cudnn9", "cuda12.5-cudnn9.3")
_ELSEWHERE = "unknown"  # a distribution of which nothing is known: what images of other systems have


@dataclass(frozen=True, slots=True)
class Claim:
    """One release on one Python and device of its row, on one distribution.

    Attributes:
        devices: what `device` stands for, the first that goes with the required frameworks is taken.
    """

    release: Release
    python: str
    device: str
    devices: tuple[str, ...]
    distribution: str

    def __str__(self) -> str:
        return f"{self.release.version} on Python {self.python}, {self.device}, {self.distribution}"

    @property
    def facts(self) -> Facts:
        """A base of that distribution, with that Python."""
        glibc = assumed(self.distribution).glibc if self.distribution in homes() else "2.36"
        return Facts(distribution=self.distribution, glibc=glibc, apt=True, installable=(self.python,))

    def target(self, device: str) -> Target:
        """Return the claim as a target for one of its devices."""
        return Target(
            distribution=self.distribution,
            arch="x86_64",
            python=self.python,
            device=Device.parse(device),
            glibc=self.facts.glibc,
        )


def claims(framework: Framework) -> Iterator[Claim]:
    """Yield what the table claims.

    A release for any distribution is asked for on one that has the Python, and once on one that nobody knows.
    """
    for release in framework.releases:
        for number, python in enumerate(release.pythons):
            places = release.distributions or (_home(python), *([_ELSEWHERE] if number == 0 else []))
            for device in release.devices:
                devices = _ANY if device == ANY_DEVICE else _versions(device)
                for distribution in dict.fromkeys(places):
                    yield Claim(release, python, device, devices, distribution)


def _versions(device: str) -> tuple[str, ...]:
    """Return devices that `device` stands for: for `cuda12` versions of CUDA 12, the newest first."""
    found = Device.parse(device)
    if found.cuda is None or "." in found.cuda:
        return (device,)
    minors = (f"{found.cuda}.{minor}" for minor in range(9, -1, -1))
    return tuple(str(found.model_copy(update={"cuda": cuda})) for cuda in minors)


def _home(python: str) -> str:
    return next((name for name, pythons in homes().items() if python in pythons), _ELSEWHERE)


def settings(options: type[Options]) -> list[dict[str, Any]]:
    """Return the options to ask with: the defaults, then each other value of every choice, one at a time."""
    found: list[dict[str, Any]] = [{}]
    for name, field in options.model_fields.items():
        if name != "version":
            others = (value for value in values(field.annotation) if value != field.default)
            found += [{name: value} for value in others]
    return found


def values(annotation: Any) -> list[Any]:
    """Return what an option can be where it is one of a few things; nothing where it is anything."""
    if annotation is bool:
        return [False, True]
    if isinstance(annotation, type) and issubclass(annotation, enum.Enum):
        return [member.value for member in annotation]
    origin = typing.get_origin(annotation)
    if origin is Literal:
        return list(typing.get_args(annotation))
    if origin in {typing.Union, types.UnionType, typing.Annotated}:
        return [value for one in typing.get_args(annotation) for value in values(one)]
    return []
