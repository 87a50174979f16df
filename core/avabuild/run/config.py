"""Configuration: the user's settings from config.toml, or all of its problems, by line."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from avabuild.common.errors import Problem, RecipeError, SettingsError
from avabuild.host.means import Mode, Runner
from avabuild.host.places import config_path
from avabuild.host.settings import DriverChoice, Settings, settings_of
from avabuild.plugins.provider import Trust
from avabuild.plugins.wording import did_you_mean, listed
from avabuild.recipe.document import Source, parse
from avabuild.recipe.explain import explain


def _whole(path: Path) -> Path:
    found = path.expanduser()
    if not found.is_absolute():
        raise ValueError(f"must be an absolute path, or begin with ~: {path}")
    return found


Directory = Annotated[Path, AfterValidator(_whole)]


class _File(BaseModel):
    """What config.toml may hold."""

    model_config = ConfigDict(alias_generator=lambda name: name.replace("_", "-"), frozen=True)

    mode: Mode | None = None
    root: Directory | None = None
    storage_driver: DriverChoice | None = None
    runner: Runner | None = None
    cache: Directory | None = None
    shared_cache: Directory | None = None
    shared_trust: str | None = None
    debian_mirror: Annotated[str, Field(pattern=r"^(https?|file)://")] | None = None
    plugins: tuple[str, ...] | None = None
    plugin_timeout: Annotated[float, Field(gt=0)] | None = None


KEYS = tuple(field.alias or name for name, field in _File.model_fields.items())
"""The keys of config.toml."""


def load_settings(environ: Mapping[str, str], flags: Mapping[str, str | None] | None = None) -> Settings:
    """Return the user's settings: each by a flag, else by the environment, else by config.toml.

    Raises:
        SettingsError: one of them has a value that can't be, or the file a key that there is not.
    """
    return settings_of(environ, flags, read(config_path(environ)))


def trust_of(environ: Mapping[str, str]) -> Trust:
    """Return what is said here of plugins; raises as `load_settings` does."""
    return load_settings(environ).trust


def read(path: Path) -> Settings:
    """Return what the file at `path` says; nothing when there is none.

    Raises:
        SettingsError: it can't be read or says what can't be; carries every problem, by line.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        return Settings()
    except (OSError, UnicodeDecodeError) as error:
        words = str(error.strerror).lower() if isinstance(error, OSError) else "it is not UTF-8 text"
        raise SettingsError((Problem(str(path), "", f"can't be read: {words}"),)) from None
    try:
        data, source = parse(path, text)
    except RecipeError as error:
        raise SettingsError(error.problems) from None
    return _checked(data, source)


def _checked(data: dict[str, Any], source: Source) -> Settings:
    problems = [source.problem((key,), _unknown(key)) for key in data if key not in KEYS]
    known = {key: value for key, value in data.items() if key in KEYS}
    try:
        file = _File.model_validate(known)
    except ValidationError as error:
        problems += explain(error, known, source, lambda _: KEYS)
    if problems:
        raise SettingsError(tuple(problems))
    said = file.model_dump(exclude_none=True)
    origins = tuple((name, source.place((name.replace("_", "-"),))) for name in said)
    return Settings(**said, origins=origins)


def _unknown(key: str) -> str:
    return f"unknown key{did_you_mean(key, KEYS) or f'; known: {listed(KEYS)}'}"
