"""What the kit says of plugins that break a rule: which, where, and what to change."""

from __future__ import annotations

import gc
import os
import sys
import sysconfig
from pathlib import Path
from typing import Any

import pytest

import avabuild
from avabuild.authoring.conformance.check import held, judged
from avabuild.authoring.conformance.guard import ImpureError, Watch, guarded
from avabuild.authoring.conformance.image import written
from avabuild.authoring.conformance.subject import opened
from avabuild.common.errors import PluginError
from avabuild.layer.facts import assumed
from avabuild.plan.planning import make_plan
from avabuild.plan.project import open_projects
from avabuild.plan.targets import targets
from avabuild.plugins.provider import installed
from avabuild.plugins.registry import Registry

SOUND = """
from pydantic import Field
from avabuild.api import Env, Framework, Impossible, Options, Python, Release, Request, hookimpl

COUNT = []
class Own(Options):
    lab: bool = Field(default=False, description="a lab")

RELEASES = (Release(version="2.0", pythons=("3.11", "3.12")), Release(version="1.0", pythons=("3.11",)))

def layers(request):
    return [Python(requirements=("demo" + request.requirement,))]

def check(request):
    return "import demo; print(demo.__version__)"

def requires(options):
    return ()

@hookimpl
def avabuild_frameworks():
    return [Framework(name="demo", summary="a demo", releases=RELEASES, layers=layers, check=check, options=Own,
                      requires=requires, source="made up", checked="2026-11-24")]
"""


@pytest.fixture
def findings(tmp_path):
    """Return a function that replaces parts of a sound plugin and returns what the kit finds in it."""

    def find(*changes: tuple[str, str], hold=judged):
        text = SOUND
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        path = tmp_path / "demo_plugin.py"
        path.write_text(text)
        with opened(str(path)) as subject:
            return [finding for verdict in hold(subject) for finding in verdict.findings]

    return find


def test_a_sound_plugin_has_no_findings(findings):
    assert findings(hold=held) == []


