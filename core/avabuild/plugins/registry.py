"""The plugins of a run: entry points and local files -> pluggy -> what they declare.

The only user of PluginManager.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib.metadata import EntryPoint
from typing import Any

import pluggy
from packaging.version import Version

from avabuild import __version__
from avabuild.common.errors import PluginError, Problem, SettingsError
from avabuild.plugins import hookspecs
from avabuild.plugins.ask import check_of, layers_of, ordered, requires_of
from avabuild.plugins.bases_offered import BaseOptions, OfferedBase
from avabuild.plugins.contract import CONTRACT, contract_of, stated
from avabuild.plugins.framework import Framework, Options, Release
from avabuild.plugins.local import LocalPlugin, line_in, run_local
from avabuild.plugins.patience import SETTING, TooSlowError, within
from avabuild.plugins.policy import Policy
from avabuild.plugins.provider import GROUPS, Kind, Provider, Trust, installed, matches
from avabuild.plugins.releases import choose, select
from avabuild.plugins.wording import did_you_mean, listed

__all__ = [
    "Provider",
    "Registry",
    "check_of",
    "choose",
    "installed",
    "layers_of",
    "load",
    "of_site",
    "ordered",
    "requires_of",
    "select",
]

_HOOKS: dict[Kind, str] = {
    "framework": "avabuild_frameworks",
    "policy": "avabuild_policies",
    "base": "avabuild_bases",
}
_PLURALS: dict[Kind, str] = {"framework": "frameworks", "policy": "policies", "base": "bases"}


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


def of_site(trust: Trust, providers: Iterable[Provider] | None = None) -> Registry:
    """Return a registry of what is installed, of which the site's list `trust` says what may be imported.

    `providers` stand for the installed ones.

    Raises:
        SettingsError: the list names a distribution that is not installed or has no plugins. A policy of it
            would otherwise silently not be in force.
    """
    found = installed() if providers is None else tuple(providers)
    known = sorted({one.distribution for one in found})
    problems = tuple(
        Problem(
            trust.origin,
            "",
            f'"{text}" is not installed, or has no plugins;'
            f"{did_you_mean(text, known).removeprefix(';')} there are {listed(known)}",
        )
        for text in trust.absent(found)
    )
    if problems:
        raise SettingsError(problems)
    return Registry(found, trust)


class Registry:
    """What plugins declare, by name. A plugin is imported when something of it is first asked for.

    Attributes:
        providers: who provides what, allowed here or not.
        trust: whose plugins may be imported.
    """

    def __init__(self, providers: Iterable[Provider], trust: Trust | None = None) -> None:
        self.providers = tuple(sorted(set(providers)))
        self.trust = trust or Trust()
        self._plugins: dict[str, pluggy.PluginManager] = {}  # by module: two entry points may share one
        self._declared: dict[tuple[str, Kind], dict[str, Any]] = {}

    def with_local(self, plugins: Iterable[LocalPlugin]) -> Registry:
        """Return a registry with what `plugins` declare beside what this one has; they are run now.

        Raises:
            PluginError: one of them is not allowed here, can't be imported, breaks the contract, declares
                nothing, or declares what somebody else provides, too.
        """
        found: list[Provider] = []
        for plugin in plugins:  # the first way to a file counts: the others lead to the same plugin
            if not any(one.module == plugin.module for one in (*self.providers, *found) if one.is_local):
                found += self._provided(plugin)
        other = Registry([*self.providers, *found], self.trust)
        other._plugins, other._declared = self._plugins, self._declared
        for provider in found:
            other.provider(provider.name, provider.kind)
        return other

    def _provided(self, plugin: LocalPlugin) -> list[Provider]:
        """Run a local plugin and return the providers of all that it declares."""
        if not self.trust.allows(str(plugin.file)):  # not as a recipe spells it: each may have a ./mine.py
            raise PluginError(
                f"{self.trust.origin} allows no local plugin {plugin.shown}",
                hint=f"whoever runs this host may add {plugin.file}, or *.py, to {self.trust.origin}",
            )
        whole = plugin.provider("", "framework")
        with _blamed_on(whole, "breaks the contract"):
            number = stated(plugin.text)
        self._refuse_newer(plugin.shown, number, plugin.shown)
        if plugin.module not in self._plugins:
            with _blamed_on(whole, "can't be imported"):
                module = within(self.trust.patience, lambda: run_local(plugin))
            self._plugins[plugin.module] = _registered(whole, module)
        names = {kind: self._ask(plugin.provider("", kind)) for kind in GROUPS}
        if not any(names.values()):
            raise PluginError(
                f"{plugin.shown} declares nothing", hint="mark its hook, avabuild_frameworks, with @hookimpl"
            )
        return [plugin.provider(name, kind) for kind, declared in names.items() for name in declared]

    @property
    def names(self) -> tuple[str, ...]:
        """Every framework's name, of broken and ambiguous plugins too."""
        return self.named("framework")

    def named(self, kind: Kind) -> tuple[str, ...]:
        """Return the name of all that is provided of a kind, by broken and ambiguous plugins too."""
        return tuple(sorted({provider.name for provider in self.providers if provider.kind == kind}))

    def provider(self, name: str, kind: Kind = "framework") -> Provider:
        """Return who provides `name`; raise PluginError for nobody, several, or one not allowed here."""
        found = [one for one in self.providers if (one.name, one.kind) == (name, kind)]
        if not found:
            raise PluginError(
                f'no plugin provides "{name}"; installed: {", ".join(self.named(kind)) or "none"}'
            )
        # those that are local were run, and asked whether they may be, by with_local
        if len(allowed := [one for one in found if one.is_local or self.trust.allows(one.distribution)]) == 1:
            return allowed[0]
        if len(found) > 1:
            who = " and ".join(one.who for one in found)
            local = any(one.is_local for one in found)
            hint = "give the local one another name" if local else "uninstall all of them but one"
            raise PluginError(f'"{name}" is provided by {who}', hint=hint)
        raise PluginError(
            f'"{name}" is provided by {found[0].who}, which {self.trust.origin} does not allow',
            hint=f"whoever runs this host may add {found[0].distribution} to {self.trust.origin}",
        )

    def framework(self, name: str) -> Framework:
        """Return the framework `name`, loading its plugin.

        Raises:
            PluginError: nobody provides it or more than one does, its module can't be imported, or what
                it declares breaks the contract; names the distribution, and its cause is kept.
        """
        found: Framework = self._one(name, "framework")
        return found

    def base(self, name: str) -> OfferedBase:
        """Return the base offered as `name`, loading its plugin; raise PluginError as `framework` does."""
        found: OfferedBase = self._one(name, "base")
        return found

    def policy(self, name: str) -> Policy:
        """Return the policy `name`, loading its plugin; raise PluginError as `framework` does."""
        found: Policy = self._one(name, "policy")
        return found

    def policies(self, named: Iterable[str]) -> tuple[tuple[Policy, Provider], ...]:
        """Return the policies that are in force, by name, with who provides each.

        Those of local plugins are, and those of the distributions that the site or `named` names.

        Raises:
            PluginError: as `framework` does; a policy that can't be asked fails what it is to hold for.
        """
        named = tuple(named)
        names = {
            one.name
            for one in self.providers
            if one.kind == "policy"
            and (one.is_local or self.trust.names(one.distribution) or _matches_any(one, named))
        }
        return tuple((self.policy(name), self.provider(name, "policy")) for name in sorted(names))

    def options(self, names: Iterable[str]) -> dict[str, type[Options]]:
        """Return the class of each named framework's options; raise PluginError as `framework` does."""
        return {name: self.framework(name).options for name in names}

    def _one(self, name: str, kind: Kind) -> Any:
        provider = self.provider(name, kind)
        declared = self._ask(provider)
        if name not in declared:
            hook = _HOOKS[kind]
            raise PluginError(
                f'{provider} declares {", ".join(sorted(declared)) or f"no {kind}"}, not "{name}"',
                hint=f"mark {hook} with @hookimpl, and give {kind} and entry point one name",
            )
        return declared[name]

    def _ask(self, provider: Provider) -> dict[str, Any]:
        """Return what the plugin declares of the provider's kind, importing it the first time."""
        key = (provider.module, provider.kind)
        if provider.module not in self._plugins:
            with _blamed_on(provider, "breaks the contract"):
                number = contract_of(provider.module)
            self._refuse_newer(str(provider), number, provider.distribution)
            with _blamed_on(provider, "can't be imported"):
                point = EntryPoint(provider.name, provider.module, GROUPS[provider.kind])
                plugin = within(self.trust.patience, point.load)
            self._plugins[provider.module] = _registered(provider, plugin)
        if key not in self._declared:
            self._declared[key] = _declared(provider, self._plugins[provider.module], self.trust.patience)
        return self._declared[key]

    def _refuse_newer(self, who: str, number: int, distribution: str) -> None:
        if number > CONTRACT:
            raise PluginError(
                f"{who} is written for contract {number}, and this avabuild ({__version__}) has {CONTRACT}",
                hint=f"upgrade avabuild, or take an older {distribution}",
            )


