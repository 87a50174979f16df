"""Subject: the plugin that the kit is pointed at, by name or by path, where avabuild can find it."""

from __future__ import annotations

import importlib
import os
import sys
import tempfile
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from avabuild.common.errors import PluginError
from avabuild.plugins.contract import source_of
from avabuild.plugins.local import read_local
from avabuild.plugins.provider import GROUPS, Provider, Trust, as_local, installed, matches
from avabuild.plugins.registry import Registry
from avabuild.plugins.wording import did_you_mean

_TABLES = {"avabuild": "entry-points.avabuild"} | {
    group: f'entry-points."{group}"' for group in GROUPS.values() if "." in group
}


@dataclass(frozen=True, slots=True)
class Subject:
    """What is held against the contract.

    Attributes:
        text: how the user named it.
        providers: what it provides.
        registry: of all that is installed, it among them.
        plugins: what a recipe has to list for it: the absolute paths of local plugins.
        paths: where other processes find its modules, beside what they have.
    """

    text: str
    providers: tuple[Provider, ...]
    registry: Registry
    plugins: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()

    @property
    def environment(self) -> dict[str, str]:
        """What a process has to be started with to find it."""
        paths = [*self.paths, *filter(None, [os.environ.get("PYTHONPATH")])]
        return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}


@contextmanager
def opened(text: str, trust: Trust | None = None) -> Iterator[Subject]:
    """Yield the plugin that `text` names: what is installed, a distribution's directory, or a local plugin.

    `trust` says whose plugins may be imported beside it, and whether it may be.

    Raises:
        PluginError: there is none, it is not allowed here, or says of itself nothing that avabuild finds.
    """
    trust = trust or Trust()
    path = Path(text)
    if path.suffix == ".py":
        yield _local(text, path, trust)
    elif (path / "pyproject.toml").is_file():
        with _distribution(text, path, trust) as subject:
            yield subject
    elif path.is_dir() or os.sep in text:
        raise PluginError(
            "there is no pyproject.toml", place=text, hint="name the directory of a distribution"
        )
    else:
        yield _installed(text, trust)


def _local(text: str, path: Path, trust: Trust) -> Subject:
    shown = as_local(text)
    registry = Registry(installed(), trust).with_local([read_local(shown, path)])
    providers = tuple(one for one in registry.providers if one.distribution == shown)
    return Subject(text, providers, registry, (str(path.resolve()),))


def _installed(text: str, trust: Trust) -> Subject:
    everything = installed()
    found = tuple(one for one in everything if one.name == text)
    found = found or tuple(one for one in everything if matches(one.distribution, text))
    if not found:
        names = sorted({name for one in everything for name in (one.name, one.distribution)})
        near = did_you_mean(text, names)
        raise PluginError(
            f'no plugin or distribution is called "{text}"{near}',
            hint="install it, or name the directory of its distribution",
        )
    return Subject(text, found, _registry(found, trust))


def _registry(found: Sequence[Provider], trust: Trust) -> Registry:
    """Return a registry of all that is installed, in which nobody else provides what the subject does.

    Raises:
        PluginError: the subject is not allowed here.
    """
    own = {(one.kind, one.name) for one in found}
    others = (one for one in installed() if (one.kind, one.name) not in own)
    registry = Registry([*found, *others], trust)
    for one in found:
        if not trust.allows(one.distribution):
            registry.provider(one.name, one.kind)  # which says so
    return registry


@contextmanager
def _distribution(text: str, directory: Path, trust: Trust) -> Iterator[Subject]:
    """Make a distribution's directory look installed, for this process and those that it starts."""
    name, version, points = _metadata(text, directory / "pyproject.toml")
    sources = [str(place) for place in (directory.absolute() / "src", directory.absolute()) if place.is_dir()]
    with tempfile.TemporaryDirectory(prefix="avabuild-kit-") as site:
        info = Path(site) / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        (info / "entry_points.txt").write_text(points)
        paths = [site, *sources]
        sys.path[:0] = paths
        importlib.invalidate_caches()
        try:
            found = tuple(one for one in installed() if (one.distribution, one.version) == (name, version))
            for one in found:
                if source_of(one.module) is None:
                    raise PluginError(
                        f"there is no module {one.module} for {one.name}, in {text} or below src",
                        place=f"{text}/pyproject.toml",
                        hint="correct the entry point, or install it and give its name",
                    )
            yield Subject(text, found, _registry(found, trust), (), tuple(paths))
        finally:
            for entry in paths:  # ours are the first of those that are alike
                if entry in sys.path:
                    sys.path.remove(entry)


def _metadata(text: str, path: Path) -> tuple[str, str, str]:
    """Return name, version and entry points, as metadata spells them."""
    try:
        project: Mapping[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))["project"]
        name, points = str(project["name"]), project.get("entry-points", {})
    except (OSError, ValueError, LookupError) as error:
        raise PluginError(f"can't be read: {type(error).__name__}: {error}", place=str(path)) from error
    lines: list[str] = []
    for group in GROUPS.values():
        if isinstance(points.get(group), dict):
            lines += [f"[{group}]", *(f"{key} = {value}" for key, value in points[group].items())]
    if not lines:
        tables = " or ".join(f"[project.{table}]" for table in _TABLES.values())
        raise PluginError(f"{text} has no entry point of avabuild's", place=str(path), hint=f"add {tables}")
    return name, str(project.get("version", "0")), "\n".join(lines) + "\n"
