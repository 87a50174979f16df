"""Bases that plugins offer, as keys of a recipe's base table."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest
from pydantic import Field, field_validator

from avabuild.api import BaseOptions, OfferedBase, hookimpl
from avabuild.common.errors import PluginError, RecipeError
from avabuild.layer.facts import assumed_image
from avabuild.plan.labels import labels
from avabuild.plan.plan import Plan
from avabuild.plan.planning import make_plan
from avabuild.plan.project import open_projects
from avabuild.plan.targets import targets
from avabuild.plugins.provider import Provider, installed
from avabuild.plugins.registry import Registry
from avabuild.recipe import ImageBase, Recipe
from avabuild.resolve.lock import TargetLock


class Ubuntu(BaseOptions):
    ubuntu: Literal["20.04", "22.04"] = Field(description="The release")
    minimal: bool = False


class Odd(BaseOptions):
    odd: str

    @field_validator("odd")
    @classmethod
    def _fail(cls, text):
        raise KeyError(text)


def image(options: Ubuntu) -> dict[str, str]:
    return {"image": f"registry.example/ubuntu{'-minimal' * options.minimal}:{options.ubuntu}"}


UBUNTU = OfferedBase(name="ubuntu", summary="Ubuntu", options=Ubuntu, resolve=image)


@pytest.fixture
def opened(tmp_path, monkeypatch) -> Callable[..., tuple[Recipe, ...]]:
    """Read a recipe with a plugin that offers a base; return it once for each base that it comes to."""
    monkeypatch.chdir(tmp_path)

    def read(text: str, offered: OfferedBase = UBUNTU, *more: Provider) -> tuple:
        module = types.ModuleType("fake_base")
        module.avabuild_bases = hookimpl(lambda: [offered])
        monkeypatch.setitem(sys.modules, "fake_base", module)
        provider = Provider(offered.name, "fake_base", "avabuild-ubuntu", "1.0", "base")
        Path("demo.toml").write_text(f'name = "demo"\n{text}\n')
        return open_projects(Path("demo.toml"), Registry([*installed(), provider, *more]))

    return read


@pytest.fixture
def plan(opened, host) -> Plan:
    (project,) = opened('base = { ubuntu = "22.04", minimal = true }')
    facts = assumed_image("ubuntu:22.04")
    return make_plan(project, targets(project.recipe, facts, host)[0], facts)


def problems(opened, text: str, *rest) -> list[str]:
    with pytest.raises(RecipeError) as caught:
        opened(text, *rest)
    return [str(problem) for problem in caught.value.problems]


def test_a_base_table_may_have_a_key_that_a_plugin_offers(opened):
    (project,) = opened('base = { ubuntu = "22.04", minimal = true }')
    base = project.recipe.one_base
    assert base.model_dump() == {"image": "registry.example/ubuntu-minimal:22.04"}
    assert str(base.offer) == "ubuntu 22.04, minimal True"


def test_the_plan_the_lock_and_the_image_say_who_offered_it(plan):
    assert isinstance(plan.base, ImageBase)
    assert plan.model_dump(mode="json")["base_offer"]["distribution"] == "avabuild-ubuntu"
    (entry,) = plan.plugins
    assert (entry.base, entry.name, entry.version) == ("ubuntu", "avabuild-ubuntu", "1.0")
    assert dict(labels(plan, {}, TargetLock(target="py311-cpu", request="", base="")))[
        "org.avabuild.base"
    ] == ('{"ubuntu 22.04, minimal True":"avabuild-ubuntu 1.0"}')


def test_one_of_several_bases_may_be_offered(opened):
    text = '[matrix]\npython = ["3.10", "3.11"]\n[[base]]\npython = "3.10"\nubuntu = "22.04"\n[[base]]\ndebian = "bookworm"'
    jammy, bookworm = opened(text)
    assert (str(jammy.recipe.one_base.offer), jammy.points[0].python) == ("ubuntu 22.04", "3.10")
    assert bookworm.recipe.one_base.offer is None


def test_the_plugin_is_imported_only_when_a_recipe_names_its_base(opened, monkeypatch):
    broken = Provider("other", "no_such_module", "avabuild-other", "1.0", "base")
    (project,) = opened('base = { debian = "bookworm" }', UBUNTU, broken)
    assert project.recipe.one_base.offer is None
    with pytest.raises(PluginError, match=r"other \(avabuild-other 1.0\) can't be imported"):
        opened("base = { other = 1 }", UBUNTU, broken)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('base = { ubuntu = "22.4" }',
         ['demo.toml:2: base.ubuntu: must be "20.04" or "22.04", not the text "22.4"; did you mean "22.04"?']),
        ('base = { ubuntu = "22.04", minimla = true }',
         ['demo.toml:2: base.minimla: unknown key; did you mean "minimal"?']),
        ('base = { ubuntu = "22.04", debian = "bookworm" }',
         ["demo.toml:2: base: debian and ubuntu exclude each other; keep one"]),
        ('[[base]]\npython = "3.1x"\nubuntu = 3\n[[base]]\nubuntu = "1"',
         ['demo.toml:3: base[0].python: "3.1x" is no MAJOR.MINOR version of Python',
          'demo.toml:4: base[0].ubuntu: must be "20.04" or "22.04", not the number 3',
          'demo.toml:6: base[1].ubuntu: must be "20.04" or "22.04", not the text "1"']),
        ('[matrix]\npython = ["3.10", "3.11"]\n[[base]]\npython = "3.10"\nubuntu = 3\n[[base]]\ndebian = "sid"',
         ['demo.toml:6: base[0].ubuntu: must be "20.04" or "22.04", not the number 3',
          'demo.toml:8: base[1].debian: "sid" is none of']),
        ('base = { ubunut = "22.04" }', ['demo.toml:2: base: "ubunut" is no key of a base']),
    ],
)  # fmt: skip
def test_what_is_wrong_with_the_table_is_told_by_line(opened, text, expected):
    told = problems(opened, text)
    assert len(told) == len(expected)
    assert all(one.startswith(begin) for one, begin in zip(told, expected, strict=True))


def test_other_problems_of_the_recipe_are_told_too(opened):
    assert len(problems(opened, 'base = { ubuntu = 3 }\n[imag]\n[frameworks]\nkears = "*"')) == 3


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"resolve": lambda options: None}, "resolve failed: TypeError: expected a table, got None"),
        ({"resolve": lambda options: {"image": 3}}, "expected a table of texts, got {'image': 3}"),
        (
            {"resolve": lambda options: {}},
            "ubuntu (avabuild-ubuntu 1.0) resolves to no base: says nothing to build on",
        ),
        ({"resolve": lambda options: {"recipe": "x.toml"}}, "resolves to no base: it may not be a recipe"),
        (
            {"resolve": lambda options: {"debian": "sid"}},
            'resolves to no base: Value error, "sid" is none of',
        ),
        ({"resolve": lambda options: 1 / 0}, "resolve failed: ZeroDivisionError"),
        ({"resolve": "ubuntu"}, "resolve must be callable"),
        ({"options": dict}, "options must be a subclass of BaseOptions"),
        ({"options": Odd}, "Odd must have a field ubuntu"),
        ({"name": "other"}, 'declares other, not "ubuntu"'),
    ],
)
def test_an_offer_that_is_none_is_blamed_on_its_plugin(opened, changed, message, monkeypatch):
    offered = replace(UBUNTU, **changed)
    if "name" in changed:
        offered = replace(offered, options=type("Other", (BaseOptions,), {"__annotations__": {"other": str}}))
    with pytest.raises(PluginError) as caught:
        opened('base = { ubuntu = "22.04" }', *_named(offered))
    assert message in str(caught.value)


def _named(offered: OfferedBase) -> tuple:
    """The offer behind an entry point `ubuntu`, whatever its own name is."""
    if offered.name == "ubuntu":
        return (offered,)
    return (offered, Provider("ubuntu", "fake_base", "avabuild-ubuntu", "1.0", "base"))


def named(name: str) -> OfferedBase:
    options = type("Options", (BaseOptions,), {"__annotations__": {name: str}})
    return OfferedBase(name=name, summary="", options=options, resolve=image)


@pytest.mark.parametrize("name", ["Ubuntu", "my-base"])
def test_a_name_that_can_be_no_key_is_refused(opened, name):
    with pytest.raises(PluginError, match="can be no key of its own in a base table"):
        opened(f'base = {{ {name} = "x" }}', named(name))


def test_nobody_can_take_a_word_that_base_tables_have(opened):
    (project,) = opened('base = { debian = "bookworm" }', named("debian"))
    assert project.recipe.one_base.model_dump(mode="json") == {"debian": "bookworm"}
    assert project.recipe.one_base.offer is None


def test_a_validator_that_raises_anything_is_blamed(opened):
    odd = OfferedBase(name="odd", summary="", options=Odd, resolve=image)
    with pytest.raises(PluginError, match="the options of odd can't be read: KeyError"):
        opened('base = { odd = "x" }', odd)


def test_two_distributions_that_offer_one_base_are_an_error_naming_both(opened):
    other = Provider("ubuntu", "x", "other-ubuntu", "2.0", "base")
    with pytest.raises(
        PluginError, match=r'"ubuntu" is provided by avabuild-ubuntu 1.0 and other-ubuntu 2.0'
    ):
        opened('base = { ubuntu = "22.04" }', UBUNTU, other)
