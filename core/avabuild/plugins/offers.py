"""Wording what a table of releases offers, to somebody who asked for what it does not. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from avabuild.plugins.framework import ANY_DEVICE, Release
from avabuild.plugins.target import Device, Target

_MOST = 4  # of alike things in one message


def offers(releases: Sequence[Release], target: Target) -> str:
    """Word what `releases`, newest first, offer nearest to `target`: by distribution, device or Python."""
    if lacks_distribution(releases, target):
        return _rows(_by(_alike(releases, target), lambda release: release.distributions))
    here = _here(releases, target)
    if here:
        names = _devices(here)
        older = [name for name in names if not _is_newer(name, target.device)] or names
        cuda = [name for name in older if name.startswith("cuda")]
        return _by_device(here, [*cuda[-_MOST:], *older[len(cuda) :]])
    usable = [r for r in releases if r.runs_on(target.device) and r.stands_on(target.distribution)]
    return _by_python(usable or releases, target.python)


def newer(releases: Sequence[Release], target: Target) -> str | None:
    """Word what there is for a newer CUDA than the target's, which `offers` leaves out; None for nothing."""
    here = _here(releases, target)
    names = _devices(here)
    more = [name for name in names if _is_newer(name, target.device)]
    if lacks_distribution(releases, target) or len(more) == len(names) or not more:
        return None
    return f"for a newer CUDA: {_by_device(here, more[:_MOST])}"


def lacks_distribution(releases: Sequence[Release], target: Target) -> bool:
    """Whether nothing but the target's distribution keeps `releases` from it."""
    return bool(_alike(releases, target))


def _alike(releases: Sequence[Release], target: Target) -> list[Release]:
    return [r for r in releases if target.python in r.pythons and r.runs_on(target.device)]


def _here(releases: Sequence[Release], target: Target) -> list[Release]:
    return [r for r in releases if target.python in r.pythons and r.stands_on(target.distribution)]


def series(releases: Sequence[Release]) -> str:
    """Word the series of `releases`, newest first, as a range: `1.2 to 1.6`."""
    return _span([release.version for release in (*releases[:0:-1], releases[0])])


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
    """Word what there is for the devices `names`: `8.0/cudnn6 (1.4), cpu (1.4 to 2.1)`."""
    return _rows([(_short(name), [r for r in releases if name in r.devices]) for name in names], releases)


def _short(name: str) -> str:
    if name == ANY_DEVICE:
        return "any device"
    return name.removeprefix("cuda").replace("-", "/")


def _by_python(releases: Sequence[Release], asked: str | None) -> str:
    """Word the Pythons nearest to the one asked for, neighbours with the same series together."""
    table = sorted(_by(releases, lambda r: r.pythons), key=lambda row: _number(row[0]))
    alike: list[list[tuple[str, list[Release]]]] = []
    for name, found in table:
        if alike and alike[-1][0][1] == found and _follows(alike[-1][-1][0], name):
            alike[-1].append((name, found))
        else:
            alike.append([(name, found)])
    rows = [(_span([name for name, _ in group]), group[0][1]) for group in alike]
    at = sum(_number(group[0][0]) <= _number(asked or "3.99") for group in alike)
    begin = max(0, min(at - _MOST // 2, len(rows) - _MOST))
    shown = _rows(rows[begin : begin + _MOST], releases)
    before, after = "..., " if begin else "", ", ..." if begin + _MOST < len(rows) else ""
    return f"python {before}{shown}{after}"


def _follows(python: str, other: str) -> bool:
    (*major, minor), (*other_major, other_minor) = _number(python), _number(other)
    return major == other_major and minor + 1 == other_minor


def _span(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} to {names[-1]}"


def _by(
    releases: Iterable[Release], names: Callable[[Release], Iterable[str]]
) -> list[tuple[str, list[Release]]]:
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
    return ", ".join(map(_span, runs))
