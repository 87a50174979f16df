"""Findings: what a plugin breaks of the contract, and the rules that there are. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

RULES: Mapping[str, str] = {
    "declared": "it loads, and says its name, a summary, and where and when its table was read",
    "options": "every option has a description and a default that is valid",
    "releases": "the table is newest first, each series once, with versions, Pythons and devices",
    "targets": "every target that it claims makes a plan, with each of its options",
    "pure": "what it is asked twice it answers alike, from no clock, file, network or environment",
    "order": "other processes, hash seeds and orders of registration give the same plans",
    "refuses": "a target that it does not claim is refused with a reason",
    "check": "every check is a program for the Python that it is for, and prints something",
}
"""What the kit holds a plugin against, by the rule's name; `image` is asked for by itself."""

IMAGE = "image"
"""The rule that builds: a real image of the newest release, in which the check runs."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that a plugin breaks.

    Attributes:
        rule: one of `RULES`, or `IMAGE`.
        what: what happened.
        fix: what to change.
        place: `FILE:LINE`, or which field of which declaration.
    """

    rule: str
    what: str
    fix: str
    place: str = ""

    def __str__(self) -> str:
        return f"{self.place}: {self.what}" if self.place else self.what


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the kit says of one framework, policy or base.

    Attributes:
        name: its name.
        kind: `framework`, `policy` or `base`.
        who: the distribution and its version, or the file.
        looked: what was looked at, by the rule: `57 targets`.
        findings: empty for one that keeps the contract.
    """

    name: str
    kind: str
    who: str
    looked: Mapping[str, str]
    findings: tuple[Finding, ...] = ()

    def broken(self, rule: str) -> tuple[Finding, ...]:
        """Return what breaks `rule`."""
        return tuple(one for one in self.findings if one.rule == rule)
