"""Wording what a table of releases offers, to somebody who asked for what it does not. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import groupby

from avabuild.framework import ANY_DEVICE, Release
from avabuild.target import Device, Target

_MOST = 4  # of alike things in one message


def offers(releases: Sequence[Release], target: Target) -> str:
    """Word what `releases`, newest first, offer nearest to `target`: by distribution, device or Python."""
    python, device, distribution = target.python, target.device, target.distribution
    if elsewhere := [r for r in releases if python in r.pythons and r.runs_on(device)]:
        return _rows([(f"it on {name}", of) for name, of in _by(elsewhere, lambda r: r.distributions)])
    here = [r for r in releases if python in r.pythons and r.stands_on(distribution)]
    if here:
        return _by_device(here, [name for name in _devices(here) if not _is_newer(name, device)])
    alike = [r for r in releases if r.runs_on(device) and r.stands_on(distribution)]
    return _by_python(alike or releases, python)


def newer(releases: Sequence[Release], target: Target) -> str:
    """Word what there is for a newer CUDA than the target's: what `offers` leaves out; else empty."""
    here = [r for r in releases if target.python in r.pythons and r.stands_on(target.distribution)]
    more = [name for name in _devices(here) if _is_newer(name, target.device)]
    return f"newer: {_by_device(here, more)}" if more and not any(r.runs_on(target.device) for r in here) else ""


def offers_of_device(releases: Sequence[Release]) -> str:
    """Word which of `releases` there are."""
    return f"it ({_series([r.version for r in releases], [r.version for r in releases])})"


def device_words(text: str) -> str:
    """Word a device: `cuda8.0-cudnn6` is "cuda 8.0/cudnn6"."""
    return text.replace("cuda", "cuda ", 1).replace("-", "/") if text.startswith("cuda") else text


def _is_newer(offer: str, asked: Device) -> bool:
    """Whether an offer is for a newer CUDA than the one asked for: more than that one's driver runs."""
    cuda = None if offer == ANY_DEVICE else Device.parse(offer).cuda
    return bool(asked.cuda and cuda) and _number(cuda or "") > _number(asked.cuda or "")


def _devices(releases: Iterable[Release]) -> list[str]:
    """Return every device of `releases`, by CUDA version, the CPU last."""
    found = {name for release in releases for name in release.devices}
    return sorted(found, key=lambda name: (not name.startswith("cuda"), _number(name)))


def _number(text: str) -> tuple[int, ...]:
    digits = "".join(c if c.isdigit() else " " for c in text)
    return tuple(int(part) for part in digits.split())


def _by_device(releases: Sequence[Release], names: Sequence[str]) -> str:
    """Word the nearest of the devices `names`: `8.0/cudnn6 (1.4), cpu (1.4 to 2.1)`; all if there are none."""
    names = names or _devices(releases)
    cuda = [name for name in names if name.startswith("cuda")]
    shown = [*cuda[-_MOST:], *(name for name in names if name not in cuda)]
    rows = [(_short(name), [r for r in releases if name in r.devices]) for name in shown]
    return _rows(rows, releases)


def _short(name: str) -> str:
    if name == ANY_DEVICE:
        return "any device"
    return name.removeprefix("cuda").replace("-", "/")


def _by_python(releases: Sequence[Release], asked: str | None) -> str:
    """Word the Pythons nearest to the one asked for, neighbours with the same series together."""
    table = sorted(_by(releases, lambda r: r.pythons), key=lambda row: _number(row[0]))
    alike = [list(group) for _, group in groupby(table, key=lambda row: [r.version for r in row[1]])]
    rows = []
    for group in alike:
        first, last = group[0][0], group[-1][0]
        rows.append((f"python {first}" + (f" to {last}" if last != first else ""), group[0][1]))
    at = sum(_number(group[0][0]) <= _number(asked or "3.99") for group in alike)
    begin = max(0, min(at - _MOST // 2, len(rows) - _MOST))
    cut = len(rows) > _MOST
    return _rows(rows[begin : begin + _MOST], releases) + (", ..." if cut else "")


def _by(releases: Iterable[Release], names: Callable[[Release], Iterable[str]]) -> list[tuple[str, list[Release]]]:
    """Return, for every name that `names` finds in a release, the releases that have it."""
    table: dict[str, list[Release]] = {}
    for release in releases:
        for name in names(release):
            table.setdefault(name, []).append(release)
    return list(table.items())


def _rows(rows: Sequence[tuple[str, Sequence[Release]]], whole: Sequence[Release] = ()) -> str:
    versions = [release.version for release in whole]
    return ", ".join(f"{name} ({_series([r.version for r in found], versions)})" for name, found in rows)


def _series(found: Sequence[str], table: Sequence[str]) -> str:
    """Word series, oldest first, with runs of the table as ranges: `1.4, 1.6 to 1.9`."""
    order = list(reversed(table)) or list(reversed(found))
    runs: list[list[str]] = []
    for version in reversed(found):
        if runs and order.index(version) == order.index(runs[-1][-1]) + 1:
            runs[-1].append(version)
        else:
            runs.append([version])
    return ", ".join(run[0] if len(run) == 1 else f"{run[0]} to {run[-1]}" for run in runs)
