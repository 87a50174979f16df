"""The JSON schema of a recipe file, with the options of the installed frameworks, for editors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel
from pydantic.errors import PydanticInvalidForJsonSchema
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from avabuild.common.errors import PluginError
from avabuild.recipe.choices import Conditions
from avabuild.recipe.model import Recipe


class _WithoutNull(GenerateJsonSchema):
    """Schemas for TOML, which has no null: an optional key is left out."""

    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        if schema.get("default", ...) is None:
            return self.generate_inner(schema["schema"])
        return super().default_schema(schema)


_VERSION = {"type": "string", "description": 'Version: "*", "2.19", "~=2.19" or ">=2,<3"'}


def json_schema(
    options: Mapping[str, type[BaseModel]], bases: Mapping[str, type[BaseModel]] | None = None
) -> dict[str, Any]:
    """Return the schema (JSON Schema draft 2020-12) of a recipe that may use the frameworks of `options`.

    `bases` are the tables of the bases that plugins offer, by name.

    Raises:
        PluginError: a class of options has a field that no schema can describe; names its framework or base.
    """
    schema = Recipe.model_json_schema(schema_generator=_WithoutNull)
    definitions: dict[str, Any] = schema.setdefault("$defs", {})
    properties: dict[str, Any] = {}
    for name, cls in sorted((bases or {}).items()):
        table, own = _described(name, cls)
        definitions |= own
        _offer(schema, table)
    for name, cls in sorted(options.items()):
        table, own = _described(name, cls)
        definitions |= own
        properties[name] = {
            "title": name,
            "description": f"Version or options of {name}",
            "anyOf": [_VERSION, table],
        }
    schema["properties"]["frameworks"] |= {"properties": properties, "additionalProperties": False}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "avabuild recipe"}


def _offer(schema: dict[str, Any], table: dict[str, Any]) -> None:
    """Let a base be `table`, alone or with the conditions of one of several."""
    *single, several = schema["properties"]["base"]["anyOf"]
    conditions = Conditions.model_json_schema(schema_generator=_WithoutNull)["properties"]
    within = {**table, "properties": {**conditions, **table["properties"]}}
    several["items"]["anyOf"].append(within)
    schema["properties"]["base"]["anyOf"] = [*single, table, several]


def _described(name: str, cls: type[BaseModel]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the schema of the options table, and its definitions under names that no other framework has."""
    try:
        table = cls.model_json_schema(ref_template=f"#/$defs/{name}.{{model}}", schema_generator=_WithoutNull)
    except PydanticInvalidForJsonSchema as error:
        raise PluginError(f"the options of {name} have no JSON schema: {error.message}") from error
    own = {f"{name}.{key}": value for key, value in table.pop("$defs", {}).items()}
    return table, own
