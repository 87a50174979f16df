"""`avabuild schema`: the JSON schema of recipes, for editors."""

from __future__ import annotations

import json

import typer


def schema() -> None:
    """Print the JSON schema of recipes, with the options of every installed plugin.

    Example: avabuild schema > recipe.schema.json
    """
    from avabuild.errors import PluginError
    from avabuild.recipe import json_schema
    from avabuild.registry import Registry, installed

    registry = Registry(installed())
    options = {}
    for name in registry.names:
        try:
            options[name] = registry.framework(name).options
        except PluginError as error:
            typer.echo(f"warning: left out: {error}", err=True)
    typer.echo(json.dumps(json_schema(options), indent=2))
