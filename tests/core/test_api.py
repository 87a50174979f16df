from __future__ import annotations

import ast
import inspect
import re
import types
from pathlib import Path

import pytest

import avabuild_plugins
from avabuild import api
from avabuild.plugins import hookspecs
from avabuild.plugins.ask import amendments_of, resolved
from avabuild.plugins.registry import Provider, Registry, load

ROOT = Path(__file__).parents[2]
HOOKS = [f for name, f in vars(hookspecs).items() if name.startswith("avabuild_")]
DOCUMENT = (ROOT / "docs" / "plugins.md").read_text()


def test_what_plugin_authors_may_import_is_pinned():
    assert sorted(api.__all__) == [
        "Apt",
        "BaseOptions",
        "CONTRACT",
        "Compile",
        "DebianSource",
        "Defaults",
        "Device",
        "Download",
        "Draft",
        "Env",
        "File",
        "Files",
        "ForDevice",
        "Framework",
        "Impossible",
        "Index",
        "Label",
        "Libraries",
        "Mount",
        "OfferedBase",
        "Options",
        "Policy",
        "ProjectFile",
        "Python",
        "Refuse",
        "Release",
        "Repository",
        "Request",
        "Run",
        "SourceFile",
        "Target",
        "Wanted",
        "Warn",
        "driver_minimum",
        "hookimpl",
    ]
    assert all(hasattr(api, name) for name in api.__all__)


PLUGINS = Path(avabuild_plugins.__path__[0])


@pytest.mark.parametrize(
    "path", sorted(PLUGINS.rglob("*.py")), ids=lambda path: str(path.relative_to(PLUGINS))
)
def test_a_built_in_plugin_imports_of_ours_only_what_a_third_partys_may(path):
    nodes = list(ast.walk(ast.parse(path.read_text())))
    modules = {node.module or "." for node in nodes if isinstance(node, ast.ImportFrom)}
    modules |= {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    own = ".".join(["avabuild_plugins", *path.relative_to(PLUGINS).parts[:-1]]) + "."
    if own != "avabuild_plugins.":  # a plugin of several modules is one plugin
        modules = {module for module in modules if not module.startswith(own)}
    assert {module for module in modules if module.startswith((".", "avabuild"))} <= {"avabuild.api"}


def test_there_are_hooks_to_document():
    assert [hook.__name__ for hook in HOOKS] == ["avabuild_frameworks", "avabuild_policies", "avabuild_bases"]


@pytest.mark.parametrize("hook", HOOKS, ids=lambda hook: hook.__name__)
def test_every_hook_has_a_section_with_its_exact_signature(hook):
    sections = dict(re.findall(r"^## `(\w+)`\n(.*?)(?=^## |\Z)", DOCUMENT, re.DOTALL | re.MULTILINE))
    signature = f"def {hook.__name__}{inspect.signature(hook)}: ...".replace("'", "")
    section = sections[hook.__name__]
    assert signature in section.splitlines()
    assert "Called once, when" in section, "it says when it is called"
    assert "`None` is" in section, "it says what None means"
    assert "Since contract " in section
    assert f"def {hook.__name__}():" in section, "it has an example"


def test_the_documents_examples_are_a_working_plugin_and_its_test(monkeypatch):
    blocks = re.findall(r"```python\n(.*?)```", DOCUMENT, re.DOTALL)
    (plugin,) = [block for block in blocks if "def avabuild_frameworks():" in block]
    (test,) = [block for block in blocks if "target = Target(" in block]
    module = types.ModuleType("avabuild_lightgbm")
    exec(plugin, vars(module))
    monkeypatch.setitem(__import__("sys").modules, "avabuild_lightgbm", module)
    assert (
        load(["lightgbm"], [Provider("lightgbm", "avabuild_lightgbm", "avabuild-lightgbm", "1.0")])
        .framework("lightgbm")
        .summary
        == "LightGBM"
    )
    exec(test, dict(vars(module)))


@pytest.mark.parametrize("kind", ["policy", "base"])
def test_the_documents_policy_and_base_are_ones(kind, monkeypatch):
    hook = {"policy": "avabuild_policies", "base": "avabuild_bases"}[kind]
    (text,) = [t for t in re.findall(r"```python\n(.*?)```", DOCUMENT, re.DOTALL) if f"def {hook}():" in t]
    module = types.ModuleType("example_plugin")
    exec(text.replace("from __future__ import annotations", ""), vars(module))
    monkeypatch.setitem(__import__("sys").modules, "example_plugin", module)
    name = {"policy": "example", "base": "ubuntu"}[kind]
    registry = Registry([Provider(name, "example_plugin", "example", "1.0", kind)])
    if kind == "base":
        offered = registry.base(name)
        options = offered.options(ubuntu="24.04", minimal=True)
        assert resolved(offered, options) == {"image": "registry.example/ubuntu-minimal:24.04"}
        return
    target = api.Target(
        distribution="bookworm", arch="x86_64", python="3.11", device=api.Device(), glibc="2.36"
    )
    draft = api.Draft(name="x", tag="y", base={"image": "elsewhere.example/z"}, target=target)
    kinds = [type(one).__name__ for one in amendments_of(registry.policy(name), draft)]
    assert kinds == ["Label", "Index", "Refuse"]


def test_the_documents_compile_is_one():
    (text,) = re.findall(r"```py\n(.*?)```", DOCUMENT, re.DOTALL)
    compiled = eval(text, {name: getattr(api, name) for name in api.__all__})
    assert [file.filename for file in compiled.source_files] == ["hello-1.0.tar.gz"]
    table = DOCUMENT.split("### Compiling")[1].split("###")[0]
    assert [f for f in api.Compile.model_fields if f"| `{f}` |" not in table] == ["kind"]
