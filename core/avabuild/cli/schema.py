"""`avabuild schema`: the JSON schema of recipes, for editors."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from avabuild.cli.shown import echo

if TYPE_CHECKING:
    from pydantic import BaseModel

    from avabuild.plugins.provider import Kind
    from avabuild.plugins.registry import Registry


def schema() -> None:
    """Print the JSON schema of recipes, with the options of every installed plugin that is allowed here.

    Example: avabuild schema > recipe.schema.json
    """
    from avabuild.cli.options import host_for
    from avabuild.plugins.registry import of_site
    from avabuild.recipe import json_schema

    registry = of_site(host_for().trust)
    echo(json.dumps(json_schema(_tables(registry, "framework"), _tables(registry, "base")), indent=2))


def _tables(registry: Registry, kind: Kind) -> dict[str, type[BaseModel]]:
    """Return the class of options of all that is provided of a kind; tell what is left out."""
    from avabuild.common.errors import PluginError

    found: dict[str, type[BaseModel]] = {}
    for name in registry.named(kind):
        try:
            found[name] = (registry.framework(name) if kind == "framework" else registry.base(name)).options
        except PluginError as error:
            echo(f"warning: left out: {error}", err=True)
    return found
