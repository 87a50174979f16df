"""`avabuild plugins check`: a plugin held against every point of the contract."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated

import typer

from avabuild.cli.shown import echo

if TYPE_CHECKING:
    from avabuild.authoring.conformance.finding import Finding, Verdict
    from avabuild.authoring.conformance.subject import Subject

_FAILED = 3  # that of PluginError: the plugin breaks the contract


def check(
    plugin: Annotated[
        str,
        typer.Argument(
            metavar="PATH|NAME",
            help="A distribution's directory, a local plugin (x.py), or the name of what is installed.",
        ),
    ] = ".",
    build: Annotated[
        bool, typer.Option("--build", help="Also build an image of the newest release, and check it.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Hold a plugin against every point of the contract, and say what to change.

    Without --build nothing is made and no index is asked. The rules are those of avabuild.testing.

    Example: avabuild plugins check ./avabuild-lightgbm
    """
    from avabuild.authoring.conformance.check import held
    from avabuild.authoring.conformance.subject import opened
    from avabuild.run.config import trust_of

    with opened(plugin, trust_of(os.environ)) as subject:
        verdicts = held(subject)
        if build:
            verdicts = tuple(_built(subject, verdict) for verdict in verdicts)
    if as_json:
        data = [{**dataclasses.asdict(one), "looked": dict(one.looked)} for one in verdicts]
        echo(json.dumps(data, indent=2, ensure_ascii=False))
    else:
        echo("\n\n".join("\n".join(_lines(verdict)) for verdict in verdicts))
    if any(verdict.findings for verdict in verdicts):
        raise typer.Exit(_FAILED)


def _built(subject: Subject, verdict: Verdict) -> Verdict:
    """Return the verdict with what became of an image; one that is broken already is not built."""
    from avabuild.authoring.conformance.finding import IMAGE
    from avabuild.authoring.conformance.image import BUILDER, checked, is_there
    from avabuild.common.errors import HostError

    if verdict.kind != "framework" or verdict.findings:
        return verdict
    if not is_there():
        raise HostError(f"{BUILDER} is not installed", hint="--build makes a real image; leave it out")
    said, findings = checked(subject, verdict.name)
    looked = {**verdict.looked, IMAGE: said}
    return dataclasses.replace(verdict, looked=looked, findings=findings)


def _lines(verdict: Verdict) -> Iterator[str]:
    """Yield a line per rule, and below it what breaks it."""
    from avabuild.authoring.conformance.finding import IMAGE, RULES

    yield f"{verdict.kind} {verdict.name} ({verdict.who})"
    for rule in (*RULES, IMAGE):
        broken = verdict.broken(rule)
        if broken:
            yield f"  FAIL  {rule:<9} {_title(rule, RULES)}"
            for finding in broken:
                yield from _finding(finding)
        elif rule in verdict.looked:
            yield f"  ok    {rule:<9} {verdict.looked[rule]}"
    number = len(verdict.findings)
    yield f"{number} to change" if number else "keeps the contract"


def _title(rule: str, rules: Mapping[str, str]) -> str:
    return rules.get(rule, "an image of the newest release is made, and its check runs in it")


def _finding(finding: Finding) -> Iterator[str]:
    what, *more = str(finding).splitlines()
    yield f"          {what}"
    yield from (f"            {line}" for line in more)
    for number, line in enumerate(finding.fix.splitlines()):
        yield f"          {'->' if number == 0 else '  '} {line}"
