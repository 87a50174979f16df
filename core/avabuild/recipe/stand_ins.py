"""Bases that plugins offer, put into a recipe's data as what they stand for, before it is validated."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from avabuild.common.errors import PluginError, Problem
from avabuild.plugins.ask import resolved
from avabuild.plugins.wording import KeyPath
from avabuild.recipe.bases import CODENAMES, KEYS, Offer, read_table
from avabuild.recipe.choices import CONDITIONS
from avabuild.recipe.explain import explain
from avabuild.recipe.plugins import Known
from avabuild.recipe.source import Source

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
