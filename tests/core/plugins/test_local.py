"""Plugins that a recipe or its project names by path: run when named, hashed as run, blamed by line."""

from __future__ import annotations

import hashlib
import importlib
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from avabuild.common.errors import PluginError, RecipeError
from avabuild.layer.facts import assumed
from avabuild.plan.plan import Plan
from avabuild.plan.planning import make_plan
from avabuild.plan.project import Project, open_projects
from avabuild.plan.targets import targets
from avabuild.plugins.local import read_local
from avabuild.plugins.provider import Provider, Trust
from avabuild.plugins.registry import Registry, installed
from avabuild.recipe import candidates
from avabuild.run import stamp
from avabuild.run.stamp_inputs import inputs, modules_elsewhere

MINE = """\
from avabuild.api import Framework, Python, Release, hookimpl


def layers(request):
    return [Python(requirements=(f"idna{request.requirement}",))]


@hookimpl
def avabuild_frameworks():
    release = Release(version="3", pythons=("3.11",))
    yield Framework(name="mine", summary="", releases=(release,), layers=layers, check=lambda _: "import idna")
"""
RECIPE = 'name = "demo"\n{plugins}\n[frameworks]\nmine = "*"\n'


@pytest.fixture
def project(tmp_path, monkeypatch) -> Callable[..., Project]:
    """Open recipes/demo.toml in a repository, with files given by path."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".git").mkdir()

    def opened(files: dict[str, str], plugins: str = 'plugins = ["./mine.py"]', **registry) -> Project:
        for name, text in {"recipes/demo.toml": RECIPE.format(plugins=plugins), **files}.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        known = Registry(registry.pop("providers", installed()), registry.pop("trust", None))
        (one,) = open_projects(Path("recipes/demo.toml"), known)
        return one

    return opened


@pytest.fixture
def plan_of(host) -> Callable[[Project], Plan]:
    def plan(project: Project) -> Plan:
        facts = assumed("bookworm")
        return make_plan(project, targets(project.recipe, facts, host)[0], facts)

    return plan


def test_a_local_plugin_is_part_of_plan_lock_and_stamp_by_path_and_content(project, plan_of):
    opened = project({"recipes/mine.py": MINE})
    plan = plan_of(opened)
    digest = "sha256:" + hashlib.sha256(MINE.encode()).hexdigest()[:12]
    assert [(f.name, f.distribution, f.version) for f in plan.frameworks] == [("mine", "./mine.py", digest)]
    (entry,) = plan.plugins
    assert (entry.framework, entry.name, entry.version) == ("mine", "./mine.py", digest)
    assert Path("recipes/mine.py") in inputs(opened, [plan])
    changed = plan_of(project({"recipes/mine.py": MINE + "\n"}))
    assert changed.frameworks[0].version != digest


def test_no_bytecode_is_left_beside_it(project, tmp_path):
    project({"recipes/mine.py": MINE})
    assert sorted(path.name for path in (tmp_path / "recipes").iterdir()) == ["demo.toml", "mine.py"]


def test_a_file_that_nothing_names_is_never_run(project):
    with pytest.raises(RecipeError, match='no plugin provides "mine"'):
        project({"recipes/mine.py": "1 / 0", "mine.py": "1 / 0"}, plugins="")


def test_the_projects_file_names_plugins_for_all_of_its_recipes(project, plan_of):
    opened = project(
        {"avabuild.toml": 'plugins = ["./plugins/mine.py"]', "plugins/mine.py": MINE}, plugins=""
    )
    assert opened.recipe.plugins == ("../plugins/mine.py",)
    plan = plan_of(opened)
    assert plan.frameworks[0].distribution == "../plugins/mine.py"
    found = {path.resolve() for path in inputs(opened, [plan])}
    assert {Path("avabuild.toml").resolve(), Path("plugins/mine.py").resolve()} < found


def test_the_projects_plugins_come_before_the_recipes_own_and_each_once(project):
    files = {"avabuild.toml": 'plugins = ["./recipes/mine.py"]', "recipes/mine.py": MINE}
    other = MINE.replace('"mine"', '"other"')
    opened = project({**files, "recipes/other.py": other}, plugins='plugins = ["./other.py", "./mine.py"]')
    assert opened.recipe.plugins == ("./other.py", "./mine.py")
    opened = project({**files, "recipes/other.py": other}, plugins='plugins = ["./other.py"]')
    assert opened.recipe.plugins == ("./mine.py", "./other.py")
    assert opened.recipe.place("plugins", 0) == "avabuild.toml:1"
    assert opened.recipe.place("plugins", 1) == "recipes/demo.toml:2"


def test_the_projects_file_is_no_recipe(project):
    project({"avabuild.toml": "plugins = []", "recipes/mine.py": MINE})
    with pytest.raises(
        RecipeError, match=r"avabuild.toml: is what the project says for all of its recipes, and no"
    ):
        open_projects(Path("avabuild.toml"), Registry(()))


def test_a_projects_file_above_the_repository_is_somebody_elses(project, tmp_path):
    (tmp_path / ".git").rmdir()
    with pytest.raises(RecipeError, match='no plugin provides "mine"'):
        project({"avabuild.toml": 'plugins = ["./mine.py"]', "mine.py": MINE}, plugins="")


def test_the_projects_file_is_found_from_a_path_with_dots(project, tmp_path):
    """Nothing above `other/..` is looked at: that is not above the recipe."""
    files = {"avabuild.toml": 'plugins = ["./mine.py"]', "mine.py": MINE, "other/.git/x": "", "other/y/z": ""}
    opened = project(files, plugins="")
    (again,) = open_projects(Path("other/y/../../recipes/demo.toml"), Registry(installed()))
    assert opened.recipe.plugins == ("../mine.py",)
    assert len(again.recipe.plugins) == 1
    assert candidates(Path("other/y/../../recipes")) == candidates(Path("recipes"))


def test_the_projects_file_may_begin_with_a_byte_order_mark(project):
    opened = project({"avabuild.toml": '\ufeffplugins = ["./mine.py"]', "mine.py": MINE}, plugins="")
    assert opened.recipe.plugins == ("../mine.py",)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
@pytest.mark.parametrize(
    ("theirs", "problem"),
    [
        ("avabuild.toml", "avabuild.toml: belongs neither to you, to root nor to the recipe's owner"),
        ("mine.py", "avabuild.toml:2: plugins[0]: belongs neither to you, to root nor to"),
        ("link.py", "avabuild.toml:2: plugins[0]: belongs neither to you, to root nor to"),
    ],
)
def test_what_somebody_else_left_for_the_project_is_not_run(project, tmp_path, theirs, problem):
    (tmp_path / "link.py").symlink_to("mine.py")
    named = "link" if theirs == "link.py" else "mine"
    files = {"avabuild.toml": f'\nplugins = ["./{named}.py"]', "mine.py": MINE}
    project(files, plugins="")
    os.chown(tmp_path / theirs, 4321, -1, follow_symlinks=False)
    with pytest.raises(RecipeError) as caught:
        project(files, plugins="")
    assert str(caught.value).startswith(problem)
    assert "others can't write to" in str(caught.value.hint)
    for name in ("recipes/demo.toml", "avabuild.toml", "mine.py"):
        os.chown(tmp_path / name, 4321, -1)
    assert project(files, plugins="").recipe.plugins  # all of the recipe's owner


def test_what_the_projects_of_recipes_below_say_is_an_input(project, tmp_path, plan_of):
    """A base recipe elsewhere has a project of its own."""
    (tmp_path / "base" / ".git").mkdir(parents=True)
    inner = 'name = "inner"\n[frameworks]\nmine = "*"\n'
    outer = 'name = "demo"\nbase = { recipe = "../base/i.toml" }\n'
    own = {"base/avabuild.toml": 'plugins = ["./own.py"]', "base/own.py": MINE, "base/i.toml": inner}
    opened = project({**own, "recipes/demo.toml": outer})
    found = {path.resolve() for path in inputs(opened, [plan_of(opened)])}
    assert {(tmp_path / "base" / name).resolve() for name in ("avabuild.toml", "own.py", "i.toml")} < found
    (tmp_path / "base" / "avabuild.toml").unlink()
    with_own = inner.replace("\n", '\nplugins = ["./own.py"]\n', 1)
    opened = project({"base/i.toml": with_own, "recipes/demo.toml": outer})
    assert tmp_path / "base" / "avabuild.toml" in inputs(opened, [plan_of(opened)])


def test_a_changed_module_of_an_editable_plugin_voids_a_stamp(tmp_path, monkeypatch):
    """Its distribution is installed as before: only the sources are others."""
    (tmp_path / "sources" / "edited").mkdir(parents=True)
    (tmp_path / "sources" / "edited" / "__init__.py").write_text("from edited import table\n")
    table = tmp_path / "sources" / "edited" / "table.py"
    table.write_text("SERIES = 1\n")
    monkeypatch.syspath_prepend(tmp_path / "sources")
    monkeypatch.delitem(sys.modules, "edited", raising=False)
    importlib.import_module("edited")
    found = modules_elsewhere()
    assert table in found
    assert not {Path(json.__file__), Path(pytest.__file__)} & set(found), (
        "an installer's are told by its own marks"
    )
    stamp.write_stamp(tmp_path / "stamp.json", found, {}, [])
    assert stamp.fresh(tmp_path / "stamp.json") == []
    table.write_text("SERIES = 2\n")
    assert stamp.fresh(tmp_path / "stamp.json") is None


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("\nplugins = [", "avabuild.toml:2: not valid TOML: "),
        ('plugin = ["./mine.py"]', 'avabuild.toml:1: plugin: unknown key; did you mean "plugins"?'),
        ('plugins = "./mine.py"', 'avabuild.toml:1: plugins: must be a list: ["./mine.py"]'),
        ('\nplugins = ["./no.py"]', 'avabuild.toml:2: plugins[0]: there is no "./no.py" in'),
    ],
)
def test_what_is_wrong_with_the_projects_file_is_told_by_its_line(project, text, problem):
    with pytest.raises(RecipeError) as caught:
        project({"avabuild.toml": text}, plugins="")
    assert str(caught.value).startswith(problem)


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        ("mine.py", '"mine.py" must be relative to this file, like "./mine.py"'),
        ("/srv/mine.py", '"/srv/mine.py" must be relative to this file, like "./mine.py"'),
        ("./mine", '"./mine" must be a module: one file whose name ends with .py'),
        ("./absent.py", 'there is no "./absent.py" in recipes; paths are relative to the recipe'),
        ("./folder.py", '"./folder.py" is a directory; name a file'),
        (
            "avabuild-absent",
            '"avabuild-absent" is not installed, or has no plugins; did you mean "avabuild"? there are',
        ),
        ("other", '"other" is not installed, or has no plugins; there are avabuild'),
        ("avabuidl", 'is not installed, or has no plugins; did you mean "avabuild"? there are'),
        ("https://x.example/a", '"https://x.example/a" is no plugin; write "./my_plugin.py" or'),
    ],
)
def test_an_entry_that_is_no_plugin_is_refused_at_its_line(project, tmp_path, entry, problem):
    (tmp_path / "recipes" / "folder.py").mkdir(parents=True, exist_ok=True)
    with pytest.raises(RecipeError) as caught:
        project({"recipes/mine.py": MINE}, plugins=f'plugins = ["./mine.py", "{entry}"]')
    assert problem in str(caught.value)
    assert caught.value.problems[0].place == "recipes/demo.toml:2"
    assert caught.value.problems[0].path == "plugins[1]"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("\n\n1 / 0\n", "./mine.py:3: can't be imported: ZeroDivisionError: division by zero"),
        ("def x(:\n", "./mine.py:1: can't be imported: SyntaxError: invalid syntax"),
        ("import os\nimport beside\n", "./mine.py:2: can't be imported: ModuleNotFoundError: No module named"),
        ("raise SystemExit(0)", "./mine.py:1: can't be imported: SystemExit: 0"),
        ("", "./mine.py declares nothing"),
        (MINE.replace("@hookimpl\n", ""), "./mine.py declares nothing"),
        (MINE.replace("avabuild_frameworks", "avabuild_framework"), "./mine.py: breaks the contract: "),
        (MINE.replace("def avabuild_frameworks", "def avabuild_frameworks").replace("yield Framework", "yield dict"),
         "./mine.py: failed to declare its frameworks: TypeError: expected a Framework, got"),
        (MINE.replace('    release = Release(version="3"', '    release = Release(versoin="3"'),
         "./mine.py:10: failed to declare its frameworks: "),
        ("AVABUILD_CONTRACT = 99\n1 / 0", "./mine.py is written for contract 99, and this avabuild"),
    ],
)  # fmt: skip
def test_a_broken_local_plugin_is_blamed_by_file_and_line(project, text, message):
    with pytest.raises(PluginError) as caught:
        project({"recipes/mine.py": text})
    assert message in str(caught.value)


def test_a_callable_that_fails_later_is_blamed_by_line_too(project, plan_of):
    text = MINE.replace(
        'return [Python(requirements=(f"idna{request.requirement}",))]', "return request.nothing"
    )
    with pytest.raises(PluginError) as caught:
        plan_of(project({"recipes/mine.py": text}))
    assert caught.value.place == "recipes/mine.py:5"
    assert "layers failed: AttributeError" in caught.value.message


def test_a_name_that_an_installed_plugin_has_is_an_error_naming_both(project):
    keras = MINE.replace('"mine"', '"keras"')
    with pytest.raises(PluginError) as caught:
        project({"recipes/mine.py": keras})
    assert str(caught.value).startswith('recipes/demo.toml:2: "keras" is provided by ')
    assert "./mine.py sha256:" in str(caught.value)
    assert "avabuild 0." in str(caught.value)
    assert caught.value.hint == "give the local one another name"


def test_two_local_plugins_of_one_name_are_an_error_naming_both(project):
    with pytest.raises(PluginError, match=r'"mine" is provided by \./a\.py sha256:\w+ and \./b\.py sha256:'):
        project({"recipes/a.py": MINE, "recipes/b.py": MINE + "\n"}, plugins='plugins = ["./a.py", "./b.py"]')


def test_a_link_is_followed_and_two_ways_to_one_file_are_one_plugin(project, tmp_path, plan_of):
    (tmp_path / "recipes" / "x").mkdir(parents=True)
    (tmp_path / "recipes" / "link.py").symlink_to("mine.py")
    opened = project({"recipes/mine.py": MINE}, plugins='plugins = ["./link.py"]')
    assert plan_of(opened).frameworks[0].distribution == "./link.py"
    ways = ("./mine.py", "./link.py", "./x/../mine.py")
    for first, *others in (ways, ways[::-1]):
        opened = project({}, plugins=f"plugins = {json.dumps([first, *others])}")
        assert plan_of(opened).frameworks[0].distribution == first
    registry = Registry(()).with_local([read_local(way, tmp_path / "recipes" / way) for way in ways])
    assert registry.provider("mine").distribution == "./mine.py"


def test_what_stands_on_a_recipe_has_its_local_plugins_spelt_from_itself(project, tmp_path, plan_of):
    inner = 'name = "inner"\nplugins = ["./own.py"]\n[frameworks]\nmine = "*"\n'
    outer = 'name = "demo"\nbase = { recipe = "../inner/i.toml" }\n'
    opened = project({"inner/i.toml": inner, "inner/own.py": MINE, "recipes/demo.toml": outer})
    assert opened.recipe.plugins == ("../inner/own.py",)
    assert plan_of(opened).frameworks[0].distribution == "../inner/own.py"


def test_two_recipes_of_one_run_may_have_different_plugins_of_one_name(project, tmp_path, plan_of):
    registry = Registry(installed())
    first = project({"recipes/mine.py": MINE})
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "b.toml").write_text(RECIPE.format(plugins='plugins = ["./mine.py"]'))
    (tmp_path / "b" / "mine.py").write_text(MINE.replace("idna", "rich"))
    (second,) = open_projects(Path("b/b.toml"), registry)
    wheels = [plan_of(one).python.layer.requirements for one in (first, second)]
    assert wheels == [("idna==3.*", "pip"), ("pip", "rich==3.*")]
    assert "mine" not in registry.names


def test_a_site_that_lists_its_plugins_allows_no_others(project, tmp_path):
    with pytest.raises(PluginError) as caught:
        project({"recipes/mine.py": "1 / 0"}, trust=Trust(("avabuild-jax",), "AVABUILD_PLUGINS"))
    assert str(caught.value) == (
        "recipes/demo.toml:2: AVABUILD_PLUGINS allows no local plugin ./mine.py\n"
        f"  whoever runs this host may add {tmp_path}/recipes/mine.py, or *.py, to AVABUILD_PLUGINS"
    )
    project({"recipes/mine.py": MINE}, trust=Trust(("*.py",), "AVABUILD_PLUGINS"))


def test_a_site_allows_a_file_and_not_whatever_a_recipe_spells_alike(project, tmp_path, plan_of):
    with pytest.raises(PluginError, match=r"allows no local plugin \./mine\.py"):
        project({"recipes/mine.py": "1 / 0"}, trust=Trust(("./mine.py",), "AVABUILD_PLUGINS"))
    trust = Trust((f"{tmp_path}/recipes/mine.py",), "AVABUILD_PLUGINS")
    project({"recipes/mine.py": MINE}, trust=trust)
    (tmp_path / "recipes" / "link.py").symlink_to("mine.py")
    project({}, plugins='plugins = ["./link.py"]', trust=trust)
    outer = 'name = "demo"\nbase = { recipe = "../recipes/demo.toml" }\n'
    (tmp_path / "outer").mkdir()
    (tmp_path / "outer" / "o.toml").write_text(outer)
    (opened,) = open_projects(Path("outer/o.toml"), Registry(installed(), trust))
    assert plan_of(opened).frameworks[0].distribution == "../recipes/link.py"


def test_a_text_with_a_byte_order_mark_and_none_of_our_futures(project, tmp_path):
    lazy = "assert avabuild_frameworks.__annotations__ == {'return': int}\n"
    text = MINE.replace("def avabuild_frameworks():", "def avabuild_frameworks() -> int:") + lazy
    project({"recipes/mine.py": "\ufeff" + text})


def test_no_order_of_local_plugins_reaches_a_plan(project, plan_of):
    other = MINE.replace('"mine"', '"other"').replace("idna", "rich")
    files = {"recipes/mine.py": MINE, "recipes/other.py": other}
    plans = [
        plan_of(project(files, plugins=f"plugins = [{order}]"))
        for order in ('"./mine.py", "./other.py"', '"./other.py", "./mine.py"')
    ]
    assert plans[0] == plans[1]


def test_a_plugin_is_run_once_for_all_that_ask(tmp_path, monkeypatch):
    path = tmp_path / "counted.py"
    path.write_text(
        f"import builtins\nbuiltins.avabuild_runs = getattr(builtins, 'avabuild_runs', 0) + 1\n{MINE}"
    )
    registry = Registry([Provider("x", "x", "x", "1")])
    for _ in range(3):
        registry.with_local([read_local("./counted.py", path)])
    import builtins

    assert builtins.avabuild_runs == 1
    del builtins.avabuild_runs
