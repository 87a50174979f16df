"""The frameworks of a recipe held against the plugins that are installed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from avabuild.errors import PluginError, Problem, RecipeError
from avabuild.framework import Options
from avabuild.recipe.explain import explain
from avabuild.recipe.model import Recipe, framework_options
from avabuild.recipe.source import Source
from avabuild.recipe.wording import did_you_mean, listed


@dataclass(frozen=True, slots=True)
class Known:
    """What is installed.

    Attributes:
        names: every framework's name, from metadata: no plugin was imported for it.
        options: names -> the class of each one's options; imports those plugins, and may raise PluginError.
    """

    names: tuple[str, ...]
    options: Callable[[tuple[str, ...]], Mapping[str, type[Options]]]


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
