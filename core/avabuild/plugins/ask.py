"""Asking a framework: every call into a plugin's own code, with its answer checked and its failure blamed."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from graphlib import CycleError, TopologicalSorter
from typing import Any, TypeVar, get_args

from packaging.requirements import Requirement

from avabuild.common.addresses import redact, refuse_login
from avabuild.common.errors import PluginError, TargetError
from avabuild.plugins.bases_offered import BaseOptions, OfferedBase
from avabuild.plugins.framework import Framework, Impossible, Options, Request, Wanted
from avabuild.plugins.kinds import Compile, Layer, Python
from avabuild.plugins.local import line_in
from avabuild.plugins.patience import PATIENCE, SETTING, TooSlowError, within
from avabuild.plugins.policy import Amendment, Draft, EarlyDraft, Index, NotYet, Policy, Refuse

_KINDS = get_args(Layer)[0]
_Answer = TypeVar("_Answer")


def requires_of(
    framework: Framework, options: Options, wanted: Wanted | None = None, *, patience: float = PATIENCE
) -> tuple[str, ...]:
    """Return the names of the frameworks that `framework` needs with `options` in the image that is `wanted`.

    Raises:
        PluginError: `requires` raised, or returned anything but names.
    """
    ask: Callable[..., Iterable[str]] = framework.requires
    two = wanted is not None and _takes_two(ask)
    return _answer(
        framework, "requires", patience, lambda: _names(ask(options, wanted) if two else ask(options))
    )


def layers_of(framework: Framework, request: Request, *, patience: float = PATIENCE) -> tuple[Layer, ...]:
    """Return the layers that `framework` contributes to `request`.

    Raises:
        TargetError: what the recipe asks of it can't be had for the target.
        PluginError: `layers` raised, or returned anything but layers with valid requirements (PEP 508).
    """
    return _answer(framework, "layers", patience, lambda: _layers(framework.layers(request)))


def check_of(framework: Framework, request: Request, *, patience: float = PATIENCE) -> str:
    """Return the Python program that proves `framework` works.

    Raises:
        PluginError: `check` raised, or returned anything but a program.
    """
    return _answer(framework, "check", patience, lambda: _program(framework.check(request)))


def amendments_of(policy: Policy, draft: Draft, *, patience: float = PATIENCE) -> tuple[Amendment, ...]:
    """Return what `policy` adds to the image of `draft`, or why it refuses it.

    Raises:
        PluginError: `amend` raised, or returned anything but amendments with valid requirements.
    """
    return _answer(policy, "amend", patience, lambda: _amendments(policy.amend(draft)))


def early_refusals_of(policy: Policy, draft: EarlyDraft, *, patience: float = PATIENCE) -> tuple[Refuse, ...]:
    """Return the refusals that `policy` gives before it reads what is not known yet.

    Whatever else comes of it is left to `amendments_of`, which asks again once the base is here.
    """
    found: list[Refuse] = []

    def ask() -> None:
        found.extend(one for one in policy.amend(draft) or () if isinstance(one, Refuse))

    with suppress(Exception, SystemExit, NotYet):
        within(patience, ask)
    return tuple(found)


def resolved(base: OfferedBase, options: BaseOptions, *, patience: float = PATIENCE) -> dict[str, str]:
    """Return the base, as a recipe could write it, that `options` stand for.

    Raises:
        PluginError: `resolve` raised, or returned anything but a table of texts.
    """
    return _answer(base, "resolve", patience, lambda: _table(base.resolve(options)))


def ordered(frameworks: Iterable[Framework], needs: Mapping[str, Sequence[str]]) -> tuple[Framework, ...]:
    """Return `frameworks` with each one after those it requires, and by name where that leaves a choice.

    `needs` holds what each requires, by name; the order in which frameworks come in is of no account.

    Raises:
        PluginError: they require each other in a circle, or one that is not among them.
    """
    by_name = {framework.name: framework for framework in frameworks}
    graph = {name: needs[name] for name in by_name}
    for name, required in graph.items():
        if absent := sorted(set(required) - set(by_name)):
            raise PluginError(f"{name} requires {', '.join(absent)}, which the image doesn't have")
    sorter = TopologicalSorter(graph)
    try:
        sorter.prepare()
    except CycleError as error:
        circle = " requires ".join(reversed(error.args[1]))
        raise PluginError(f"frameworks require each other: {circle}") from error
    names: list[str] = []
    while sorter.is_active():
        ready = sorted(sorter.get_ready())
        names += ready
        sorter.done(*ready)
    return tuple(by_name[name] for name in names)


def _answer(
    framework: Framework | Policy | OfferedBase, question: str, patience: float, ask: Callable[[], _Answer]
) -> _Answer:
    asked = getattr(framework, question)
    module = getattr(asked, "__module__", "unknown module")
    try:
        return within(patience, ask)
    except Impossible as error:
        raise TargetError(f"{framework.name}: {redact(str(error))}", hint=error.hint) from error
    except TooSlowError as error:
        words = f"{framework.name} ({module}): {question}: {error}"
        raise PluginError(words, hint=SETTING) from error
    except (Exception, SystemExit) as error:
        what = redact(f"{type(error).__name__}: {error}")
        raise PluginError(
            f"{framework.name} ({module}): {question} failed: {what}", place=_place(asked, error)
        ) from error


def _place(asked: Any, error: BaseException) -> str | None:
    """Return the line of the plugin's own file at which it failed, None where that is not known."""
    path = getattr(getattr(asked, "__code__", None), "co_filename", None)
    line = line_in(error, path) if path else None
    return f"{path}:{line}" if line else None


