"""The first table of a new plugin: what an index has of a project, for each Python, as wheels."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from packaging.utils import canonicalize_name
from packaging.version import Version

from avabuild.common.errors import ResolveError
from avabuild.resolve import Indexes, NeedsBuild, Platform, Resolved, Resolver

PYTHONS = ("3.14", "3.13", "3.12", "3.11", "3.10", "3.9")
"""Those that are asked about, newest first."""

_GLIBC = "2.36"
_AT_A_TIME = 3


@dataclass(frozen=True, slots=True)
class Row:
    """A release series and the Pythons that it has wheels for, oldest first."""

    series: str
    pythons: tuple[str, ...]


def newest(project: str, indexes: Indexes, pythons: Sequence[str] = PYTHONS) -> tuple[Row, ...]:
    """Return the series of `project` that an installer would choose for each Python, newest first.

    Empty when there is nothing but sources.

    Raises:
        ResolveError: no index has the project.
        UnavailableError: an index did not answer.
    """

    def ask(python: str) -> Sequence[Resolved]:
        with tempfile.TemporaryDirectory(prefix="avabuild-new-") as place:
            directory = Path(place)
            resolver = Resolver(Platform(python, "x86_64", _GLIBC), indexes, directory, directory)
            return resolver.resolve([project])

    with ThreadPoolExecutor(_AT_A_TIME) as pool:
        answers = list(pool.map(lambda python: _answer(ask, python), pythons))
    return rows(project, dict(zip(pythons, answers, strict=True)))


def _answer(ask: Callable[[str], Sequence[Resolved]], python: str) -> Sequence[Resolved] | ResolveError:
    try:
        return ask(python)
    except ResolveError as error:  # also for what only has sources there
        return error


def series_of(version: str) -> str:
    """Return the series that `version` is of: its first two numbers, of `0.48b0` and `2.1+cpu` too."""
    parsed = Version(version)
    epoch = f"{parsed.epoch}!" if parsed.epoch else ""
    return epoch + ".".join(map(str, parsed.release[:2]))


def rows(project: str, answers: Mapping[str, Sequence[Resolved] | ResolveError]) -> tuple[Row, ...]:
    """Return the rows of what was found for each Python; one without a wheel of `project` is in none.

    Raises:
        ResolveError: there is no answer for any Python.
    """
    refused = [answer for answer in answers.values() if isinstance(answer, ResolveError)]
    if len(refused) == len(answers) and not any(isinstance(error, NeedsBuild) for error in refused):
        raise refused[0]
    found: dict[str, list[str]] = {}
    for python, answer in answers.items():
        for one in () if isinstance(answer, ResolveError) else answer:
            if one.package.name == canonicalize_name(project) and one.package.kind == "wheel":
                found.setdefault(series_of(one.package.version), []).append(python)
    ordered = sorted(found, key=Version, reverse=True)
    return tuple(Row(series, tuple(sorted(found[series], key=Version))) for series in ordered)
