"""Holding a subject against the contract: every rule, for all that it provides."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator

from avabuild.authoring.conformance import frameworks, policies_and_bases
from avabuild.authoring.conformance.finding import Finding, Verdict
from avabuild.authoring.conformance.subject import Subject
from avabuild.common.errors import PluginError
from avabuild.plugins.patience import TooSlowError
from avabuild.plugins.provider import OWN, Provider, installed

_SHOWN = 3
_FIX = "sort what comes from a set or a dict of another plugin, and take nothing from hash() or id()"


def held(subject: Subject) -> tuple[Verdict, ...]:
    """Return a verdict on each framework, policy and base that `subject` provides.

    Raises:
        PluginError: the children that answer under other circumstances could not be run.
    """
    verdicts = judged(subject)
    if not any(verdict.looked for verdict in verdicts):
        return verdicts  # nothing of it can be asked anything
    one, other = (_told(subject, number) for number in (0, 1))
    return tuple(_with_order(verdict, one, other) for verdict in verdicts)


def judged(subject: Subject) -> tuple[Verdict, ...]:
    """Return the verdicts of this process alone: all rules but `order`."""
    return tuple(_verdict(subject, provider) for provider in subject.providers)


def _verdict(subject: Subject, provider: Provider) -> Verdict:
    registry, patience = subject.registry, subject.registry.trust.patience
    try:
        if provider.kind == "framework":
            looked, findings = frameworks.judged(registry, provider)
        elif provider.kind == "policy":
            looked, findings = policies_and_bases.policy(registry.policy(provider.name), patience)
        else:
            looked, findings = policies_and_bases.base(registry.base(provider.name), patience)
    except PluginError as error:
        slow = isinstance(error.__cause__, TooSlowError)
        fix = "answer from what it is given alone, and wait for nothing" if slow else error.hint
        rule, fix = "targets" if slow else "declared", fix or "correct what it declares"
        looked, findings = {}, (Finding(rule, error.message, fix, error.place or ""),)
    findings = (*findings, *_taken(provider))
    return Verdict(provider.name, provider.kind, provider.who, looked, findings)


def _taken(provider: Provider) -> Iterator[Finding]:
    """Yield a finding where avabuild itself provides what another distribution gives the same name."""
    own = {(one.kind, one.name) for one in installed() if one.distribution == OWN}
    if provider.distribution != OWN and (provider.kind, provider.name) in own:
        what = f"avabuild has a {provider.kind} of that name: no recipe can use either while both are there"
        yield Finding("declared", what, "give yours another name", provider.name)


def _told(subject: Subject, number: int) -> dict[str, dict[str, str]]:
    """Ask a process of its own, with a hash seed and an order of registration of its own."""
    environment = {**subject.environment, "PYTHONHASHSEED": str(number + 1)}
    trust = subject.registry.trust
    allowed = (json.dumps(trust.patterns), trust.origin, str(trust.patience))
    command = [
        sys.executable,
        "-P",
        "-m",
        "avabuild.authoring.conformance.child",
        subject.text,
        str(number),
        *allowed,
    ]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise PluginError(f"{subject.text} can't be asked in a process of its own: {last}")
    told: dict[str, dict[str, str]] = json.loads(done.stdout.splitlines()[-1])
    return told


def _with_order(
    verdict: Verdict, one: dict[str, dict[str, str]], other: dict[str, dict[str, str]]
) -> Verdict:
    if not verdict.looked:
        return verdict
    key = f"{verdict.kind} {verdict.name}"
    findings = (*verdict.findings, *_differing(verdict.name, one.get(key, {}), other.get(key, {})))
    looked = {**verdict.looked, "order": "2 processes"}
    return Verdict(verdict.name, verdict.kind, verdict.who, looked, findings)


def _differing(name: str, one: dict[str, str], other: dict[str, str]) -> Iterator[Finding]:
    differing = [key for key in sorted(one.keys() | other.keys()) if one.get(key) != other.get(key)]
    for key in differing[:_SHOWN]:
        yield Finding("order", f"{key}: two processes give two answers", _FIX, name)