def _takes_two(function: Callable[..., Any]) -> bool:
    """Whether a callable must be given a second argument: those of contract 1 take one."""
    try:
        inspect.signature(function).bind(None)
    except TypeError:
        return True
    except ValueError:  # a builtin that says nothing of its arguments
        return False
    return False


def _names(answer: Any) -> tuple[str, ...]:
    if isinstance(answer, str) or not all(isinstance(name, str) for name in answer):
        raise TypeError(f"expected framework names, got {answer!r:.80}")
    return tuple(answer)


def _layers(answer: Any) -> tuple[Layer, ...]:
    if isinstance(answer, _KINDS):
        kind = type(answer).__name__
        raise TypeError(f"expected a list of layers, got one layer; return [{kind}(...)]")
    layers = tuple(answer)
    for layer in layers:
        if not isinstance(layer, _KINDS):
            raise TypeError(f"expected a layer, got {layer!r:.80}")
        if isinstance(layer, Python):
            for text in (*layer.requirements, *layer.constraints):
                Requirement(refuse_login(text))
            for text in layer.alone:
                _require_pin(text, "alone")
            for text in layer.preferred:
                _require_pin(text, "preferred")
    names = [layer.name for layer in layers if isinstance(layer, Compile)]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"two compiles are named {', '.join(twice)}")
    return layers


def _amendments(answer: Any) -> tuple[Amendment, ...]:
    if isinstance(answer, get_args(Amendment)):
        kind = type(answer).__name__
        raise TypeError(f"expected a list of amendments, got one; return [{kind}(...)]")
    amendments = () if answer is None else tuple(answer)
    for one in amendments:
        if not isinstance(one, get_args(Amendment)):
            raise TypeError(f"expected an amendment, got {one!r:.80}")
    _layers([one for one in amendments if isinstance(one, _KINDS)])
    if sum(isinstance(one, Index) for one in amendments) > 1:
        raise ValueError("there is one index, or none")
    return amendments


def _table(answer: Any) -> dict[str, str]:
    if not isinstance(answer, Mapping):
        raise TypeError(f"expected a table, got {answer!r:.80}")
    table = dict(answer)
    if not all(isinstance(text, str) for pair in table.items() for text in pair):
        raise TypeError(f"expected a table of texts, got {table!r:.80}")
    return table


def _require_pin(text: str, field: str) -> None:
    pin = Requirement(text)
    exact = [s.operator for s in pin.specifier] == ["=="] and "*" not in text
    if not exact or pin.extras or pin.marker or pin.url:
        raise ValueError(f'{field} takes exact pins, like "ava-sdk==0.1.3", not "{text}"')


def _program(answer: Any) -> str:
    if not isinstance(answer, str) or not answer.strip():
        raise TypeError(f"expected the text of a program, got {answer!r:.80}")
    return answer
