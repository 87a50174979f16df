"""Choosing the release series of an image's frameworks: the newest that fit the target and one another."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from itertools import combinations

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from avabuild.common.errors import TargetError
from avabuild.plugins.framework import ANY_DEVICE, Framework, Options, Release
from avabuild.plugins.target import Device, Target

Asked = Sequence[tuple[Framework, Options]]
Table = Sequence[Release]
_POINTS = ("==", "===", "~=", ">=")  # operators that name a version from which on, or at which, one is wanted


def select(framework: Framework, options: Options, target: Target) -> Release:
    """Return the newest series of `framework` within the options that works on `target`.

    Raises:
        TargetError: no series is within the options, or none of those works there; says what would.
    """
    return _fitting(framework, options, target)[0]


def choose(asked: Asked, target: Target, without: Sequence[str] = ()) -> dict[str, Release]:
    """Return a series for every framework, by name: the newest that fit `target` and one another.

    Series `without` (`keras 3.15`) are left out.

    Where the newest contradict each other, as few steps back as possible are taken, in all tables together.

    Raises:
        TargetError: one fits nothing, or two can't be in one image; says what would, and names both.
    """
    tables: dict[str, Table] = {}
    for framework, options in asked:
        try:
            tables[framework.name] = _fitting(framework, options, target, without)
        except TargetError as error:
            if together := _together(framework, asked, target):
                error.hint = "; ".join(filter(None, (together, error.hint)))
            raise
    found = _meeting(tables, target)
    if found is None:
        raise _contradiction(asked, tables, target)
    return found


def _fitting(framework: Framework, options: Options, target: Target, without: Sequence[str] = ()) -> Table:
    kept = [r for r in framework.releases if f"{framework.name} {r.version}" not in without]
    within = [release for release in kept if options.allows(release)]
    if not within:
        raise TargetError(
            f'{framework.name}: no release matches "{options.version}"; '
            + (_nearest(framework.releases, options) or _newest(framework.releases))
        )
    fitting = [release for release in within if release.fits(target)]
    if not fitting:
        wanted = "no release" if options.version == "*" else f'no release within "{options.version}"'
        where = f" on {target.distribution}" if lacks_distribution(within, target) else ""
        raise TargetError(
            f"{framework.name}: {wanted} {_for(target)}{where}; it offers {offers(within, target)}",
            hint=newer(within, target),
        )
    return fitting


def _for(target: Target) -> str:
    python = f"python {target.python}" if target.python else "an image without python"
    return f"for {python} with {device_words(str(target.device))}"


def _newest(releases: Table) -> str:
    shown = ", ".join(release.version for release in releases[:3])
    return f"newest are {shown}" + (f"; oldest is {releases[-1].version}" if len(releases) > 3 else "")


def _nearest(releases: Table, options: Options) -> str:
    """Say which series are beside a gap that is asked for, empty where that is outside of the table."""
    wanted = [Version(one.version.removesuffix(".*")) for one in options.specifier if one.operator in _POINTS]
    if not wanted:
        return ""
    whole = options.model_copy(update={"version": "*"})
    versions = [one.version for one in releases if whole.allows(one)]
    newer = [version for version in versions if Version(version) > wanted[0]]
    older = [version for version in versions if Version(version) < wanted[0]]
    if not newer or not older:
        return ""
    return f"the nearest are {older[0]} and {newer[-1]}, and between them there is none"


# -- frameworks beside one another -------------------------------------------------------------------------


def _meeting(tables: Mapping[str, Table], target: Target) -> dict[str, Release] | None:
    """Return the newest series of `tables` that contradict nothing, None when there are none.

    A state is one row per table. Whatever meets lies beyond a contradiction only by a step of one of its two
    tables, so from the newest rows on just these steps are followed, fewest first.
    """
    names = sorted(tables)
    between = cache(lambda a, i, b, j: contradiction(a, tables[a][i], b, tables[b][j], target))

    def first(rows: tuple[int, ...]) -> tuple[int, int] | None:
        pairs = combinations(range(len(names)), 2)
        return next(((a, b) for a, b in pairs if between(names[a], rows[a], names[b], rows[b])), None)

    start = (0,) * len(names)
    queue, seen = [(0, start)], {start}
    while queue:
        steps, rows = heapq.heappop(queue)
        pair = first(rows)
        if pair is None:
            return {name: tables[name][row] for name, row in zip(names, rows, strict=True)}
        for index in pair:
            other = (*rows[:index], rows[index] + 1, *rows[index + 1 :])
            if other[index] < len(tables[names[index]]) and other not in seen:
                seen.add(other)
                heapq.heappush(queue, (steps + 1, other))
    return None


def contradiction(name: str, release: Release, other: str, beside: Release, target: Target) -> str:
    """Return why two series can't be in one image, empty when their pins don't say so."""
    device = target.device
    mine, theirs = release.limits(target.python, device), beside.limits(target.python, device)
    for requirement, about, whose in (
        *((r, beside, other) for r in mine),
        *((r, release, name) for r in theirs),
    ):
        if canonicalize_name(requirement.name) == whose and not about.allowed(requirement.specifier):
            by = name if whose == other else other
            return f"{by} needs {_text(requirement)}"
    for one in mine:
        for two in theirs:
            same = canonicalize_name(one.name) == canonicalize_name(two.name)
            if same and (one.specifier & two.specifier).is_unsatisfiable():
                return f"{name} needs {_text(one)}, {other} needs {_text(two)}"
    return ""


def _text(requirement: Requirement) -> str:
    return f"{requirement.name}{requirement.specifier}"


def _contradiction(asked: Asked, tables: Mapping[str, Table], target: Target) -> TargetError:
    """Return the error for tables that don't meet: who contradicts whom, and what could meet."""
    pairs = list(combinations(sorted(tables), 2))
    newest = {name: table[0] for name, table in tables.items()}
    alone = [(a, b) for a, b in pairs if _meeting({a: tables[a], b: tables[b]}, target) is None]
    touching = [(a, b) for a, b in pairs if contradiction(a, newest[a], b, newest[b], target)]
    one, two = (alone or touching)[0]
    why = contradiction(one, newest[one], two, newest[two], target)
    whole = {f.name: [r for r in f.releases if r.fits(target)] for f, _ in asked}
    near = _meeting({one: whole[one], two: whole[two]}, target)
    message = f"{one} {newest[one].version} and {two} {newest[two].version} can't be in one image: {why}"
    if near is None:
        return TargetError(f"{message}; no releases of them {_for(target)} can", hint="make two images")
    pair = f"{one} {near[one].version} with {two} {near[two].version}"
    return TargetError(f"{message}; the nearest that can: {pair}", hint="ask for these in [frameworks]")


