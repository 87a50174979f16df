"""Reading and writing PEP 751 files: uv's answer becomes packages of a Lock, with where each file is."""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, field
from os.path import relpath
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from packaging.pylock import (
    PackageArchive,
    PackageDirectory,
    PackageSdist,
    PackageVcs,
    PackageWheel,
    Pylock,
    PylockSelectError,
    PylockValidationError,
)

from avabuild.common.errors import ResolveError
from avabuild.resolve.lock import Package
from avabuild.resolve.platforms import Platform
from avabuild.resolve.stubs import original

_HTTP_LOGIN = re.compile(r"(?<=^https://)[^/@]+@|(?<=^http://)[^/@]+@")


@dataclass(frozen=True, slots=True)
class Resolved:
    """A package of the lock, and the URL that its file had when it was resolved (empty for git)."""

    package: Package
    url: str = field(repr=False)  # an index's may have a password in it


def read_pylock(path: Path, platform: Platform, recipe_dir: Path, stubs: Path) -> tuple[Resolved, ...]:
    """Return what `path` says to install on `platform`, by name: the best wheel of each, or its sdist.

    What is below `stubs` stands for the recipe's own wheels.

    Raises ResolveError for a file that is no PEP 751 lock or has nothing for the platform.
    """
    try:
        pylock = Pylock.from_dict(tomllib.loads(path.read_text(encoding="utf-8")))
        selected = list(pylock.select(environment=platform.environment(), tags=platform.tags()))
    except (tomllib.TOMLDecodeError, PylockValidationError, PylockSelectError) as error:
        raise ResolveError(f"uv's answer can't be used: {error}") from error
    found = (
        _resolved(str(package.name), str(package.version or ""), source, path.parent, recipe_dir, stubs)
        for package, source in selected
    )
    return tuple(sorted(found, key=lambda one: one.package.name))


def file_urls(path: Path) -> dict[str, str]:
    """Return where `path` says that each of its files is: sha256 to URL."""
    packages = tomllib.loads(path.read_text(encoding="utf-8")).get("packages", [])
    files = [file for one in packages for file in (*one.get("wheels", ()), *filter(None, [one.get("sdist")]))]
    return {
        file["hashes"]["sha256"]: file.get("url") or (path.parent / file["path"]).resolve().as_uri()
        for file in files
        if "sha256" in file.get("hashes", {})
    }


def preference_text(packages: Sequence[Package]) -> str:
    """Return a PEP 751 file that makes uv keep the versions and commits of `packages` where it can."""
    known = [package for package in packages if package.kind != "file"]
    lines = ['lock-version = "1.0"', 'created-by = "avabuild"', *([] if known else ["packages = []"])]
    for package in known:
        lines += ["", "[[packages]]", f"name = {json.dumps(package.name)}"]
        if package.kind == "git":
            vcs = {"type": "git", "url": package.url, "commit-id": package.commit}
            vcs |= {"subdirectory": package.subdirectory} if package.subdirectory else {}
            lines.append("vcs = { " + ", ".join(f"{k} = {json.dumps(v)}" for k, v in vcs.items()) + " }")
        else:
            lines.append(f"version = {json.dumps(package.version)}")
    return "\n".join(lines) + "\n"


def _resolved(
    name: str, version: str, source: Any, directory: Path, recipe_dir: Path, stubs: Path
) -> Resolved:
    fields: dict[str, Any] = {"name": name, "version": version}
    match source:
        case PackageVcs():
            return Resolved(Package(**fields, **_git(source)), "")
        case PackageDirectory():
            raise ResolveError(f"{name} is a directory", hint="build a wheel of it and name the wheel")
        case PackageArchive(path=str(path)):
            named = (directory / path).resolve()
            file = original(named, stubs)
            package = Package(
                **fields,
                kind="file",
                filename=file.name,
                sha256=_sha256(name, source) if file == named else _file_sha256(file),
                size=file.stat().st_size,
                path=relpath(file, recipe_dir.resolve()),
            )
            return Resolved(package, file.as_uri())
        case PackageArchive():
            fields |= {"url": _HTTP_LOGIN.sub("", source.url or "")}
            filename = unquote(Path(urlsplit(source.url or "").path).name)
        case PackageWheel() | PackageSdist():
            filename = source.filename
    url = source.url or (directory / source.path).resolve().as_uri()
    size = source.size or _local_size(url)
    kind = "wheel" if filename.endswith(".whl") else "sdist"
    return Resolved(
        Package(**fields, kind=kind, filename=filename, sha256=_sha256(name, source), size=size), url
    )


def _git(source: PackageVcs) -> dict[str, str]:
    if source.type != "git" or not source.url:
        raise ResolveError(f"{source.url or source.path} is no git URL", hint='write "git+https://..."')
    url = _HTTP_LOGIN.sub("", source.url)
    return {"kind": "git", "url": url, "commit": source.commit_id, "subdirectory": source.subdirectory or ""}


def _sha256(name: str, source: PackageArchive | PackageSdist | PackageWheel) -> str:
    try:
        return source.hashes["sha256"]
    except KeyError:
        raise ResolveError(f"the index gives no sha256 of {name}") from None


def _file_sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _local_size(url: str) -> int:
    """Return the size of a `file:` URL's file: a simple page of HTML gives none. 0 for other URLs."""
    parts = urlsplit(url)
    return Path(unquote(parts.path)).stat().st_size if parts.scheme == "file" else 0
