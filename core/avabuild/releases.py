"""Choosing the release series of a framework for a target, and saying what there is when none fits."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby, pairwise

from avabuild.errors import TargetError
from avabuild.framework import ANY_DEVICE, Framework, Options, Release
from avabuild.target import Target

_MOST_OFFERS = 4


def select(framework: Framework, options: Options, target: Target) -> Release:
    """Return the newest series of `framework` within the options' version that works on `target`.

    Raises:
        TargetError: no series is within the version, or none of those works there; says what would.
    """
    asked = options.version
    within = [release for release in framework.releases if release.allowed(options.specifier)]
    if not within:
        raise TargetError(f'{framework.name}: no release matches "{asked}"; {_newest(framework.releases)}')
    for release in within:
        if release.fits(target):
            return release
    wanted = "no release" if asked == "*" else f'no release within "{asked}"'
    python = f"python {target.python}" if target.python else "an image without python"
    offers = _offers(_closest(within, target))
    raise TargetError(f"{framework.name}: {wanted} for {python} with {target.device}; it offers {offers}")


def _closest(releases: Sequence[Release], target: Target) -> Sequence[Release]:
    """Return those with the target's Python, else those with its device, else all."""
    same_python = [release for release in releases if target.python in release.pythons]
    return same_python or [release for release in releases if release.runs_on(target.device)] or releases


def _newest(releases: Sequence[Release]) -> str:
    shown = ", ".join(release.version for release in releases[:3])
    return f"newest are {shown}" + (f"; oldest is {releases[-1].version}" if len(releases) > 3 else "")


def _offers(releases: Sequence[Release]) -> str:
    """Word what series there are, alike neighbours together: `cpu on python 3.9 to 3.13 (2.20)`."""
    rows = []
    for (devices, pythons), alike in groupby(releases, lambda release: (release.devices, release.pythons)):
        series = _series([release.version for release in alike])
        rows.append(f"{_devices(devices)} on python {_span(pythons)} ({series})")
    return ", ".join([*rows[:_MOST_OFFERS], *(["..."] if len(rows) > _MOST_OFFERS else [])])


def _devices(offers: Sequence[str]) -> str:
    return "any device" if ANY_DEVICE in offers else " or ".join(offers)


def _series(versions: Sequence[str]) -> str:
    return ", ".join(versions) if len(versions) < 3 else f"{versions[0]} to {versions[-1]}"


def _span(pythons: Iterable[str]) -> str:
    """Word Pythons as a range where no minor version is missing between the first and the last."""
    numbers = sorted(tuple(int(part) for part in python.split(".")) for python in pythons)
    words = [".".join(map(str, number)) for number in numbers]
    unbroken = all((a[0], a[1] + 1) == b for a, b in pairwise(numbers))
    return f"{words[0]} to {words[-1]}" if unbroken and len(words) > 1 else ", ".join(words)
