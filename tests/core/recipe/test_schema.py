"""The JSON schema that editors complete recipes with."""

import json
from typing import Any, Literal

import pytest
from pydantic import BaseModel, Field

from avabuild.common.errors import PluginError
from avabuild.plugins.framework import Options
from avabuild.recipe import Recipe, json_schema


class Extra(BaseModel):
    level: int = Field(default=1, description="How much")


class KerasOptions(Options):
    backend: Literal["tensorflow", "jax"] = Field(default="tensorflow", description="What computes")
    extra: Extra | None = Field(default=None, description="More")


class Odd(Options):
    call: Any = Field(default=None, description="x")

    @classmethod
    def __get_pydantic_json_schema__(cls, core, handler):
        handler(core)
        from pydantic.errors import PydanticInvalidForJsonSchema

        raise PydanticInvalidForJsonSchema("a callable")


@pytest.fixture
def schema():
    return json_schema({"keras": KerasOptions, "jupyterlab": Options})


def resolved(schema, node):
    return schema["$defs"][node["$ref"].removeprefix("#/$defs/")] if "$ref" in node else node


def nodes(value):
    if isinstance(value, dict):
        yield value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from nodes(inner)


def test_the_schema_is_plain_json_of_the_2020_draft(schema):
    assert json.loads(json.dumps(schema)) == schema
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"


def test_every_key_of_a_recipe_is_described(schema):
    assert set(schema["properties"]) == set(Recipe.model_fields)
    for node in nodes(schema):
        for name, field in node.get("properties", {}).items():
            assert field.get("description") or resolved(schema, field).get("description"), name


def test_no_table_allows_unknown_keys(schema):
    tables = [node for node in nodes(schema) if "properties" in node and node.get("title") != "Extra"]
    assert len(tables) > 10
    assert all(node["additionalProperties"] is False for node in tables)


def test_toml_has_no_null_and_neither_has_the_schema(schema):
    assert "null" not in json.dumps(schema)


def test_each_framework_is_a_version_or_a_table_of_its_options(schema):
    frameworks = schema["properties"]["frameworks"]
    assert set(frameworks["properties"]) == {"keras", "jupyterlab"}
    version, table = frameworks["properties"]["keras"]["anyOf"]
    assert version["type"] == "string"
    assert set(table["properties"]) == {"version", "backend", "extra"}
    assert table["properties"]["backend"]["enum"] == ["tensorflow", "jax"]
    assert resolved(schema, table["properties"]["extra"])["properties"]["level"]["type"] == "integer"


def test_every_reference_leads_somewhere(schema):
    targets = [node["$ref"] for node in nodes(schema) if "$ref" in node]
    assert targets
    assert all(target.removeprefix("#/$defs/") in schema["$defs"] for target in targets)


def test_bases_are_tables_or_scratch(schema):
    *choices, _several = [resolved(schema, node) for node in schema["properties"]["base"]["anyOf"]]
    assert [next(iter(choice.get("properties", {"scratch": 0}))) for choice in choices] == [
        "debian",
        "image",
        "recipe",
        "archive",
        "scratch",
    ]


def test_several_bases_are_tables_with_conditions_or_scratch(schema):
    several = schema["properties"]["base"]["anyOf"][-1]
    assert several["type"] == "array"
    tables = [resolved(schema, node) for node in several["items"]["anyOf"]]
    assert all({"python", "device"} < set(table["properties"]) for table in tables if "properties" in table)
    assert len(tables) == 5


def test_options_that_no_schema_can_describe_are_blamed_on_their_framework():
    with pytest.raises(PluginError, match="the options of odd have no JSON schema: a callable"):
        json_schema({"odd": Odd})