BODY = "    return [Python(requirements=("
BROKEN = {
    "no summary": (("declared", "is no summary", "one line"), ('summary="a demo"', 'summary=""')),
    "no source": (("declared", "where its table comes from", "source="), ('source="made up"', 'source=""')),
    "no date": (("declared", '"today" is no date', "checked="), ("2026-11-24", "today")),
    "an option in the dark": (("options", "no description", "Field("), (', description="a lab"', "")),
    "an option without default": (("options", "no default", "default"), ("default=False, ", "")),
    "a wrong default": (("options", "is refused", "valid"), ("default=False", 'default="many"')),
    "options that take anything": (
        ("options", "nobody reads", "model_config"),
        ("class Own(Options):", "class Own(Options, extra='allow'):"),
    ),
    "no Python": (("releases", '"three" is no Python', "MAJOR.MINOR"), ('("3.11",)', '("three",)')),
    "a Python twice": (("releases", "names 3.11 twice", "once"), ('("3.11", "3.12")', '("3.11", "3.11")')),
    "the clock": (("pure", "reads the clock (time.time)", "request alone"), (BODY, f"    import time; time.time()\n{BODY}")),
    "the date": (
        ("pure", "reads the clock (date.today)", "request alone"),
        (BODY, f"    from datetime import date; date.today()\n{BODY}"),
    ),
    "a file": (("pure", "opens a file (/etc/hostname)", "request alone"), (BODY, f"    open('/etc/hostname')\n{BODY}")),
    "the environment": (("pure", "reads the environment", "request alone"), (BODY, f"    import os; os.environ.get('X')\n{BODY}")),
    "the host": (("pure", "asks this host (os.stat)", "request alone"), (BODY, f"    import os; os.path.exists('/x')\n{BODY}")),
    "the network": (
        ("pure", "uses the network", "request alone"),
        (BODY, f"    import socket; socket.create_connection(('127.0.0.1', 9))\n{BODY}"),
    ),
    "a program": (
        ("pure", "starts a program", "request alone"),
        (BODY, f"    import subprocess; subprocess.run(['true'])\n{BODY}"),
    ),
    "chance": (("pure", "takes random numbers", "request alone"), (BODY, f"    import random; random.random()\n{BODY}")),
    "a formatted clock": (("pure", "reads the clock (time.strftime)", "request alone"), (BODY, f"    import time; time.strftime('%Y')\n{BODY}")),
    "the clock in words": (("pure", "reads the clock (time.ctime)", "request alone"), (BODY, f"    import time; time.ctime()\n{BODY}")),
    "the clock of this process": (
        ("pure", "reads the clock (time.process_time)", "request alone"),
        (BODY, f"    import time; time.process_time()\n{BODY}"),
    ),
    "chance of its own": (
        ("pure", "takes random numbers (random.Random without a seed)", "request alone"),
        (BODY, f"    import random; random.Random().random()\n{BODY}"),
    ),
    "a state": (
        ("pure", "two ways", "state"),
        ('"demo" + request.requirement,', '"demo" + request.requirement, *(COUNT.append(1) or [f"x=={len(COUNT)}"])'),
    ),
    "a set": (
        ("order", "two processes give two answers", "sort"),
        (BODY, f'    return [Env(variables=tuple((n, "1") for n in set("abcdefgh")))]\n{BODY}'),
    ),
    "a target that it can't answer for": (
        ("targets", "KeyError: '3.12'", "correct the KeyError at the line that is named, or take out"),
        (BODY, f'    {{"3.11": 1}}[request.target.python]\n{BODY}'),
    ),
    "an impure answer to a target": (
        ("targets", "ImpureError: it opens a file (/etc/hostname)", "answer from the request alone"),
        (BODY, f"    open('/etc/hostname')\n{BODY}"),
    ),
    "an impure answer to what no row has": (
        ("refuses", "opens a file", "answer from the request alone"),
        ("    return ()", "    open('/etc/hostname')"),
    ),
    "a circle": (
        ("targets", "frameworks require each other", "take one of them out of `requires`"),
        ("    return ()", '    return ("demo",)'),
    ),
    "a layer that is not in a list": (
        ("targets", "expected a list of layers, got one layer; return [Python(...)]", "correct the TypeError"),
        ('    return [Python(requirements=("demo" + request.requirement,))]', '    return Python(requirements=("demo",))'),
    ),
    "a misspelt distribution": (
        ("releases", '"bokworm" is not the code name of a distribution that avabuild knows; did you mean "bookworm"?', "correct it"),
        ('pythons=("3.11",)', 'pythons=("3.11",), distributions=("bokworm",)'),
    ),
    "a framework that is not there": (
        ("targets", 'no plugin provides "absent"', "dependencies in pyproject.toml"),
        ("    return ()", '    return ("absent",)'),
    ),
    "a Python that what it requires hasn't": (
        ("targets", "it claims 2.0 on Python 3.99", "out of the row"),
        ("    return ()", '    return ("jupyterlab",)'),
        ('("3.11", "3.12")', '("3.11", "3.99")'),
    ),
    "a check that is none": (("check", "is no program", "oldest Python"), ("print(demo.__version__)", "print(")),
    "a check that is too new": (
        ("check", "is no program for Python 3.8", "oldest Python"),
        ("import demo; print(demo.__version__)", "match 1:\\n  case _: print()"),
        ('("3.11",)', '("3.8",)'),
    ),
    "a silent check": (("check", "prints nothing", "print(name, version)"), ("print(demo.__version__)", "pass")),
    "a release for everything": (
        ("refuses", "which no row has", "leave `fits` as it is"),
        ("RELEASES =", "class Any(Release):\n    def fits(self, target): return True\nRELEASES ="),
        ('Release(version="2.0"', 'Any(version="2.0"'),
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BROKEN)
def test_what_is_broken_is_found_by_its_rule_with_what_to_change(findings, case):
    (rule, what, fix), *changes = BROKEN[case]
    found = findings(*changes, hold=held if rule == "order" else judged)
    matching = [one for one in found if one.rule == rule and what in str(one) and fix in one.fix]
    assert matching, [f"{one.rule}: {one} -> {one.fix}" for one in found]


def test_what_is_impure_is_found_at_the_plugins_own_line(findings, tmp_path):
    found = findings((BODY, f"    open('/etc/hostname')\n{BODY}"))
    line = SOUND[: SOUND.index(BODY)].count("\n") + 1
    assert str(found[0]).startswith(f"{tmp_path}/demo_plugin.py:{line}: ")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("    return [Framework(", "    [Framework(", "avabuild_frameworks returned None; return a list"),
        ("    return [Framework(", "    return (Framework(", "expected a list of frameworks, got Framework("),
    ],
)
def test_a_hook_that_returns_no_list_is_told_so_and_not_that_it_is_not_marked(findings, old, new, message):
    closing = (
        ('checked="2026-11-24")]', 'checked="2026-11-24"))') if "(Framework" in new else ("=Own", "=Own")
    )
    with pytest.raises(PluginError) as caught:
        findings((old, new), closing)
    assert message in str(caught.value)
    assert "@hookimpl" not in str(caught.value)


def test_random_numbers_from_a_seed_are_the_same_every_time(findings):
    assert findings((BODY, f"    import random; random.Random(1).random(); random.Random('x')\n{BODY}")) == []


