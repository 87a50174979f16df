"""docs/plugins.md has every rule of the kit, every fixture, and the fields of all that a plugin may return."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

from avabuild import api, testing
from avabuild.authoring.conformance.finding import IMAGE, RULES

PATH = Path(__file__).parents[2] / "docs" / "plugins.md"
PAGE = PATH.read_text()
BEGIN, END = "<!-- fields: begin -->\n", "<!-- fields: end -->"
SHOWN = (
    "Apt",
    "Repository",
    "Python",
    "Files",
    "File",
    "Run",
    "Mount",
    "Compile",
    "Env",
    "Defaults",
    "Libraries",
    "ForDevice",
)


@pytest.mark.parametrize("rule", [*RULES, IMAGE])
def test_every_rule_is_documented(rule):
    assert f"\n| `{rule}` | " in PAGE


@pytest.mark.parametrize("name", ["ask", "build_image"])
def test_every_fixture_is_documented_and_is_one(name):
    assert f"\n| `{name}` | " in PAGE
    assert type(getattr(testing, name)).__name__ == "FixtureFunctionDefinition"


def attributes(cls: type) -> dict[str, str]:
    """Return what the docstring of a value says of each field."""
    text = inspect.getdoc(cls) or ""
    section = text.partition("Attributes:\n")[2].split("\n\n")[0]
    found = re.findall(r"^    (\w+): (.*?)(?=^    \w|\Z)", section, re.MULTILINE | re.DOTALL)
    return {name: " ".join(words.split()) for name, words in found}


def table(name: str) -> str:
    cls = getattr(api, name)
    words = attributes(cls)
    fields = [field for field in cls.model_fields if field != "kind"]
    assert sorted(words) == sorted(fields), f"the docstring of {name} has every field"
    summary = (inspect.getdoc(cls) or "").split("\n\n")[0].replace("\n", " ")
    rows = []
    for field in fields:
        info = cls.model_fields[field]
        default = "needed" if info.is_required() else f"`{info.default!r}`"
        rows.append(f"| `{field}` | {default} | {words[field].replace('|', chr(92) + '|')} |")
    return "\n".join(
        [f"#### {name}", "", summary, "", "| field | default | what it is |", "|---|---|---|", *rows]
    )


def test_the_fields_of_what_a_plugin_returns_are_those_of_the_docstrings(request):
    made = "\n\n".join(map(table, SHOWN)) + "\n"
    if request.config.getoption("--update-golden"):
        head, _, rest = PAGE.partition(BEGIN)
        PATH.write_text(head + BEGIN + made + END + rest.partition(END)[2])
    written = PATH.read_text().partition(BEGIN)[2].partition(END)[0]
    assert written == made, "docs/plugins.md differs: if that is meant, run pytest --update-golden"
