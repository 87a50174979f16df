"""Rules about what a plugin declares: names, options and the table, before anything of it is asked."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date
from typing import Any

from packaging.version import InvalidVersion, Version
from pydantic import BaseModel, ValidationError
from pydantic_core import PydanticUndefined

from avabuild.authoring.conformance.finding import Finding
from avabuild.layer.facts import homes
from avabuild.plugins.framework import Framework, Release
from avabuild.plugins.wording import did_you_mean

_NAME = re.compile(r"[a-z0-9]+([._-][a-z0-9]+)*")
_PYTHON = re.compile(r"[23]\.\d{1,2}")
_LONGEST = 100


def declared(framework: Framework) -> Iterator[Finding]:
    """Yield what its own words lack."""
    name = framework.name
    if not _NAME.fullmatch(name):
        yield Finding("declared", f'"{name}" is no name', "use lower-case letters, digits and -", "name")
    yield from words(name, framework.summary)
    if not framework.source.strip():
        fix = 'write source="metadata of the published wheels", or wherever you looked'
        yield Finding("declared", "nobody can tell where its table comes from", fix, f"{name}: source")
    try:
        date.fromisoformat(framework.checked)
    except ValueError:
        fix = 'write checked="2026-11-24": the day on which you last compared the table'
        yield Finding("declared", f'"{framework.checked}" is no date', fix, f"{name}: checked")


def words(name: str, summary: str) -> Iterator[Finding]:
    """Yield what is wrong with a summary."""
    if not summary.strip() or "\n" in summary or len(summary) > _LONGEST:
        fix = f"one line of at most {_LONGEST} characters: `avabuild plugins` shows it"
        yield Finding("declared", f'"{summary:.40}" is no summary', fix, f"{name}: summary")


def options(cls: type[BaseModel], required: str = "") -> Iterator[Finding]:
    """Yield what is wrong with a class of options, of which `required` needs no default."""
    for name, field in cls.model_fields.items():
        place = f"{cls.__name__}.{name}"
        if not (field.description or "").strip():
            fix = f'{name}: ... = Field(default=..., description="What it does")'
            yield Finding("options", "the option has no description", fix, place)
        default = field.get_default(call_default_factory=True, validated_data={})
        if default is PydanticUndefined:
            if name != required:
                fix = "give it a default: a recipe may ask for the framework with a version alone"
                yield Finding("options", "the option has no default", fix, place)
        elif problem := _refused(cls, name, default):
            yield Finding(
                "options", f"its default {default!r} is refused: {problem}", "give a valid one", place
            )
    if cls.model_config.get("extra") != "forbid" or not cls.model_config.get("frozen"):
        fix = "leave extra and frozen of model_config as they are: a misspelt option must be an error"
        yield Finding("options", "it takes options that nobody reads, or lets them change", fix, cls.__name__)
    try:
        cls.model_json_schema()
    except Exception as error:  # noqa: BLE001 - whatever a field of the plugin's own raises
        fix = "use types that TOML has: text, numbers, booleans, lists, tables"
        yield Finding("options", f"has no JSON schema: {str(error).splitlines()[0]}", fix, cls.__name__)


def _refused(cls: type[BaseModel], name: str, default: Any) -> str:
    try:
        cls.__pydantic_validator__.validate_assignment(cls.model_construct(), name, default)
    except ValidationError as error:
        mine = [problem for problem in error.errors() if problem["type"] != "frozen_instance"]
        return str(mine[0]["msg"]) if mine else ""
    except Exception as error:  # noqa: BLE001 - a validator of the plugin's own
        return f"{type(error).__name__}: {error}"
    return ""


def releases(framework: Framework) -> Iterator[Finding]:
    """Yield what is wrong with the table; that it is newest first was asked when it was loaded."""
    for release in framework.releases:
        place = f"{framework.name}: the release {release.version}"
        yield from (Finding("releases", what, fix, place) for what, fix in _row(release))


def _row(release: Release) -> Iterator[tuple[str, str]]:
    try:
        Version(release.version)
    except InvalidVersion:
        yield f'"{release.version}" is no version', 'write it as "2.19" or "1.15.2"'
    if not release.pythons:
        yield "it is for no Python", 'name them: pythons=("3.12", "3.13")'
    for python in release.pythons:
        if not _PYTHON.fullmatch(python):
            yield f'"{python}" is no Python', 'write MAJOR.MINOR: "3.12"'
    if not release.devices:
        yield "it is for no device", 'leave devices out for the CPU, or write devices=("cpu", "cuda12.9")'
    known = homes()
    for name in release.distributions:
        if name not in known and (near := did_you_mean(name, known)):
            yield f'"{name}" is not the code name of a distribution that avabuild knows{near}', "correct it"
    for title in ("pythons", "devices", "distributions", "constraints", "apt"):
        values = getattr(release, title)
        if twice := sorted({value for value in values if values.count(value) > 1}):
            yield f"{title} names {', '.join(twice)} twice", "name it once"
