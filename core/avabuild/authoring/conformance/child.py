"""The child of `check`: answers what the plugin gives under this process's hash seed and order, as JSON."""

from __future__ import annotations

import json
import os
import sys
from contextlib import suppress

from avabuild.authoring.conformance.plans import digests
from avabuild.authoring.conformance.policies_and_bases import answers
from avabuild.authoring.conformance.subject import Subject, opened
from avabuild.common.errors import PluginError
from avabuild.plugins.provider import Trust


def main() -> None:
    """Print the digests of all answers by who gives them; what a plugin itself prints goes elsewhere."""
    text, number, patterns, origin, patience = sys.argv[1:]
    named = json.loads(patterns)
    trust = Trust(None if named is None else tuple(named), origin, float(patience))
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as out:
        os.dup2(2, 1)
        with opened(text, trust) as subject:
            if number == "1":
                _load_others(subject)
            out.write(json.dumps(_told(subject)) + "\n")


def _load_others(subject: Subject) -> None:
    """Load everything else that is installed and allowed here first, the last name first."""
    for name in reversed(subject.registry.names):
        with suppress(PluginError):
            subject.registry.framework(name)


def _told(subject: Subject) -> dict[str, dict[str, str]]:
    registry = subject.registry
    told: dict[str, dict[str, str]] = {}
    for provider in subject.providers:
        with suppress(PluginError):
            if provider.kind == "framework":
                found = digests(registry, provider)
            else:
                one = registry.policy if provider.kind == "policy" else registry.base
                found = answers(one(provider.name), registry.trust.patience)
            told[f"{provider.kind} {provider.name}"] = found
    return told


if __name__ == "__main__":
    main()
