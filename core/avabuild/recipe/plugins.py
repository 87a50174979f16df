"""What a recipe asks of plugins held against those that are installed, and those that it brings."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from avabuild.common.errors import PluginError, Problem, RecipeError
from avabuild.plugins.ask import resolved
from avabuild.plugins.bases_offered import OfferedBase
from avabuild.plugins.framework import Options
from avabuild.plugins.patience import PATIENCE
from avabuild.plugins.provider import is_path, matches
from avabuild.plugins.wording import KeyPath, did_you_mean, listed
from avabuild.recipe.bases import CODENAMES, KEYS, Offer, read_table
from avabuild.recipe.choices import CONDITIONS
from avabuild.recipe.document import Source
from avabuild.recipe.explain import explain
from avabuild.recipe.model import Recipe, framework_options


def _nothing_offered(name: str) -> tuple[OfferedBase, str, str]:
    raise PluginError(f'no plugin offers "{name}"')


def _not_run(shown: str, path: Path) -> Known:
    raise PluginError(f"{shown}: local plugins are not run here ({path})")


@dataclass(frozen=True, slots=True)
class Known:
    """What is installed.

    Attributes:
        names: every framework's name, from metadata: no plugin was imported for it.
        options: names -> the class of each one's options; imports those plugins, and may raise PluginError.
        bases: the name of every base that a plugin offers.
        base: name -> what is offered, and the plugin's distribution and version; imports that plugin.
        distributions: those that are installed and have plugins.
        with_local: a local plugin, by its path as it is spelt and where it is -> what is known with it.
        patience: seconds that a plugin has for an answer.
    """

    names: tuple[str, ...]
    options: Callable[[tuple[str, ...]], Mapping[str, type[Options]]]
    bases: tuple[str, ...] = ()
    base: Callable[[str], tuple[OfferedBase, str, str]] = _nothing_offered
    distributions: tuple[str, ...] = ()
    with_local: Callable[[str, Path], Known] = _not_run
    patience: float = PATIENCE


def check_plugins(entries: Sequence[Any], source: Source, known: Known) -> tuple[Problem, ...]:
    """Return which entries of the recipe's `plugins` are neither a file nor an installed distribution."""
    return tuple(
        source.problem(("plugins", index), f'"{entry}" is not installed, or has no plugins;{near} {have}')
        for index, entry in enumerate(entries)
        if isinstance(entry, str)
        and not is_path(entry)
        and not any(matches(name, entry) for name in known.distributions)
        for near in [did_you_mean(entry, known.distributions).removeprefix(";")]
        for have in [f"there are {listed(known.distributions)}"]
    )


def check_frameworks(wanted: Mapping[str, Any], source: Source, known: Known) -> tuple[Problem, ...]:
    """Return what is wrong with the recipe's `frameworks` table, as it stands in the file.

    Raises:
        PluginError: a plugin that the recipe needs is broken, and there is no problem in the recipe itself.
    """
    problems: list[Problem] = []
    broken: PluginError | None = None
    for name, value in wanted.items():
        keys = ("frameworks", name)
        if name not in known.names:
            near = did_you_mean(name, known.names)
            installed = listed(known.names)
            problems.append(
                source.problem(keys, f'no plugin provides "{name}"{near or ";"} installed: {installed}')
            )
            continue
        if not isinstance(value, str | dict):
            continue  # the recipe's own model names this one
        try:
            problems.extend(_option_problems(name, value, known.options((name,))[name], source))
        except PluginError as error:
            error.place = error.place or source.place(keys)
            broken = broken or error
    if broken and not problems:
        raise broken
    return tuple(problems)


def parse_options(recipe: Recipe, name: str, cls: type[Options]) -> Options:
    """Return the recipe's options of the framework `name` as a `cls`, its defaults when the recipe has none.

    Raises:
        RecipeError: the recipe's options don't fit `cls`.
        PluginError: a validator of `cls` failed otherwise than by ValueError.
    """
    data = recipe.options(name)
    problems = _option_problems(name, data, cls, recipe.source)
    if problems:
        raise RecipeError(problems)
    return cls.model_validate(data)


def _option_problems(
    name: str, value: str | dict[str, Any], cls: type[Options], source: Source
) -> tuple[Problem, ...]:
    data = framework_options(value)
    try:
        cls.model_validate(data)
    except ValidationError as error:
        return explain(error, data, source, lambda _path: tuple(cls.model_fields), ("frameworks", name))
    except Exception as error:
        raise PluginError(f"the options of {name} can't be read: {type(error).__name__}: {error}") from error
    return ()


# -- bases that plugins offer, put into a recipe's data as what they stand for, before it is validated -------


_FAULTLESS = {"debian": CODENAMES[0]}


def with_offers(
    data: dict[str, Any], source: Source, known: Known
) -> tuple[dict[str, Any], dict[int, Offer], tuple[Problem, ...]]:
    """Return `data` with bases that the engine knows, the offers behind them, and what is wrong with them.

    Offers are by the index of their base in the array, 0 without one. In place of a base with a problem is
    one without: what else is wrong has its own line, and what can be read of the recipe is.

    Raises:
        PluginError: a plugin whose base the recipe names is broken, or resolves to what is no base.
    """
    if "base" not in data:
        return data, {}, ()
    base = data["base"]
    several = isinstance(base, list)
    offers: dict[int, Offer] = {}
    problems: list[Problem] = []
    made: list[Any] = []
    for index, table in enumerate(base if isinstance(base, list) else [base]):
        named = [key for key in known.bases if isinstance(table, dict) and key in table]
        if not named:
            made.append(table)
            continue
        path: KeyPath = ("base", index) if several else ("base",)
        conditions = {key: table[key] for key in CONDITIONS if several and key in table}
        rest = {key: value for key, value in table.items() if key not in conditions}
        if len(given := [*(key for key in KEYS if key in rest), *named]) > 1:
            problems.append(source.problem(path, f"{' and '.join(given)} exclude each other; keep one"))
            made.append({**conditions, **_FAULTLESS})
            continue
        found, wrong = _stand_in(named[0], rest, path, source, known)
        problems += wrong
        stands_for = _FAULTLESS
        if found:
            offers[index], stands_for = found
        made.append({**conditions, **stands_for})
    return {**data, "base": made if several else made[0]}, offers, tuple(problems)


def _stand_in(
    name: str, table: dict[str, Any], path: KeyPath, source: Source, known: Known
) -> tuple[tuple[Offer, dict[str, str]] | None, tuple[Problem, ...]]:
    """Return what the plugin has the `table` stand for, or what is wrong with the table."""
    base, distribution, version = known.base(name)
    cls = base.options
    try:
        options = cls.model_validate(table)
    except ValidationError as error:
        return None, explain(error, table, source, lambda _path: tuple(cls.model_fields), path)
    except Exception as error:
        raise PluginError(f"the options of {name} can't be read: {type(error).__name__}: {error}") from error
    stands_for = resolved(base, options, patience=known.patience)
    if problem := _no_base(stands_for):
        raise PluginError(f"{name} ({distribution} {version}) resolves to no base: {problem}")
    written = tuple((key, str(value)) for key, value in table.items())
    offer = Offer(name=name, written=written, distribution=distribution, version=version)
    return (offer, stands_for), ()


def _no_base(table: dict[str, str]) -> str | None:
    if "recipe" in table:
        return "it may not be a recipe"
    try:
        read_table(table)
    except ValidationError as error:
        return error.errors()[0]["msg"]
    except ValueError as error:
        return str(error)
    return None
