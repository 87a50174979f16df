"""What a plugin declared, held against the contract: the type of every field, before any of it is called."""

from __future__ import annotations

import re
from typing import Any

from packaging.version import Version

from avabuild.plugins.bases_offered import BaseOptions, OfferedBase
from avabuild.plugins.framework import Framework, Options, Release
from avabuild.plugins.policy import Policy
from avabuild.plugins.provider import Kind

BASE_NAME = re.compile(r"[a-z][a-z0-9_]*")
TAKEN = ("archive", "debian", "device", "image", "mirror", "python", "recipe", "scratch")
"""The words that a base table has already."""
_TYPES: dict[Kind, type[Framework | Policy | OfferedBase]] = {
    "framework": Framework,
    "policy": Policy,
    "base": OfferedBase,
}


def refuse_faulty(kind: Kind, value: Any) -> None:
    """Raise TypeError or ValueError for a `value` that is not what the hook of `kind` declares."""
    expected = _TYPES[kind]
    if not isinstance(value, expected):
        article = "an" if kind == "base" else "a"
        raise TypeError(f"expected {article} {expected.__name__}, got {value!r:.80}")
    _require(value, {"name": str, "summary": str})
    if isinstance(value, Framework):
        _framework(value)
    elif isinstance(value, OfferedBase):
        _base(value)
    else:
        _callables(value, "amend")


def _require(value: Any, fields: dict[str, type]) -> None:
    for field, kind in fields.items():
        if not isinstance(getattr(value, field), kind):
            raise TypeError(f"{field} must be a {kind.__name__}, not {getattr(value, field)!r:.80}")


def _callables(value: Any, *fields: str) -> None:
    for field in fields:
        if not callable(getattr(value, field)):
            raise TypeError(f"{field} must be callable, not {getattr(value, field)!r:.80}")


def _options(options: Any, parent: type) -> None:
    if not (isinstance(options, type) and issubclass(options, parent)):
        raise TypeError(f"options must be a subclass of {parent.__name__}, not {options!r:.80}")


def _framework(value: Framework) -> None:
    _require(value, {"releases": tuple, "source": str, "checked": str})
    _callables(value, "layers", "check", "requires")
    _options(value.options, Options)
    if not value.releases or not all(isinstance(release, Release) for release in value.releases):
        raise TypeError("releases must be one Release or more")
    versions = [Version(release.version) for release in value.releases]
    if versions != sorted(set(versions), reverse=True):
        raise ValueError("releases must be newest first, each series once")


def _base(value: OfferedBase) -> None:
    _callables(value, "resolve")
    _options(value.options, BaseOptions)
    if value.name in TAKEN or not BASE_NAME.fullmatch(value.name):
        raise ValueError(f'"{value.name}" can be no key of its own in a base table')
    if value.name not in value.options.model_fields:
        raise ValueError(f"{value.options.__name__} must have a field {value.name}")
