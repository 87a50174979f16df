"""The installed plugins: entry points -> pluggy -> frameworks; the only user of PluginManager."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import pluggy
from packaging.version import Version

from avabuild import hookspecs
from avabuild.consult import check_of, layers_of, ordered, requires_of
from avabuild.errors import PluginError
from avabuild.framework import Framework, Options, Release
from avabuild.releases import choose, select

__all__ = [
    "GROUP",
    "Provider",
    "Registry",
    "check_of",
    "choose",
    "installed",
    "layers_of",
    "load",
    "ordered",
    "requires_of",
    "select",
]

GROUP = "avabuild"
_FIELDS = {"name": str, "summary": str, "releases": tuple, "source": str, "checked": str}
_CALLABLES = ("layers", "check", "requires")


@dataclass(frozen=True, slots=True, order=True)
class Provider:
    """An entry point of the group: who says to provide a framework, before anything is imported.

    Attributes:
        framework: the entry point's name, the word that a recipe uses.
        module: what to import, as the entry point spells it (`my_plugin` or `my_plugin:part`).
        distribution: the distribution's name, with its `version`.
    """

    framework: str
    module: str
    distribution: str
    version: str

    def __str__(self) -> str:
        return f"{self.framework} ({self.distribution} {self.version})"


def installed() -> tuple[Provider, ...]:
    """Return every provider that is installed, by name; reads metadata and imports no plugin."""
    return tuple(
        sorted(
            Provider(point.name, point.value, point.dist.name, point.dist.version)
            for point in entry_points(group=GROUP)
            if point.dist
        )
    )


def load(names: Iterable[str], providers: Iterable[Provider] | None = None) -> Registry:
    """Return a registry in which the plugins of `names` are loaded; those that they require load when asked.

    `providers` stand for the installed ones.

    Raises:
        PluginError: one of the plugins is absent, ambiguous or broken.
    """
    registry = Registry(installed() if providers is None else providers)
    for name in sorted(set(names)):
        registry.framework(name)
    return registry


class Registry:
    """Frameworks by name. A plugin is imported when one of its frameworks is first asked for."""

    def __init__(self, providers: Iterable[Provider]) -> None:
        self.providers = tuple(sorted(set(providers)))
        self._declared: dict[str, dict[str, Framework]] = {}  # by module: two entry points may share one

    @property
    def names(self) -> tuple[str, ...]:
        """Every framework's name, of broken and ambiguous plugins too."""
        return tuple(sorted({provider.framework for provider in self.providers}))

    def provider(self, name: str) -> Provider:
        """Return who provides the framework `name`; raise PluginError for nobody or more than one."""
        found = [provider for provider in self.providers if provider.framework == name]
        if not found:
            raise PluginError(f'no plugin provides "{name}"; installed: {", ".join(self.names) or "none"}')
        if len(found) > 1:
            who = " and ".join(f"{provider.distribution} {provider.version}" for provider in found)
            raise PluginError(f'"{name}" is provided by {who}', hint="uninstall all of them but one")
        return found[0]

    def framework(self, name: str) -> Framework:
        """Return the framework `name`, loading its plugin.

        Raises:
            PluginError: nobody provides it or more than one does, its module can't be imported, or what
                it declares breaks the contract; names the distribution, and its cause is kept.
        """
        provider = self.provider(name)
        if provider.module not in self._declared:
            self._declared[provider.module] = _declared_by(provider)
        declared = self._declared[provider.module]
        if name not in declared:
            raise PluginError(
                f'{provider} declares {", ".join(sorted(declared)) or "no framework"}, not "{name}"',
                hint="mark avabuild_frameworks with @hookimpl, and give framework and entry point one name",
            )
        return declared[name]

    def options(self, names: Iterable[str]) -> dict[str, type[Options]]:
        """Return the class of each named framework's options; raise PluginError as `framework` does."""
        return {name: self.framework(name).options for name in names}


def _declared_by(provider: Provider) -> dict[str, Framework]:
    """Import the plugin, register it alone, so that no other's failure is taken for its own, and ask it."""
    with _blamed_on(provider, "can't be imported"):
        plugin = EntryPoint(provider.framework, provider.module, GROUP).load()
    manager = pluggy.PluginManager("avabuild")
    manager.add_hookspecs(hookspecs)
    with _blamed_on(provider, "breaks the contract"):
        manager.register(plugin, provider.module)
        manager.check_pending()
    with _blamed_on(provider, "failed to declare its frameworks"):
        declared = _frameworks(manager)
        for value in declared:
            _refuse_faulty(value)
        by_name = {framework.name: framework for framework in declared}
        if len(by_name) < len(declared):
            raise ValueError("one name is declared twice")
    return by_name


def _frameworks(manager: pluggy.PluginManager) -> tuple[Framework, ...]:
    """Call the hook `avabuild_frameworks`; a generator runs to its end here, where its failure is blamed."""
    return tuple(framework for answer in manager.hook.avabuild_frameworks() for framework in answer)


def _refuse_faulty(value: Any) -> None:
    if not isinstance(value, Framework):
        raise TypeError(f"expected a Framework, got {value!r:.80}")
    for field, kind in _FIELDS.items():
        if not isinstance(getattr(value, field), kind):
            raise TypeError(f"{field} must be a {kind.__name__}, not {getattr(value, field)!r:.80}")
    for field in _CALLABLES:
        if not callable(getattr(value, field)):
            raise TypeError(f"{field} must be callable, not {getattr(value, field)!r:.80}")
    options: Any = value.options
    if not (isinstance(options, type) and issubclass(options, Options)):
        raise TypeError(f"options must be a subclass of Options, not {options!r:.80}")
    if not value.releases or not all(isinstance(release, Release) for release in value.releases):
        raise TypeError("releases must be one Release or more")
    versions = [Version(release.version) for release in value.releases]
    if versions != sorted(set(versions), reverse=True):
        raise ValueError("releases must be newest first, each series once")


@contextmanager
def _blamed_on(provider: Provider, what: str) -> Iterator[None]:
    try:
        yield
    except (Exception, SystemExit) as error:
        raise PluginError(
            f"{provider} {what}: {type(error).__name__}: {error}",
            hint=f"reinstall or remove {provider.distribution}",
        ) from error