def _together(framework: Framework, asked: Asked, target: Target) -> str:
    """Return which other framework fits a target that `framework` doesn't, and where both can be had."""
    for other, options in asked:
        fitting = [r for r in other.releases if options.allows(r) and r.fits(target)]
        if other.name == framework.name or not fitting or ANY_DEVICE in fitting[0].devices:
            continue
        has = f"{other.name} has it ({series(fitting)})"
        pair = [(f, o) for f, o in asked if f.name in {framework.name, other.name}]
        for device in _devices(pair, target):
            near = _meeting_on(pair, target.model_copy(update={"device": device}))
            if near:
                rows = " and ".join(f"{name} {release.version}" for name, release in sorted(near.items()))
                return f"{has}; the nearest for both is {device_words(str(device))}: {rows}"
        return f"{has}; nothing {_for(target).partition(' with ')[0]} is for both"
    return ""


def _meeting_on(pair: Asked, target: Target) -> dict[str, Release] | None:
    tables = {f.name: [r for r in f.releases if o.allows(r) and r.fits(target)] for f, o in pair}
    return _meeting(tables, target) if all(tables.values()) else None


def _devices(pair: Asked, target: Target) -> list[Device]:
    """Return the devices that any of the two is made for, those that are most like the target's first."""
    offered = {offer for f, _ in pair for r in f.releases for offer in r.devices if offer != ANY_DEVICE}
    return sorted(map(Device.parse, sorted(offered)), key=_distance(target.device))


def _distance(device: Device) -> Callable[[Device], tuple[bool, bool, float, bool]]:
    def distance(other: Device) -> tuple[bool, bool, float, bool]:
        mine, theirs = float(device.cuda or 0), float(other.cuda or 0)
        return (not other.cuda, theirs > mine, abs(theirs - mine), other.cudnn is None)

    return distance


# -- wording what a table of releases offers, to somebody who asked for what it does not. Pure ---------------


_MOST = 4  # of alike things in one message


def offers(releases: Sequence[Release], target: Target) -> str:
    """Word what `releases`, newest first, offer nearest to `target`: by distribution, device or Python."""
    if lacks_distribution(releases, target):
        return _rows(_by(_alike(releases, target), lambda release: release.distributions))
    here = _here(releases, target)
    if here:
        names = _devices_of(here)
        older = [name for name in names if not _is_newer(name, target.device)] or names
        cuda = [name for name in older if name.startswith("cuda")]
        return _by_device(here, [*cuda[-_MOST:], *older[len(cuda) :]])
    usable = [r for r in releases if r.runs_on(target.device) and r.stands_on(target.distribution)]
    return _by_python(usable or releases, target.python)


def newer(releases: Sequence[Release], target: Target) -> str | None:
    """Word what there is for a newer CUDA than the target's, which `offers` leaves out; None for nothing."""
    here = _here(releases, target)
    names = _devices_of(here)
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


def _devices_of(releases: Iterable[Release]) -> list[str]:
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