def _matches_any(provider: Provider, patterns: Iterable[str]) -> bool:
    return any(matches(provider.distribution, pattern) for pattern in patterns)


def _registered(provider: Provider, plugin: object) -> pluggy.PluginManager:
    """Register the plugin alone, so that no other's failure is taken for its own."""
    manager = pluggy.PluginManager("avabuild")
    manager.add_hookspecs(hookspecs)
    with _blamed_on(provider, "breaks the contract"):
        manager.register(plugin, provider.module)
        manager.check_pending()
    return manager


def _declared(provider: Provider, manager: pluggy.PluginManager, patience: float) -> dict[str, Any]:
    """Call the hook of the provider's kind; a generator runs to its end here, where its failure is blamed."""
    hook = getattr(manager.hook, _HOOKS[provider.kind])
    with _blamed_on(provider, f"failed to declare its {_PLURALS[provider.kind]}"):
        answers = within(patience, lambda: [_all_of(answer, provider.kind) for answer in hook()])
        if len(answers) < len(hook.get_hookimpls()):  # pluggy leaves None out
            raise TypeError(f"{_HOOKS[provider.kind]} returned None; return a list, an empty one for nothing")
        values = [value for answer in answers for value in answer]
        for value in values:
            refuse_faulty(provider.kind, value)
        by_name = {value.name: value for value in values}
        if len(by_name) < len(values):
            raise ValueError("one name is declared twice")
    return by_name


