"""Stubs: what stands for a recipe's own wheel while uv resolves: its metadata alone, in a wheel of its name.

uv unpacks a local wheel into its cache to read its metadata, be it of gigabytes. Here it is read by seeking.
"""

from __future__ import annotations

import hashlib
import re
import zipfile
from pathlib import Path
from urllib.parse import unquote, urlsplit

from avabuild.common import damage, zips
from avabuild.common.errors import WheelError

_FILE = re.compile(r"(?P<name>.* @ )(?P<url>file://\S+\.whl)")
_WANTED = re.compile(r"[^/]+\.dist-info/(?:METADATA|WHEEL|RECORD|entry_points\.txt)")
_MOST = 64 << 20  # bytes of a file of metadata
_ORIGIN = "origin"  # beside a stub: where the wheel is


def light(line: str, directory: Path) -> str:
    """Return the line of a requirement; of a local wheel one for its stub, which is made below `directory`.

    Raises:
        WheelError: the wheel is damaged.
    """
    found = _FILE.fullmatch(line)
    if not found:
        return line
    path = Path(unquote(urlsplit(found["url"]).path))
    return f"{found['name']}{_made(path, directory).as_uri()}" if path.is_file() else line


def original(path: Path, directory: Path) -> Path:
    """Return the wheel that `path` stands for, or `path` itself."""
    if not path.is_relative_to(directory):
        return path
    return Path((path.parent / _ORIGIN).read_text(encoding="utf-8"))


def in_words(text: str, directory: Path) -> str:
    """Return what uv says with the wheels in place of their stubs."""
    for origin in directory.glob(f"*/{_ORIGIN}"):
        path = Path(origin.read_text(encoding="utf-8"))
        stub = origin.with_name(path.name)
        text = text.replace(stub.as_uri(), path.as_uri()).replace(str(stub), str(path))
    return text


def _made(path: Path, directory: Path) -> Path:
    place = directory / hashlib.sha256(str(path).encode(errors="surrogateescape")).hexdigest()[:16]
    stub = place / path.name
    if stub.exists():
        return stub
    place.mkdir(parents=True, exist_ok=True)
    (place / _ORIGIN).write_text(str(path), encoding="utf-8")
    partial = place / "partial"
    try:
        with path.open("rb") as file, zipfile.ZipFile(file) as wheel:
            zips.check(file.fileno(), wheel)
            _copy(wheel, partial)
    except (*damage.ZIP, OSError) as error:
        hint = "build it again, or name another one"
        raise WheelError(str(error) or type(error).__name__, place=path.name, hint=hint) from error
    partial.replace(stub)
    return stub


def _copy(wheel: zipfile.ZipFile, out: Path) -> None:
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for entry in wheel.infolist():
            if not _WANTED.fullmatch(entry.filename):
                continue
            if entry.file_size > _MOST:
                raise ValueError(f"{entry.filename} is larger than {_MOST >> 20} MB")
            archive.writestr(zipfile.ZipInfo(entry.filename), wheel.read(entry))
