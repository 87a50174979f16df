"""The child of `installed`: imports plugins, one after another, and prints a line of JSON of each.

Providers come as JSON on the standard input. What a plugin itself prints goes elsewhere.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

from packaging.version import Version

from avabuild.common.errors import PluginError
from avabuild.plugins.profile import options_of
from avabuild.plugins.provider import Provider, Trust
from avabuild.plugins.registry import Registry


def main() -> None:
    """Answer on the standard output; a plugin that ends the process ends the answers."""
    patience = float(sys.argv[1])
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as answers:
        os.dup2(2, 1)
        for words in json.load(sys.stdin):
            answers.write(json.dumps(_told(Provider(*words), patience)) + "\n")
            answers.flush()
        sys.stdout.flush()
        os._exit(0)  # a plugin that hangs may not be waited for


def _told(provider: Provider, patience: float) -> dict[str, Any]:
    registry = Registry([provider], Trust(patience=patience))
    try:
        if provider.kind == "policy":
            return {"summary": registry.policy(provider.name).summary}
        if provider.kind == "base":
            base = registry.base(provider.name)
            return {"summary": base.summary, "options": options_of(base.options)}
        framework = registry.framework(provider.name)
        releases = framework.releases
        return {
            "summary": framework.summary,
            "options": options_of(framework.options),
            "series": [release.version for release in releases],
            "pythons": sorted({python for r in releases for python in r.pythons}, key=Version),
            "devices": sorted({device for r in releases for device in r.devices}),
        }
    except PluginError as error:
        return {"problem": error.message.removeprefix(f"{provider} ")}
    except Exception as error:  # noqa: BLE001 - a schema that can't be made, a summary that is no text
        return {"problem": f"can't be described: {type(error).__name__}: {error}"}


if __name__ == "__main__":
    main()