def _all_of(answer: Any, kind: Kind) -> list[Any]:
    if not isinstance(answer, Iterable):
        raise TypeError(f"expected a list of {_PLURALS[kind]}, got {answer!r:.80}")
    return list(answer)


@contextmanager
def _blamed_on(provider: Provider, what: str) -> Iterator[None]:
    try:
        yield
    except PluginError:
        raise
    except TooSlowError as error:
        place = provider.distribution if provider.is_local else None
        who = "" if provider.is_local else f"{provider} "
        raise PluginError(f"{who}{what}: {error}", place=place, hint=SETTING) from error
    except (Exception, SystemExit) as error:
        message = f"{what}: {type(error).__name__}: {error}"
        if provider.is_local:
            path = getattr(sys.modules.get(provider.module), "__file__", "")
            line = line_in(error, path)
            place = f"{provider.distribution}:{line}" if line else provider.distribution
            raise PluginError(message, place=place) from error
        raise PluginError(
            f"{provider} {message}", hint=f"reinstall or remove {provider.distribution}"
        ) from error


# -- what a plugin declared, held against the contract: the type of every field, before any of it is called --


BASE_NAME = re.compile(r"[a-z][a-z0-9_]*")
TAKEN = ("archive", "debian", "device", "image", "mirror", "python", "recipe", "scratch")
"""The words that a base table has already."""
_TYPES: dict[Kind, type[Framework | Policy | OfferedBase]] = {
    "framework": Framework,
    "policy": Policy,
    "base": OfferedBase,
}


def refuse_faulty(kind: Kind, value: Any) -> None:
    """Raise TypeError or ValueError for a `value` that is not what the hook of `kind` declares."""
    expected = _TYPES[kind]
    if not isinstance(value, expected):
        article = "an" if kind == "base" else "a"
        raise TypeError(f"expected {article} {expected.__name__}, got {value!r:.80}")
    _require(value, {"name": str, "summary": str})
    if isinstance(value, Framework):
        _framework(value)
    elif isinstance(value, OfferedBase):
        _base(value)
    else:
        _callables(value, "amend")


def _require(value: Any, fields: dict[str, type]) -> None:
    for field, kind in fields.items():
        if not isinstance(getattr(value, field), kind):
            raise TypeError(f"{field} must be a {kind.__name__}, not {getattr(value, field)!r:.80}")


def _callables(value: Any, *fields: str) -> None:
    for field in fields:
        if not callable(getattr(value, field)):
            raise TypeError(f"{field} must be callable, not {getattr(value, field)!r:.80}")


def _options(options: Any, parent: type) -> None:
    if not (isinstance(options, type) and issubclass(options, parent)):
        raise TypeError(f"options must be a subclass of {parent.__name__}, not {options!r:.80}")


def _framework(value: Framework) -> None:
    _require(value, {"releases": tuple, "source": str, "checked": str})
    _callables(value, "layers", "check", "requires")
    _options(value.options, Options)
    if not value.releases or not all(isinstance(release, Release) for release in value.releases):
        raise TypeError("releases must be one Release or more")
    versions = [Version(release.version) for release in value.releases]
    if versions != sorted(set(versions), reverse=True):
        raise ValueError("releases must be newest first, each series once")


def _base(value: OfferedBase) -> None:
    _callables(value, "resolve")
    _options(value.options, BaseOptions)
    if value.name in TAKEN or not BASE_NAME.fullmatch(value.name):
        raise ValueError(f'"{value.name}" can be no key of its own in a base table')
    if value.name not in value.options.model_fields:
        raise ValueError(f"{value.options.__name__} must have a field {value.name}")
