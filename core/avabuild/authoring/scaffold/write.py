"""Writing a new distribution: every template filled in, put into a directory that was not there."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

from avabuild.authoring.scaffold.request import Scaffold
from avabuild.authoring.scaffold.table import Row, series_of
from avabuild.common.errors import PluginError

_DESCRIPTIONS = {
    "framework": "@ in images that avabuild makes",
    "policy": "The policy @ of images that avabuild makes",
    "base": "The base @ for images that avabuild makes",
}
_SUFFIX = ".in"  # a template is no program, and no tool takes it for one


def require_absent(directory: Path) -> None:
    """Raise PluginError when something is at `directory`: nothing is ever overwritten."""
    if directory.exists() or directory.is_symlink():
        raise PluginError(f"{directory} exists already", hint="remove it, or name another one with --output")


def write(scaffold: Scaffold, directory: Path) -> tuple[str, ...]:
    """Write the distribution into `directory`, all of it or nothing; return its files, sorted.

    Raises:
        PluginError: something is there already, or it can't be written.
    """
    require_absent(directory)
    made: list[str] = []
    place: Path | None = None
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        place = Path(tempfile.mkdtemp(prefix=f".{directory.name}-", dir=directory.parent))
        for name, text in _texts(scaffold):
            path = place / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            made.append(name)
        place.chmod(0o755)
        place.rename(directory)
    except OSError as error:
        if place:
            shutil.rmtree(place, ignore_errors=True)
        raise PluginError(f"{directory} can't be written: {error.strerror or error}") from error
    return tuple(sorted(made))


def _texts(scaffold: Scaffold) -> Iterator[tuple[str, str]]:
    """Yield path and text of every file."""
    words = _words(scaffold)
    package = files("avabuild.authoring.scaffold")
    template = package / "template"
    for name, text in (*_templates(template / "common"), *_templates(template / scaffold.kind)):
        yield _filled(name, words).removesuffix(_SUFFIX), _filled(text, words)
    yield (
        "LICENSE",
        _filled((package / "licenses" / f"{scaffold.license}{_SUFFIX}").read_text("utf-8"), words),
    )


def _templates(place: Traversable, way: str = "") -> Iterator[tuple[str, str]]:
    for one in sorted(place.iterdir(), key=lambda one: one.name):
        if one.is_dir():
            yield from _templates(one, f"{way}{one.name}/")
        elif one.name.endswith(_SUFFIX):
            yield f"{way}{one.name}", one.read_text("utf-8")


def _filled(text: str, words: dict[str, str]) -> str:
    for key, word in words.items():
        text = text.replace(f"@{key}@", word)
    return text


def _words(scaffold: Scaffold) -> dict[str, str]:
    newest = scaffold.rows[0]
    return {
        "NAME": scaffold.name,
        "GROUP": scaffold.group,
        "CLASS": scaffold.name.replace("_", " ").title().replace(" ", ""),
        "DESCRIPTION": _DESCRIPTIONS[scaffold.kind].replace("@", scaffold.name),
        "PROJECT": scaffold.project,
        "IMPORT": scaffold.imported,
        "DISTRIBUTION": scaffold.distribution,
        "MODULE": scaffold.module,
        "LICENSE": scaffold.license,
        "AUTHOR": scaffold.author,
        "RELEASES": _releases(scaffold.rows),
        "SERIES": newest.series,
        "PYTHON": newest.pythons[-1],
        "DAY": scaffold.day,
        "YEAR": scaffold.day[:4],
        "AVABUILD": series_of(scaffold.version),
        "CONTRACT": str(scaffold.contract),
    }


def _releases(rows: Sequence[Row]) -> str:
    """Return the table as ruff formats it."""
    if len(rows) == 1:
        return f"({_release(rows[0].series, rows[0].pythons)},)"
    lines = [f"    {_release(row.series, row.pythons)}," for row in rows]
    return "\n".join(["(", *lines, ")"])


def _release(series: str, pythons: tuple[str, ...]) -> str:
    names = ", ".join(f'"{python}"' for python in pythons)
    comma = "," if len(pythons) == 1 else ""
    return f'Release(version="{series}", pythons=({names}{comma}))'
