"""The kit's rules about a framework: what it declares, and the plans of all that it claims."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from avabuild.authoring.conformance import declarations, programs
from avabuild.authoring.conformance.finding import Finding
from avabuild.authoring.conformance.guard import ImpureError
from avabuild.authoring.conformance.plans import IMPURE, Watched, plan_of, planned, reasons
from avabuild.authoring.conformance.stated import Claim, claims, settings
from avabuild.common.errors import AvabuildError, PluginError, RecipeError, TargetError
from avabuild.plan.plan import Plan
from avabuild.plugins.framework import ANY_DEVICE, Framework
from avabuild.plugins.patience import go_on_after
from avabuild.plugins.provider import Provider
from avabuild.plugins.registry import Registry

_SHOWN = 3  # findings of one kind: the fourth says nothing new
_STRANGE = "3.99"


def judged(registry: Registry, provider: Provider) -> tuple[dict[str, str], tuple[Finding, ...]]:
    """Return what was looked at by rule, and what is broken."""
    framework = registry.framework(provider.name)
    findings = [
        *declarations.declared(framework),
        *declarations.options(framework.options),
        *declarations.releases(framework),
    ]
    looked = {
        "declared": framework.summary,
        "options": _counted(len(framework.options.model_fields), "option"),
        "releases": _counted(len(framework.releases), "release"),
    }
    if any(one.rule == "releases" for one in findings):
        return looked, tuple(findings)  # no target can be made of such a table
    watched = Watched(registry, provider.name)
    found, plans = _composed(watched, provider, framework)
    findings += found
    checks = dict.fromkeys(
        (check.program, plan.target.python or "")
        for plan in plans
        for check in plan.checks
        if check.framework == provider.name
    )
    findings += _programs(provider.name, checks)
    refusals = list(_refusals(watched, provider, framework))
    findings += [one for one in refusals if one]
    findings += watched.impurities
    looked |= {
        "targets": _counted(len(plans), "plan"),
        "pure": "each asked twice",
        "refuses": _counted(len(refusals), "target"),
        "check": _counted(len(checks), "program"),
    }
    return looked, tuple(dict.fromkeys(findings))


def _counted(number: int, word: str) -> str:
    return f"{number} {word}" + ("" if number == 1 else "s")


def _composed(watched: Watched, provider: Provider, framework: Framework) -> tuple[list[Finding], list[Plan]]:
    """Make the plan of every claim under every setting; a claim is kept when one of them makes one."""
    asked = settings(framework.options)
    plans: list[Plan] = []
    broken: dict[str, Finding] = {}
    unmet: list[Finding] = []
    for claim in claims(framework):
        made, refused = 0, ""
        for options in asked:
            try:
                plans.append(plan_of(watched, provider, claim, options))
                made += 1
            except TargetError as error:
                refused = refused or error.message
            except AvabuildError as error:
                go_on_after(error)
                if options and isinstance(error, RecipeError):  # one option needs another
                    continue
                for text in reasons(error):
                    broken.setdefault(text, _failed(claim, options, text, error))
                made += 1
        if not made:
            fix = "take the Python or device out of the row, or require a framework that has it"
            unmet.append(Finding("targets", f"it claims {claim}: {refused}", fix, provider.name))
    return [*list(broken.values())[:_SHOWN], *unmet[:_SHOWN]], plans


def _failed(claim: Claim, options: dict[str, Any], text: str, error: AvabuildError) -> Finding:
    words = f"{claim}" + "".join(f", {name} = {value!r}" for name, value in options.items())
    fix = _advice(error) or "answer for every target of the row, or take out of it what you can't answer for"
    return Finding("targets", f"{words}: {text}", fix, error.place or "")


def _advice(error: AvabuildError) -> str:
    """Return what to change for a failure that has a cause of its own; empty where the rule's advice fits."""
    if not isinstance(error, PluginError):
        return ""
    if "no plugin provides" in error.message:
        return "add the distribution that has it to the dependencies in pyproject.toml"
    if "require each other" in error.message:
        return "take one of them out of `requires`: frameworks can't stand upon each other in a circle"
    if isinstance(error.__cause__, ImpureError):
        return IMPURE
    if error.__cause__ is not None:
        what = type(error.__cause__).__name__
        return f"correct the {what} at the line that is named, or take out of it what you can't answer for"
    return ""


def _programs(name: str, checks: dict[tuple[str, str], None]) -> list[Finding]:
    found = {
        (what, fix): Finding("check", f"its check for Python {python} {what}", fix, f"{name}: check")
        for program, python in checks
        for what, fix in programs.faults(program, python)
    }
    return list(found.values())[:_SHOWN]


def _refusals(watched: Watched, provider: Provider, framework: Framework) -> Iterator[Finding | None]:
    """Ask for what no row claims; yield None where that was refused in words, else a finding."""
    watched.release = None
    newest = framework.releases[0]
    known = next(claims(framework))
    targets = [known.target(known.devices[0]).model_copy(update={"python": _STRANGE})]
    if ANY_DEVICE not in {device for release in framework.releases for device in release.devices}:
        strange = known.target("cuda1.0")
        targets.append(strange)
    for target in targets:
        asked = f"Python {target.python}, {target.device}"
        try:
            planned(watched, provider, target, known, {})
        except TargetError as error:
            silent = provider.name not in error.message
            yield _unsaid(provider.name, asked) if silent else None
        except AvabuildError as error:
            go_on_after(error)
            table = "let the table speak: `requires`, `allows` and `layers` need no check of the target"
            fix = _advice(error) or table
            yield Finding("refuses", f"{asked} ends in: {error.message}", fix, error.place or provider.name)
        else:
            fix = f"a Release of yours fits everything: leave `fits` as it is ({type(newest).__name__})"
            yield Finding("refuses", f"it takes {asked}, which no row has", fix, provider.name)


def _unsaid(name: str, asked: str) -> Finding:
    fix = "the refusal comes from a framework that it requires: say in its own rows where it works"
    return Finding("refuses", f"it refuses {asked} without its own name", fix, name)
