"""Requirements of a recipe as lines for uv: PEP 508, direct URLs, and the recipe's own files."""

from __future__ import annotations

import re
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import (
    InvalidSdistFilename,
    InvalidWheelFilename,
    canonicalize_name,
    parse_sdist_filename,
    parse_wheel_filename,
)

from avabuild.errors import ResolveError
from avabuild.lock import Package
from avabuild.resolve.indexes import redact

_FILE = re.compile(r"(?P<path>[^@]*?(?:\.whl|\.tar\.gz|\.zip))(?P<extras>\[[^\]]*\])?")
_DIRECT = re.compile(r"(?:git\+[a-z]+|https?|file)://\S+")


def requirement_line(text: str, recipe_dir: Path) -> str:
    """Return one line for uv; files are relative to `recipe_dir` and become absolute.

    Raises ResolveError for a text that is no requirement or names a file that is not there.
    """
    text = text.strip()
    if _DIRECT.fullmatch(text):
        return text
    found = _FILE.fullmatch(text)
    if found or text.startswith((".", "/", "~")):
        return _file_line(
            found["path"] if found else text, (found["extras"] or "") if found else "", recipe_dir
        )
    try:
        Requirement(text)
    except InvalidRequirement as error:
        reason = redact(str(error)).splitlines()[0]
        raise ResolveError(
            f'"{redact(text)}" is no requirement: {reason}',
            hint='write a name ("requests>=2"), a wheel ("./wheels/mine.whl") or "git+https://..."',
        ) from error
    return text


def pin_line(package: Package, recipe_dir: Path) -> str:
    """Return the line that allows nothing but `package`."""
    if package.kind == "file":
        return f"{package.name} @ {(recipe_dir / package.path).resolve().as_uri()}"
    if package.kind == "git":
        subdirectory = f"#subdirectory={package.subdirectory}" if package.subdirectory else ""
        return f"{package.name} @ git+{package.url}@{package.commit}{subdirectory}"
    return f"{package.name} @ {package.url}" if package.url else f"{package.name}=={package.version}"


def file_name(path: Path) -> tuple[str, str]:
    """Return the normalised project name and the version that a wheel's or sdist's file name tells.

    Raises ResolveError when it tells none.
    """
    try:
        if path.suffix == ".whl":
            name, version, *_ = parse_wheel_filename(path.name)
        else:
            name, version = parse_sdist_filename(path.name)
    except (InvalidWheelFilename, InvalidSdistFilename) as error:
        raise ResolveError(f"{path.name} is not named as a wheel or an sdist: {error}") from error
    return canonicalize_name(name), str(version)


def _file_line(text: str, extras: str, recipe_dir: Path) -> str:
    path = (recipe_dir / Path(text).expanduser()).resolve()
    if path.is_dir():
        raise ResolveError(f"{text} is a directory", hint="build a wheel of it and name the wheel")
    if not path.is_file():
        raise ResolveError(
            f"{text} does not exist", hint=f"paths are relative to the recipe, in {recipe_dir}"
        )
    return f"{file_name(path)[0]}{extras} @ {path.as_uri()}"
