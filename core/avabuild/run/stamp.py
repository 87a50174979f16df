"""Stamps: knowing in a few milliseconds that a build would do nothing. Standard library only, for speed.

After a build, a stamp remembers the content of every file it read, what is installed, and each image that
it made. A later run whose inputs are all as they were has nothing to do for the images that are where they
were. Anything unusual makes the stamp void, never the build wrong: the full path comes to the same answer.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path
from typing import Any

FORMAT = 3
_TICK = 2_000_000_000  # ns: of the coarsest clock that gives files their times
_UNSETTLED = (-1, -1, -1, -1)  # no status of a file: its content decides


@dataclass(frozen=True, slots=True)
class Image:
    """One image of a stamp.

    Attributes:
        at: where it is, and its bills.
        shown: what to say of it when nothing is to do.
    """

    at: tuple[Mapping[str, str], ...]
    shown: str


def stamp_path(cache: Path, recipe: Path, options: Sequence[str]) -> Path:
    """Return where the stamp of this recipe, built with these options, is kept."""
    place = os.path.join(os.path.realpath(recipe.parent), recipe.name)  # noqa: PTH118 - as spelt by any link
    name = hashlib.sha256(json.dumps([place, *options]).encode()).hexdigest()
    return cache / "stamps" / f"{name}.json"


def write_stamp(
    path: Path,
    inputs: Iterable[Path],
    images: Mapping[str, Image],
    every: Sequence[str] | None,
    digest: Callable[[Path], str] | None = None,
    installed: str | None = None,
) -> None:
    """Remember `inputs` (files, directories) and `images` by name.

    `every` are the names of all images that the recipe makes, None where that is not known. `digest` gives
    a file's sha256 in hex when that is known without reading it; `installed` is what was when the run began.
    """
    data = {
        "format": FORMAT,
        "installed": installed or installed_digest(),
        "inputs": {str(p.absolute()): _state(p, digest or _digest) for p in inputs},
        "images": {name: [[dict(one) for one in image.at], image.shown] for name, image in images.items()},
        "every": None if every is None else list(every),
    }
    from avabuild.store.whole import write_whole  # noqa: PLC0415 - a run that finds nothing to do needs none

    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, json.dumps(data | {"sum": _sum(data)}).encode(), path.parent, lasting=False)


class _Now:
    """What is installed and which images there are, each found out once for any number of stamps."""

    def __init__(self) -> None:
        self._lists: dict[str, dict[str, str]] = {}

    @cached_property
    def installed(self) -> str:
        return installed_digest()

    def identity(self, listed: str, name: str) -> str | None:
        """Return the id of the image `name` in the storage's list at `listed`."""
        if listed not in self._lists:
            images = json.loads(Path(listed).read_bytes())
            self._lists[listed] = {name: image["id"] for image in images for name in image.get("names") or []}
        return self._lists[listed].get(name)


def fresh_ones(marks: Mapping[Path, Path], only: Sequence[str] = ()) -> dict[Path, list[str]]:
    """Return what to say of each recipe for which nothing would be done; `marks` are their stamps.

    `only` are patterns of the images that are wanted, all without any.
    """
    now = _Now()
    read = {recipe: found for recipe, mark in marks.items() if (found := _read(mark, now)) is not None}
    every = [name for names, _ in read.values() for name in names or ()]
    if len(read) == len(marks) and any(not any(fits(name, [one]) for name in every) for one in only):
        return {}  # a pattern that fits none is a mistake
    fresh: dict[Path, list[str]] = {}
    for recipe, (names, images) in read.items():
        wanted = None if names is None else [name for name in names if fits(name, only)]
        if wanted is not None and all(name in images for name in wanted):
            fresh[recipe] = [images[name].shown for name in wanted]
    return fresh


def fits(name: str, patterns: Sequence[str]) -> bool:
    """Whether an image's `name:tag`, or its tag, fits one of the patterns; any does without patterns."""
    texts = (name, name.rpartition(":")[2])
    return not patterns or any(fnmatchcase(text, pattern) for text in texts for pattern in patterns)


def fresh(path: Path) -> list[str] | None:
    """Return what to say when nothing would be done, or None when the full path must decide."""
    return fresh_ones({path: path}).get(path)


def images_of(path: Path) -> dict[str, Image]:
    """Return by name the images of a stamp that are as a build would make them."""
    found = _read(path, _Now())
    return found[1] if found else {}


def inputs_of(path: Path) -> tuple[Path, ...]:
    """Return the inputs of a stamp, whether or not they are as they were."""
    try:
        return tuple(Path(name) for name in json.loads(path.read_bytes())["inputs"])
    except (OSError, ValueError, LookupError, TypeError):
        return ()


