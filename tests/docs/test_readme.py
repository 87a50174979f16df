"""What the documents say is true: their recipes load, their plugin answers, their commands exist."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import typer.main

from avabuild import cli
from avabuild.cli.app import app
from avabuild.common import errors
from avabuild.common.errors import AvabuildError
from avabuild.plugins.registry import Registry, installed
from avabuild.plugins.registry import load as load_plugins
from avabuild.recipe import Known, json_schema, load

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
LAYOUT = {"project", "build-system", "tool"}  # the tables of a pyproject.toml

# Headings of docs/recipe.md by the definition of the schema that they describe.
HEADINGS = {
    "HealthCheck": "image",
    "Matrix": "matrix",
    "Packages": "packages",
    "FileEntry": "files",
    "RunStep": "run",
    "MountEntry": "run",
    "ImageConfig": "image",
    "Build": "build",
    "RepositoryEntry": "packages",
    "DebianBase": "base",
    "ImageBase": "base",
    "RecipeBase": "base",
    "ArchiveBase": "base",
    "_DebianFor": "base",
    "_ImageFor": "base",
    "_RecipeFor": "base",
    "_ArchiveFor": "base",
}


def blocks(language: str) -> list[Any]:
    """Every fenced block of a language, as parameters with page and line for a name."""
    found = []
    for page in PAGES:
        text = page.read_text()
        for match in re.finditer(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
            line = text.count("\n", 0, match.start()) + 1
            found.append(pytest.param(match[1], id=f"{page.name}:{line}"))
    return found


def section(heading: str) -> str:
    """The text of docs/recipe.md below a heading."""
    _, _, rest = (ROOT / "docs" / "recipe.md").read_text().partition(f"\n## {heading}\n")
    assert rest, f"docs/recipe.md has no heading {heading}"
    return rest.partition("\n## ")[0]


@pytest.mark.parametrize("text", blocks("toml"))
def test_a_toml_block_is_a_recipe_or_a_pyproject(text, tmp_path):
    data = tomllib.loads(text)
    if set(data) <= LAYOUT:
        assert data["project"]["entry-points"]["avabuild"]
        return
    (tmp_path / "recipes").symlink_to(ROOT / "recipes")
    path = tmp_path / "recipe.toml"
    path.write_text(text)
    registry = Registry(installed())
    assert load(path, Known(registry.names, registry.options)).name


@pytest.mark.parametrize("text", blocks("python"))
def test_a_python_block_compiles(text):
    compile(text, "block", "exec")


def test_the_readme_has_recipes_and_a_plugin():
    names = [parameter.id for language in ("toml", "python") for parameter in blocks(language)]
    assert sum("README" in str(name) for name in names) == 3


def test_the_readme_s_plugin_registers_and_answers(monkeypatch):
    from avabuild.api import Device, Options, Request, Target
    from avabuild.plugins.registry import Provider, check_of, layers_of

    (source,) = [parameter.values[0] for parameter in blocks("python") if "README" in str(parameter.id)]
    module = ModuleType("avabuild_lightgbm")
    exec(compile(str(source), "README.md", "exec"), module.__dict__)
    monkeypatch.setitem(sys.modules, "avabuild_lightgbm", module)
    framework = load_plugins(
        ["lightgbm"], [Provider("lightgbm", "avabuild_lightgbm", "avabuild-lightgbm", "1.0")]
    ).framework("lightgbm")
    target = Target(
        distribution="bookworm", arch="x86_64", python="3.12", device=Device.parse("cpu"), glibc="2.36"
    )
    (release,) = framework.releases
    assert release.fits(target)
    request = Request(target=target, options=Options(), release=release)
    (layer,) = layers_of(framework, request)
    assert layer.requirements == ("lightgbm==4.7.*",)  # type: ignore[union-attr]
    compile(check_of(framework, request), "check", "exec")
    assert len(str(source).strip().splitlines()) <= 18


def commands() -> list[tuple[str, ...]]:
    """Every `avabuild ...` that a page shows in backquotes or at the start of a line of a shell block."""
    found = set()
    for page in PAGES:
        text = page.read_text()
        inline = re.findall(r"`(avabuild [^`]*)`", text)
        typed = [line for block in blocks("sh") for line in str(block.values[0]).splitlines()]
        for line in [*inline, *(line for line in typed if line.startswith("avabuild "))]:
            found.add(tuple(shlex.split(line.replace("\n", " "), comments=True)[1:]))
    return sorted(found)


@pytest.mark.parametrize("command", commands(), ids=" ".join)
def test_a_command_of_the_pages_is_one_that_avabuild_knows(command):
    name, *rest = command
    own = [] if name.startswith("-") else [name]
    own += rest[:1] if name == "plugins" and not "".join(rest[:1]).startswith("-") else []
    program = [sys.executable, "-c", "from avabuild.cli import main; main()", *own, "--help"]
    helped = subprocess.run(program, capture_output=True, text=True, check=True, timeout=30).stdout
    for option in [word for word in (name, *rest) if word.startswith("-")]:
        assert option in helped


def options_of(command: str) -> set[str]:
    group = typer.main.get_command(app)
    parameters = group.commands[command].params  # type: ignore[attr-defined]
    return {option for parameter in parameters for option in parameter.opts if option.startswith("--")}


def test_every_option_of_recipe_is_documented():
    text = (ROOT / "docs" / "cli.md").read_text()
    short = {"--quiet": "-q", "--verbose": "-v"}
    assert {o for o in options_of("recipe") if f"`{short.get(o, o)}" not in text} == set()


def test_every_exit_code_is_documented():
    text = (ROOT / "docs" / "cli.md").read_text()
    rows = {int(code): name for code, name in re.findall(r"^\| (\d+) \|\s*`?(\w*)`? \|", text, re.MULTILINE)}
    found = [c for c in vars(errors).values() if isinstance(c, type) and issubclass(c, AvabuildError)]
    classes = [c for c in found if c is not errors.JointError]  # which ends as the first of its errors would
    assert {cls.exit_code: cls.__name__ for cls in classes}.items() <= rows.items()
    assert set(rows) == {cls.exit_code for cls in classes} | {0, cli.BUG, cli.INTERRUPTED}


def test_every_key_of_a_recipe_is_documented():
    registry = Registry(installed())
    own = ("jupyterlab", "keras", "pytorch", "tensorflow")
    schema = json_schema({name: registry.framework(name).options for name in own})
    missing = [
        f"top level: {key}" for key in schema["properties"] if f"| `{key}` |" not in section("Top level")
    ]
    for definition, described in schema["$defs"].items():
        text = section(HEADINGS[definition])
        missing += [f"{definition}: {k}" for k in described.get("properties", {}) if f"| `{k}` |" not in text]
    for name, framework in schema["properties"]["frameworks"]["properties"].items():
        options = set(framework["anyOf"][1]["properties"]) - {"version"}
        text = section("frameworks")
        missing += [f"{name}: {option}" for option in options if f"| {name} | `{option}` |" not in text]
    assert missing == []


def test_every_key_that_is_documented_is_one():
    registry = Registry(installed())
    schema = json_schema({})
    known = set(schema["properties"])
    for described in schema["$defs"].values():
        known |= set(described.get("properties", {}))
    for name in registry.names:
        known |= set(registry.framework(name).options.model_fields)
    documented = set(re.findall(r"^\| `(\w+)` \|", (ROOT / "docs" / "recipe.md").read_text(), re.MULTILINE))
    assert documented - known == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_pages_lead_somewhere(page):
    links = re.findall(r"\]\(([^)#:]+)\)", page.read_text())
    assert [link for link in links if not (page.parent / link).exists()] == []
