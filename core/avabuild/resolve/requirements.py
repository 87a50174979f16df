"""Requirements of a recipe as lines for uv: PEP 508, direct URLs, and the recipe's own files."""

from __future__ import annotations

import re
import zipfile
from email.parser import BytesParser
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import (
    InvalidSdistFilename,
    InvalidWheelFilename,
    canonicalize_name,
    is_normalized_name,
    parse_sdist_filename,
    parse_wheel_filename,
)

from avabuild.common import damage
from avabuild.common.errors import ResolveError
from avabuild.common.tars import Tar
from avabuild.resolve.indexes import redact
from avabuild.resolve.lock import Package

_MOST = 64 << 20  # bytes of a file of metadata
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


def project_name(path: Path) -> str:
    """Return the normalised project name of a wheel or sdist: its metadata's, else the file name's.

    Raises ResolveError when neither tells one.
    """
    try:
        named = _metadata_name(path)
    except (*damage.ZIP, *damage.TAR, OSError) as error:
        raise ResolveError(f"{path.name} can't be read: {error}") from error
    name = named or file_name(path)[0]
    if not is_normalized_name(canonicalize_name(name)):
        raise ResolveError(
            f"{path.name} names no project: it has no PKG-INFO, and its own name is not an sdist's",
            hint='make it with "python -m build --sdist", or name it NAME-VERSION.zip',
        )
    return canonicalize_name(name)


def _metadata_name(path: Path) -> str:
    """Return the project's name in METADATA or PKG-INFO, empty for a file without."""
    wanted = re.compile(r"[^/]+\.dist-info/METADATA" if path.suffix == ".whl" else r"(?:[^/]+/)?PKG-INFO")
    if path.suffix in {".whl", ".zip"}:
        with zipfile.ZipFile(path) as archive:
            found = next((name for name in archive.namelist() if wanted.fullmatch(name)), None)
            if found and archive.getinfo(found).file_size > _MOST:
                raise zipfile.BadZipFile(f"{found} is larger than {_MOST >> 20} MB")
            data = archive.read(found) if found else b""
    else:
        with Tar.open(path) as tar:
            member = next((one for one in tar if one.isfile() and wanted.fullmatch(one.name)), None)
            file = tar.extractfile(member) if member else None
            data = file.read(_MOST) if file else b""
    return (BytesParser().parsebytes(data, headersonly=True)["Name"] or "").strip()


def _file_line(text: str, extras: str, recipe_dir: Path) -> str:
    path = (recipe_dir / Path(text).expanduser()).resolve()
    if path.is_dir():
        raise ResolveError(f"{text} is a directory", hint="build a wheel of it and name the wheel")
    if not path.is_file():
        raise ResolveError(
            f"{text} does not exist", hint=f"paths are relative to the recipe, in {recipe_dir}"
        )
    return f"{project_name(path)}{extras} @ {path.as_uri()}"