def _read(path: Path, now: _Now) -> tuple[list[str] | None, dict[str, Image]] | None:
    """Return the names of all images of the recipe and those that are there; None for a void stamp."""
    try:
        data = json.loads(path.read_bytes())
        if data.pop("sum") != _sum(data) or data["format"] != FORMAT or data["installed"] != now.installed:
            return None
        if any(not _same(Path(name), state) for name, state in data["inputs"].items()):
            return None
        images = {name: Image(tuple(at), str(shown)) for name, (at, shown) in data["images"].items()}
        there = {name: image for name, image in images.items() if image.at and _is_there(image, now)}
        every = data["every"]
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return None
    return every, there


def _is_there(image: Image, now: _Now) -> bool:
    try:
        return all(_present(one, now) for one in image.at)
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return False


def _present(image: Mapping[str, str], now: _Now) -> bool:
    """Whether the image is still where the stamp says, under its name."""
    if "layout" in image:
        index = json.loads((Path(image["layout"]) / "index.json").read_bytes())
        named = [entry["digest"] for entry in index["manifests"]]
        blob = Path(image["layout"]) / "blobs" / "sha256" / image["digest"].removeprefix("sha256:")
        return image["digest"] in named and blob.exists()
    if "archive" in image:
        return archive_state(Path(image["archive"])) == image["state"]
    return now.identity(image["list"], image["name"]) == image["id"]


def _state(path: Path, digest: Callable[[Path], str]) -> list[Any]:
    """What tells whether an input changed. Of a file its status comes first: when equal, it is not read."""
    if not os.path.lexists(path):
        return ["absent"]
    if path.is_symlink():
        target = path.resolve()
        return ["link", str(path.readlink()), _state(target, digest) if target.exists() else None]
    status = path.stat()
    who = [status.st_mode, status.st_uid, status.st_gid]
    if path.is_dir():
        below = sorted(f"{p.relative_to(path)} {_kind(p)}" for p in path.rglob("*"))
        return ["directory", who, _hash("\n".join(below).encode(errors="surrogateescape"))]
    if not path.is_file():  # a pipe would be waited for
        return ["special", who]
    return [*(_status(path) if _is_settled(status) else _UNSETTLED), who, digest(path)]


def _is_settled(status: os.stat_result) -> bool:
    """Whether the last change is so long ago that another one would have another time."""
    return max(status.st_mtime_ns, status.st_ctime_ns) + _TICK < time.time_ns()


def _status(path: Path) -> list[int]:
    status = path.stat()
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]


def _kind(path: Path) -> str:
    """Return what something below a directory is: kind, mode and owner, or where a link leads."""
    status = path.lstat()
    kind = f"-> {path.readlink()}" if path.is_symlink() else f"{status.st_mode:o}"
    return f"{kind} {status.st_uid}:{status.st_gid}"


def archive_state(path: Path) -> str:
    """Return the state of an archive as a stamp keeps it: its status alone, since archives are big."""
    return json.dumps(_status(path))


def _same(path: Path, state: Sequence[Any]) -> bool:
    if state[0] == "absent":
        return not os.path.lexists(path)
    if state[0] == "link":
        kept = path.is_symlink() and str(path.readlink()) == state[1]
        return kept and (_same(path.resolve(), state[2]) if state[2] else not path.exists())
    if isinstance(state[0], int) and path.is_file() and not path.is_symlink():
        return _status(path) == list(state[:4]) or _state(path, _digest)[4:] == list(state[4:])
    return _state(path, _digest) == list(state)


def installed_digest() -> str:
    """Return a digest of what is installed: distributions, when they came, and this package's own files."""
    own = Path(__file__).parents[1]
    found = [
        f"{entry.name} {_changed(entry.path)}"
        for directory in sys.path
        for entry in _entries(directory)
        if entry.name.endswith((".dist-info", ".egg-info"))
    ]
    for directory in (own, own.parent.parent / "plugins", own.parent / "avabuild_plugins"):
        found += [f"{path} {_changed(str(path))}" for path in directory.rglob("*.py")]
    return _hash("\n".join([sys.version, *sorted(found)]).encode())


def _changed(path: str) -> int:
    """Return when a file changed; of a link to nothing, as editors leave for locks, the link itself."""
    try:
        return os.stat(path).st_mtime_ns  # noqa: PTH116 - a Path for each costs more than the call
    except FileNotFoundError:
        return os.lstat(path).st_mtime_ns


def _entries(directory: str) -> list[os.DirEntry[str]]:
    try:
        return list(os.scandir(directory))
    except OSError:
        return []


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sum(data: Mapping[str, Any]) -> str:
    """Return what tells a stamp from a damaged one."""
    return _hash(json.dumps(data).encode())


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
