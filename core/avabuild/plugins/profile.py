"""What one framework offers, as plain data: its options, its releases, and a recipe to begin with. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from avabuild.plugins.bases_offered import OfferedBase
from avabuild.plugins.framework import ANY_DEVICE, Framework, Release
from avabuild.plugins.policy import Policy


def profile_of(framework: Framework, homes: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """Return all that the plugin declares of `framework`, ready for JSON.

    `homes` are the distributions that a recipe can name as its base, with the Python that each one has.
    """
    return {
        "framework": framework.name,
        "summary": framework.summary,
        "source": framework.source,
        "checked": framework.checked,
        "options": options_of(framework.options),
        "releases": [release.model_dump(mode="json") for release in framework.releases],
        "example": example(framework, homes),
    }


def base_profile(base: OfferedBase) -> dict[str, Any]:
    """Return all that the plugin declares of a base that it offers, ready for JSON."""
    return {"base": base.name, "summary": base.summary, "options": options_of(base.options)}


def policy_profile(policy: Policy) -> dict[str, Any]:
    """Return all that the plugin declares of a policy, ready for JSON."""
    return {"policy": policy.name, "summary": policy.summary}


def options_of(cls: type[BaseModel]) -> list[dict[str, Any]]:
    """Return each field of a class of options: `name`, `type` in words, `default` and `description`."""
    schema = cls.model_json_schema()
    return [
        {
            "name": name,
            "type": _type(field),
            "default": field.get("default"),
            "description": field.get("description", ""),
        }
        for name, field in schema["properties"].items()
    ]


def _type(field: Mapping[str, Any]) -> str:
    """Word the type of a JSON schema as a reader of TOML knows it."""
    if "enum" in field or "const" in field:
        return " | ".join(f'"{value}"' for value in field.get("enum", [field.get("const")]))
    if "anyOf" in field:
        return " | ".join(_type(choice) for choice in field["anyOf"] if choice.get("type") != "null")
    if field.get("type") == "array":
        return f"list of {_type(field.get('items', {}))}"
    return {"integer": "number", "object": "table"}.get(str(field.get("type")), str(field.get("type", "any")))


def example(framework: Framework, homes: Mapping[str, Sequence[str]]) -> str:
    """Return a recipe of the newest release that can be had on one of `homes`, which come newest first."""
    for release in framework.releases:
        for distribution, pythons in homes.items():
            python = next((p for p in pythons if p in release.pythons), None)
            if python and release.stands_on(distribution):
                return _recipe(framework.name, release, distribution, python)
    return _recipe(framework.name, framework.releases[0], "", framework.releases[0].pythons[0])


def _recipe(name: str, release: Release, distribution: str, python: str) -> str:
    base = f'{{ debian = "{distribution}" }}' if distribution else f'{{ image = "python:{python}" }}'
    device = release.devices[0] if release.devices[0] != ANY_DEVICE else "cpu"
    return (
        f'name = "ava-{name.removeprefix("ava-")}"\n'
        f"base = {base}\n\n"
        f'[matrix]\npython = ["{python}"]\ndevice = ["{device}"]\n\n'
        f'[frameworks]\n{name} = "{release.version}"\n'
    )
