"""Writing a site into a directory: atomically, over its own files only, removing its own that are gone.

`.avabuild-catalog.json` in the directory lists what was written, by path with its sha256.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path, PurePosixPath

from avabuild.common.errors import Problem, RecipeError
from avabuild.common.value import Value
from avabuild.store.store import disk_errors
from avabuild.store.whole import publish

LIST = ".avabuild-catalog.json"


class Written(Value):
    """What writing came to: what changed, what was removed, and what is old but was edited by somebody."""

    changed: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()


def write(site: Mapping[str, bytes], directory: Path) -> Written:
    """Make `directory` hold the files of `site`; what it wrote before and `site` has no more is removed.

    Raises:
        RecipeError: a file that is not its own is in the way; nothing was written.
    """
    before = _listed(directory)
    after = {path: hashlib.sha256(data).hexdigest() for path, data in site.items()}
    if strange := [path for path in after if path not in before and (directory / path).exists()]:
        message = f"{directory / strange[0]} is not of a catalogue; choose a directory of its own"
        raise RecipeError((Problem("--output", "", message),))
    with disk_errors(directory, "choose another directory with --output"):
        directory.mkdir(parents=True, exist_ok=True)
        if after != before:  # both, until all is done: a run that is killed leaves nothing that is nobody's
            _write(directory / LIST, _encoded(before | after))
        changed = tuple(path for path, data in site.items() if _renew(directory / path, data))
        removed: list[str] = []
        kept: list[str] = []
        for path in sorted(before.keys() - after.keys()):
            gone = _remove(directory, path, before[path])
            if gone is not None:
                (removed if gone else kept).append(path)
        _renew(directory / LIST, _encoded(after))
    return Written(changed=changed, removed=tuple(removed), kept=tuple(kept))


def _listed(directory: Path) -> dict[str, str]:
    """Return what the directory's list says; nothing that leads out of it, and nothing for a broken list."""
    try:
        read = json.loads((directory / LIST).read_bytes())
        return {str(path): str(digest) for path, digest in read.items() if _is_inside(str(path))}
    except (FileNotFoundError, NotADirectoryError, ValueError, AttributeError):
        return {}


def _is_inside(path: str) -> bool:
    pure = PurePosixPath(path)
    return bool(pure.parts) and not pure.is_absolute() and ".." not in pure.parts


def _encoded(listed: Mapping[str, str]) -> bytes:
    return json.dumps(dict(sorted(listed.items())), indent=1).encode() + b"\n"


def _renew(path: Path, data: bytes) -> bool:
    """Write `data` unless it is there already; return whether it was not."""
    with suppress(FileNotFoundError):
        if path.read_bytes() == data:
            return False
    path.parent.mkdir(parents=True, exist_ok=True)
    _write(path, data)
    return True


def _write(path: Path, data: bytes) -> None:
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".avabuild-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        Path(name).chmod(0o644)
        publish(Path(name), path)
    except BaseException:
        with suppress(FileNotFoundError):
            Path(name).unlink()
        raise


def _remove(directory: Path, path: str, digest: str) -> bool | None:
    """Remove a file of ours and directories that are empty then; False when it is edited, None when gone."""
    file = directory / path
    if not file.resolve().is_relative_to(directory.resolve()):
        return False
    try:
        if hashlib.sha256(file.read_bytes()).hexdigest() != digest:
            return False
        file.unlink()
    except FileNotFoundError:
        return None
    for parent in _parents(path):
        with suppress(OSError):
            (directory / parent).rmdir()
    return True


def _parents(path: str) -> Iterator[PurePosixPath]:
    """Yield the directories above a file, the nearest first, without the site's own."""
    yield from (parent for parent in PurePosixPath(path).parents if parent.parts)
