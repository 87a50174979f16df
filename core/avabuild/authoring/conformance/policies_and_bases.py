"""The kit's rules about policies and offered bases."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from pydantic import ValidationError
from pydantic_core import PydanticUndefined

from avabuild.authoring.conformance import declarations
from avabuild.authoring.conformance.finding import Finding
from avabuild.authoring.conformance.guard import Watch, asked_twice
from avabuild.authoring.conformance.stated import values
from avabuild.common.errors import PluginError
from avabuild.common.value import digest_of
from avabuild.plugins.ask import amendments_of, resolved
from avabuild.plugins.bases_offered import BaseOptions, OfferedBase
from avabuild.plugins.framework import Release
from avabuild.plugins.patience import go_on_after
from avabuild.plugins.policy import Draft, Policy
from avabuild.plugins.target import Device, Target
from avabuild.recipe.bases import read_table

_FIX = "answer from what it is given alone, the same every time"
_TARGET = Target(distribution="bookworm", arch="x86_64", python="3.11", device=Device(), glibc="2.36")
_SERIES = Release(version="2.19", pythons=("3.11",))

Looked = tuple[dict[str, str], tuple[Finding, ...]]


def drafts() -> tuple[Draft, ...]:
    """Return images as policies may be shown them: on every kind of base, with and without Python."""
    bare = _TARGET.model_copy(update={"python": None, "distribution": "scratch"})
    cuda = _TARGET.model_copy(update={"device": Device.parse("cuda12.5-cudnn9.3")})
    return (
        Draft(
            name="ava-tensorflow",
            tag="py311-cpu",
            base={"debian": "bookworm"},
            target=_TARGET,
            frameworks={"tensorflow": _SERIES},
            apt=("libgomp1",),
            python=("tensorflow-cpu==2.19.*",),
        ),
        Draft(
            name="ava-tensorflow",
            tag="py311-cuda125-cudnn93",
            base={"image": "registry.example/cuda:12.5"},
            target=cuda,
            labels={"org.example": "x"},
            env={"LANG": "C.UTF-8"},
            user="1000",
        ),
        Draft(name="tool", tag="py311-cpu", base={"archive": "base.tar"}, target=_TARGET, run=("true",)),
        Draft(name="tool", tag="cpu", base={}, target=bare),
    )


def policy(one: Policy, patience: float) -> Looked:
    """Return what was looked at of a policy, and what is broken."""
    findings = list(declarations.words(one.name, one.summary))
    watch = Watch()
    for draft in drafts():
        about = f"amend of an image on {dict(draft.base) or 'scratch'}"
        findings += _asked(watch, about, partial(amendments_of, one, draft, patience=patience))
    findings += _touched(watch, one.name)
    looked = {
        "declared": one.summary,
        "targets": f"{len(drafts())} drafts of images",
        "pure": "each asked twice",
    }
    return looked, tuple(dict.fromkeys(findings))


def base(one: OfferedBase, patience: float) -> Looked:
    """Return what was looked at of an offered base, and what is broken."""
    findings = [*declarations.words(one.name, one.summary), *declarations.options(one.options, one.name)]
    watch = Watch()
    tables = list(_tables(one))
    if not tables:
        fix = f'type {one.name} as a Literal of what there is, or give Field(examples=["..."])'
        findings.append(Finding("targets", "nobody can tell what it may be", fix, f"{one.name}: options"))
    for table in tables:
        try:
            options = one.options.model_validate(table)
        except ValidationError as error:
            message = str(error.errors()[0]["msg"])
            findings.append(Finding("options", f"{table} is refused: {message}", "correct it", one.name))
            continue
        findings += _asked(watch, f"resolve of {table}", partial(_based, one, options, patience))
    findings += _touched(watch, one.name)
    looked = {
        "declared": one.summary,
        "options": f"{len(one.options.model_fields)} options",
        "targets": f"{len(tables)} bases",
        "pure": "each asked twice",
    }
    return looked, tuple(dict.fromkeys(findings))


def answers(one: Policy | OfferedBase, patience: float) -> dict[str, str]:
    """Return a digest of every answer, by what was asked."""
    if isinstance(one, Policy):
        asked: dict[str, Callable[[], Any]] = {
            f"{draft.name}:{draft.tag}": partial(_amended, one, draft, patience) for draft in drafts()
        }
    else:
        asked = {str(table): partial(_resolved, one, table, patience) for table in _tables(one)}
    found = {}
    for key, ask in asked.items():
        try:
            found[key] = digest_of(ask())
        except (PluginError, ValidationError) as error:
            go_on_after(error)
            found[key] = str(error)
    return found


def _amended(one: Policy, draft: Draft, patience: float) -> list[Any]:
    return [value.model_dump(mode="json") for value in amendments_of(one, draft, patience=patience)]


def _resolved(one: OfferedBase, table: dict[str, Any], patience: float) -> dict[str, str]:
    return resolved(one, one.options.model_validate(table), patience=patience)


def _tables(one: OfferedBase) -> Iterator[dict[str, Any]]:
    """Yield tables that a recipe may write: each value of the base's own key that is known."""
    field = one.options.model_fields.get(one.name)
    if field is None:
        return
    known = values(field.annotation) or list(field.examples or ())
    if not known and field.default is not PydanticUndefined:
        known = [field.default]
    for value in known:
        yield {one.name: value}


def _based(one: OfferedBase, options: BaseOptions, patience: float) -> dict[str, str]:
    """Return what `options` stand for; raise ValueError when a recipe could not say that."""
    table = resolved(one, options, patience=patience)
    read_table(table)
    return table


def _asked(watch: Watch, about: str, ask: Callable[[], Any]) -> Iterator[Finding]:
    try:
        first, second = asked_twice(watch, ask)
    except PluginError as error:
        go_on_after(error)
        fix = "answer for it, or refuse it in words (Refuse)"
        yield Finding("targets", f"{about}: {error.message}", fix, error.place or "")
    except ValueError as error:
        yield Finding("targets", f"{about} is no base: {error}", "return a table that a recipe could have")
    else:
        if first != second:
            yield Finding("pure", f"{about} is answered in two ways", _FIX)


def _touched(watch: Watch, name: str) -> Iterator[Finding]:
    for what, place in watch.touched:
        yield Finding("pure", f"{name} {what} while it is asked", _FIX, place)