@pytest.mark.parametrize(
    "place",
    [
        Path(avabuild.__file__).parent.with_name("avabuild_jax") / "__init__.py",
        Path(sysconfig.get_path("stdlib")) / "site-packages" / "plugin.py",
        Path(sysconfig.get_path("stdlib")) / "dist-packages" / "plugin.py",
        Path(sysconfig.get_path("purelib")) / "plugin.py",
        Path("/srv/plugin.py"),
    ],
)
def test_what_is_installed_beside_avabuild_or_in_the_library_is_blamed_itself(place):
    """A prefix alone took `avabuild_jax` for `avabuild`, and `site-packages` for Python's library."""
    names: dict[str, Any] = {}
    exec(compile("import os\ndef ask():\n    os.getcwd()", str(place), "exec"), names)
    watch = Watch()
    with guarded(watch), pytest.raises(ImpureError):
        names["ask"]()
    assert list(watch.touched) == [("asks this host (os.getcwd)", f"{place}:3")]


def test_a_guard_leaves_everything_as_it_was_when_it_fails(monkeypatch):
    watch = Watch()
    monkeypatch.setattr(Watch, "profiled", property(lambda self: 1 / 0))
    with pytest.raises(ZeroDivisionError), guarded(watch):
        pass
    assert gc.isenabled()
    with open(os.devnull):  # noqa: PTH123 - refused where a watch is left in force
        assert watch.touched == {}


def test_a_file_with_a_framework_and_a_policy_that_refuses_keeps_the_contract(tmp_path):
    """The policy is in force for recipes that name the file; the kit asks each by rules of its own."""
    text = SOUND.replace("hookimpl\n", "Policy, Refuse, hookimpl\n", 1)
    text += (
        "\n@hookimpl\ndef avabuild_policies():\n"
        '    return [Policy(name="no", summary="no", amend=lambda draft: [Refuse(reason="never")])]\n'
    )
    (tmp_path / "both.py").write_text(text)
    with opened(str(tmp_path / "both.py")) as subject:
        verdicts = {verdict.name: verdict.findings for verdict in held(subject)}
    assert verdicts == {"demo": (), "no": ()}


def test_a_local_plugins_recipe_is_one_that_can_be_planned(tmp_path, host, monkeypatch):
    """Recipes take no absolute path."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "real" / "built").mkdir(parents=True)
    (tmp_path / "link").symlink_to("real/built")
    (tmp_path / "demo_plugin.py").write_text(SOUND)
    for text in ("demo_plugin.py", str(tmp_path / "demo_plugin.py")):
        with opened(text) as subject:
            path = written(subject, "demo", tmp_path / "link")
        (project,) = open_projects(path, Registry(installed()))
        facts = assumed("bookworm")
        plan = make_plan(project, targets(project.recipe, facts, host)[0], facts)
        assert [one.distribution for one in plan.frameworks] == ["../../demo_plugin.py"]


def test_leaving_a_distributions_directory_leaves_the_path_as_it_was(tmp_path, monkeypatch):
    (tmp_path / "pyproject.toml").write_text(
        '[project]\nname = "x"\nversion = "1"\n[project.entry-points.avabuild]\nx = "x_plugin"\n'
    )
    (tmp_path / "x_plugin.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    before = list(sys.path)
    with opened(str(tmp_path)):
        assert len(sys.path) > len(before)
    assert sys.path == before


def test_an_option_that_can_t_be_had_may_say_so(findings):
    assert (
        findings(
            (BODY, f'    if request.options.lab: raise Impossible("there is no lab", "leave it out")\n{BODY}')
        )
        == []
    )


def test_importing_within_layers_is_no_impurity(findings):
    assert findings((BODY, f"    import wave, colorsys\n{BODY}")) == []


def test_a_plugin_that_can_t_be_imported_is_an_error_with_its_line(findings):
    with pytest.raises(PluginError, match=r"demo_plugin.py:2: can't be imported: ModuleNotFoundError"):
        findings(("from pydantic import Field", "import nothing_like_it"))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("kerass", 'did you mean "?keras'),
        ("no/such/place", "there is no pyproject.toml"),
        ("none.py", "can't be read"),
    ],
)
def test_what_is_not_there_is_told(name, words):
    with pytest.raises(PluginError, match=words), opened(name):
        pass


def test_a_directory_without_entry_points_is_told_which_to_add(tmp_path):
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "x"\nversion = "1"\n')
    with pytest.raises(PluginError, match=r"add \[project.entry-points.avabuild\] or"), opened(str(tmp_path)):
        pass


def test_an_entry_point_without_a_module_is_told(tmp_path):
    (tmp_path / "pyproject.toml").write_text(
        '[project]\nname = "x"\nversion = "1"\n[project.entry-points.avabuild]\nx = "no_such_x"\n'
    )
    with pytest.raises(PluginError, match="there is no module no_such_x"), opened(str(tmp_path)):
        pass
