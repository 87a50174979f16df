"""About: what an sdist says of itself once it was looked into, and how uv and pip are told."""

from __future__ import annotations

import json
from collections.abc import Iterable

from packaging.metadata import parse_email
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from avabuild.common.errors import ResolveError
from avabuild.common.value import Value

UNNAMED = "avabuild-unnamed"  # a project whose name nobody knows before it was looked into


class About(Value):
    """The part of a project's metadata that decides a resolution: normalised name, version and needs."""

    name: str
    version: str
    requires: tuple[str, ...] = ()
    python: str = ""
    extras: tuple[str, ...] = ()


def read_about(data: bytes) -> About:
    """Return what a METADATA file says; ResolveError for one that nobody can resolve with."""
    raw, _ = parse_email(data)
    name, version = raw.get("name", ""), raw.get("version", "")
    try:
        requires = tuple(str(Requirement(text)) for text in raw.get("requires_dist", []))
        return About(
            name=str(canonicalize_name(name, validate=True)),
            version=str(Version(version)),
            requires=requires,
            python=raw.get("requires_python", ""),
            extras=tuple(raw.get("provides_extra", [])),
        )
    except (InvalidRequirement, InvalidVersion, ValueError) as error:
        raise ResolveError(f"the metadata of {name or 'a source'} can't be used: {error}") from error


def metadata(about: About) -> str:
    """Return the METADATA that tells pip what a source says of itself."""
    return "".join(
        f"{line}\n"
        for line in (
            "Metadata-Version: 2.1",
            f"Name: {about.name}",
            f"Version: {about.version}",
            *([f"Requires-Python: {about.python}"] if about.python else []),
            *(f"Provides-Extra: {extra}" for extra in about.extras),
            *(f"Requires-Dist: {text}" for text in about.requires),
        )
    )


def configuration(known: Iterable[About]) -> str:
    """Return the uv.toml that tells uv all that is `known`."""
    lines = []
    for one in sorted(known, key=lambda one: (one.name, one.version)):
        lines += [
            "[[dependency-metadata]]",
            f"name = {json.dumps(one.name)}",
            f"version = {json.dumps(one.version)}",
            f"requires-dist = {json.dumps(list(one.requires))}",
            f"provides-extra = {json.dumps(list(one.extras))}",
            *([f"requires-python = {json.dumps(one.python)}"] if one.python else []),
            "",
        ]
    return "\n".join(lines)
