from __future__ import annotations

import itertools
import subprocess
import sys
import types
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from avabuild.api import Apt, Compile, Framework, Impossible, Options, Python, Release, Request, hookimpl
from avabuild.common.errors import PluginError, TargetError
from avabuild.plugins.registry import (
    Provider,
    Registry,
    check_of,
    installed,
    layers_of,
    load,
    ordered,
    requires_of,
)
from avabuild.plugins.target import Device, Target

TARGET = Target(distribution="bookworm", arch="x86_64", python="3.11", device=Device(), glibc="2.36")
RELEASE = Release(version="1.0", pythons=("3.11",))


def a_framework(name: str, /, **changes: Any) -> Framework:
    made = Framework(
        name=name,
        summary=f"about {name}",
        releases=(RELEASE,),
        layers=lambda request: [Python(requirements=(name + request.requirement,))],
        check=lambda request: f"import {name}",
    )
    return replace(made, **changes)


def a_request() -> Request:
    return Request(target=TARGET, options=Options(), release=RELEASE)


Plug = Callable[..., Provider]


@pytest.fixture
def plug(monkeypatch) -> Plug:
    """Make an importable plugin that declares `frameworks`, or whatever its `hook` returns."""

    def make(name: str, *frameworks: Framework, hook: Any = None, distribution: str = "") -> Provider:
        module = types.ModuleType(f"fake_{name}")
        module.avabuild_frameworks = hookimpl(hook or (lambda: list(frameworks)))
        monkeypatch.setitem(sys.modules, module.__name__, module)
        return Provider(name, module.__name__, distribution or f"avabuild-{name}", "1.0")

    return make


def distribution(root: Path, name: str, version: str, entry: str) -> None:
    info = root / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    (info / "entry_points.txt").write_text(f"[avabuild]\n{entry}\n")


# What is installed


def test_the_built_in_plugins_come_in_by_the_group_that_anybody_uses():
    mine = {p.name: p.module for p in installed() if p.distribution == "avabuild"}
    assert (
        mine.items()
        >= {
            "jupyterlab": "avabuild_plugins.jupyterlab",
            "keras": "avabuild_plugins.keras",
            "pytorch": "avabuild_plugins.pytorch",
            "tensorflow": "avabuild_plugins.tensorflow",
        }.items()
    )


def test_listing_what_is_installed_imports_no_plugin():
    program = (
        "import sys; from avabuild.plugins.registry import Registry, installed; names = Registry(installed()).names;"
        "assert 'keras' in names, names;"
        "print([m for m in sys.modules if m.startswith('avabuild_plugins')])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_two_distributions_of_one_name_are_listed_and_an_error_only_when_it_is_used(tmp_path, monkeypatch):
    distribution(tmp_path, "one-lightgbm", "1.5", "lightgbm = one_lightgbm")
    distribution(tmp_path, "other-lightgbm", "2.0", "lightgbm = other_lightgbm")
    monkeypatch.syspath_prepend(tmp_path)
    registry = load(["tensorflow"])
    assert [p.distribution for p in registry.providers if p.name == "lightgbm"] == [
        "one-lightgbm",
        "other-lightgbm",
    ]
    with pytest.raises(
        PluginError, match=r'"lightgbm" is provided by one-lightgbm 1\.5 and other-lightgbm 2\.0'
    ):
        registry.framework("lightgbm")


def test_one_distribution_found_twice_on_the_path_is_no_clash(tmp_path, monkeypatch):
    for place in ("a", "b"):
        (tmp_path / place).mkdir()
        distribution(tmp_path / place, "one-lightgbm", "1.5", "lightgbm = one_lightgbm")
        monkeypatch.syspath_prepend(tmp_path / place)
    assert [p for p in installed() if p.name == "lightgbm"] == [
        Provider("lightgbm", "one_lightgbm", "one-lightgbm", "1.5")
    ]


def test_a_name_that_nobody_provides_is_answered_with_what_is_installed(plug):
    with pytest.raises(PluginError, match='no plugin provides "c"; installed: a, b'):
        load(["c"], [plug("b"), plug("a")])
    with pytest.raises(PluginError, match="installed: none"):
        load(["c"], [])


# Loading


def test_loading_imports_only_the_plugins_that_are_named(plug):
    asked = []
    a = plug("a", hook=lambda: asked.append("a") or [a_framework("a")])
    b = plug("b", hook=lambda: asked.append("b") or [a_framework("b")])
    registry = load(["a", "a"], [a, b])
    assert asked == ["a"]
    assert registry.framework("b").name == "b"
    assert registry.framework("b") is registry.framework("b")
    assert asked == ["a", "b"]


def test_a_module_behind_two_entry_points_is_asked_once(plug):
    asked = []
    a = plug("a", hook=lambda: asked.append("a") or [a_framework("a"), a_framework("b")])
    registry = load(["a", "b"], [a, replace(a, name="b")])
    assert (registry.framework("a").name, registry.framework("b").name) == ("a", "b")
    assert asked == ["a"]


def test_an_entry_point_may_name_an_object_in_a_module(plug, monkeypatch):
    provider = plug("a", a_framework("a"))
    holder = types.ModuleType("fake_holder")
    holder.plugin = sys.modules[provider.module]
    monkeypatch.setitem(sys.modules, "fake_holder", holder)
    assert load(["a"], [replace(provider, module="fake_holder:plugin")]).framework("a").name == "a"


def test_options_are_the_classes_of_the_frameworks_named(plug):
    class Mine(Options):
        size: int = 1

    registry = Registry([plug("a", a_framework("a", options=Mine)), plug("b", a_framework("b"))])
    assert registry.options(["b", "a"]) == {"b": Options, "a": Mine}


def test_no_order_of_registration_reaches_the_frameworks_or_their_layers(plug):
    needs = {"a": ("c",), "b": (), "c": ("d",), "d": ()}
    providers = [plug(n, a_framework(n, requires=lambda options, n=n: needs[n])) for n in needs]
    seen = set()
    for order in itertools.permutations(providers):
        registry = load([p.name for p in order], order)
        chosen = [registry.framework(p.name) for p in order]
        picked = ordered(chosen, needs)
        seen.add(tuple((f.name, layers_of(f, a_request())) for f in picked))
    assert [name for name, _ in seen.pop()] == ["b", "d", "c", "a"]
    assert not seen


# Broken plugins


def a_misspelt_plugin() -> types.ModuleType:
    module = types.ModuleType("fake_broken")
    module.avabuild_framework = hookimpl(lambda: [a_framework("broken")])
    return module


def an_unmarked_plugin() -> types.ModuleType:
    module = types.ModuleType("fake_broken")
    module.avabuild_frameworks = lambda: [a_framework("broken")]
    return module


def a_plugin_with_an_argument_too_many() -> types.ModuleType:
    def avabuild_frameworks(recipe):
        return []

    module = types.ModuleType("fake_broken")
    module.avabuild_frameworks = hookimpl(avabuild_frameworks)
    return module


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (a_misspelt_plugin, "breaks the contract: .*unknown hook 'avabuild_framework'"),
        (an_unmarked_plugin, 'declares no framework, not "broken"'),
        (a_plugin_with_an_argument_too_many, "breaks the contract: .*recipe"),
    ],
)
def test_a_plugin_whose_hook_is_not_the_contracts_is_blamed(make, message, monkeypatch):
    monkeypatch.setitem(sys.modules, "fake_broken", make())
    provider = Provider("broken", "fake_broken", "avabuild-broken", "0.7")
    with pytest.raises(PluginError, match=f"(?s)^broken \\(avabuild-broken 0.7\\) {message}"):
        load(["broken"], [provider])


@pytest.mark.parametrize(
    ("text", "cause", "message"),
    [
        ("import no_such_module_anywhere", ModuleNotFoundError, "No module named 'no_such_module_anywhere'"),
        ("1 / 0", ZeroDivisionError, "division by zero"),
        ("def", SyntaxError, "invalid syntax"),
        ("raise SystemExit(3)", SystemExit, "3"),
    ],
)
def test_a_plugin_that_can_not_be_imported_is_blamed_with_its_cause(
    text, cause, message, tmp_path, monkeypatch
):
    (tmp_path / "fake_unimportable.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "fake_unimportable", raising=False)
    provider = Provider("broken", "fake_unimportable", "avabuild-broken", "0.7")
    with pytest.raises(PluginError, match=message) as caught:
        load(["broken"], [provider])
    assert caught.value.message.startswith("broken (avabuild-broken 0.7) can't be imported: ")
    assert caught.value.hint == "reinstall or remove avabuild-broken"
    assert type(caught.value.__cause__) is cause


def a_late_failure() -> Iterator[Framework]:
    yield a_framework("broken")
    raise RuntimeError("after the first")


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (7, "expected a list of frameworks, got 7"),
        ("broken", "expected a Framework, got 'b'"),
        ([Framework], "expected a Framework, got <class"),
        ([{"name": "broken"}], "expected a Framework, got {'name': 'broken'}"),
        ([a_framework("broken", name=None)], "name must be a str, not None"),
        ([a_framework("broken", releases=[RELEASE])], "releases must be a tuple"),
        ([a_framework("broken", releases=())], "releases must be one Release or more"),
        ([a_framework("broken", releases=("1.0",))], "releases must be one Release or more"),
        ([a_framework("broken", layers=())], "layers must be callable"),
        ([a_framework("broken", check="import x")], "check must be callable"),
        ([a_framework("broken", requires=("a",))], "requires must be callable"),
        ([a_framework("broken", options=Options())], "options must be a subclass of Options"),
        ([a_framework("broken", options=dict)], "options must be a subclass of Options"),
        ([a_framework("broken"), a_framework("broken")], "one name is declared twice"),
    ],
)
def test_a_plugin_that_declares_junk_is_blamed(plug, answer, message):
    provider = plug("broken", hook=lambda: answer)
    with pytest.raises(PluginError) as caught:
        load(["broken"], [provider])
    assert caught.value.message.startswith("broken (avabuild-broken 1.0) failed to declare its frameworks: ")
    assert message in caught.value.message


@pytest.mark.parametrize("versions", [("1.9", "1.10"), ("1.0", "1.0"), ("newest",)])
def test_a_table_that_is_not_newest_first_is_blamed(plug, versions):
    releases = tuple(Release(version=v, pythons=("3.11",)) for v in versions)
    with pytest.raises(PluginError, match=r"newest first|Invalid version"):
        load(["broken"], [plug("broken", a_framework("broken", releases=releases))])


def test_a_generator_that_fails_late_is_blamed(plug):
    with pytest.raises(PluginError, match="RuntimeError: after the first"):
        load(["broken"], [plug("broken", hook=a_late_failure)])


def test_a_plugin_that_declares_another_name_is_blamed(plug):
    with pytest.raises(PluginError, match=r'a \(avabuild-a 1.0\) declares b, c, not "a"'):
        load(["a"], [plug("a", a_framework("c"), a_framework("b"))])


def test_a_broken_plugin_is_fatal_only_to_those_who_name_it(plug):
    broken = Provider("broken", "fake_that_is_not_there", "avabuild-broken", "0.7")
    registry = load(["a"], [broken, plug("a", a_framework("a")), plug("b", hook=lambda: 1 / 0)])
    assert registry.names == ("a", "b", "broken")
    for name in ("broken", "b"):
        with pytest.raises(PluginError, match=f"^{name} "):
            registry.framework(name)
    assert registry.framework("a").name == "a"


# Asking a framework


def test_layers_of_takes_any_iterable_of_layers():
    made = a_framework("a", layers=lambda request: iter([Apt(packages=("git",))]))
    assert layers_of(made, a_request()) == (Apt(packages=("git",)),)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (None, "'NoneType' object is not iterable"),
        (["apt-get install git"], "expected a layer, got 'apt-get install git'"),
        ([Apt], "expected a layer, got <class"),
        ([Python(requirements=("jax=1",))], "InvalidRequirement"),
        ([Compile(name="x", shell="a"), Compile(name="x", shell="b")], "two compiles are named x"),
        ([Python(constraints=("jax=1",))], "InvalidRequirement"),
        ([Python(requirements=("x @ https://me:secret@h.invalid/x.whl",))], '"x @ https://***@h.invalid'),
        ([Python(alone=("jax>=1",))], 'alone takes exact pins, like "ava-sdk==0.1.3", not "jax>=1"'),
        ([Python(alone=("jax==1.*",))], "alone takes exact pins"),
        ([Python(alone=("jax[cpu]==1",))], "alone takes exact pins"),
    ],
)
def test_layers_that_are_junk_are_blamed_on_the_framework_and_its_module(answer, message):
    def layers(request):
        return answer

    with pytest.raises(PluginError) as caught:
        layers_of(a_framework("a", layers=layers), a_request())
    assert caught.value.message.startswith(f"a ({__name__}): layers failed: ")
    assert message in caught.value.message


def test_a_callable_that_raises_is_blamed_and_its_cause_kept():
    with pytest.raises(PluginError, match="layers failed: ZeroDivisionError") as caught:
        layers_of(a_framework("a", layers=lambda request: 1 / 0), a_request())
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    with pytest.raises(PluginError, match="check failed: KeyError"):
        check_of(a_framework("a", check=lambda request: {}["x"]), a_request())
    with pytest.raises(PluginError, match="requires failed: AttributeError"):
        requires_of(a_framework("a", requires=lambda options: options.backend), Options())


def test_what_is_impossible_is_told_in_the_plugins_own_words():
    def layers(request):
        raise Impossible("no wheel of it is for bookworm", "take trixie")

    with pytest.raises(TargetError) as caught:
        layers_of(a_framework("a", layers=layers), a_request())
    assert (caught.value.message, caught.value.hint) == ("a: no wheel of it is for bookworm", "take trixie")
    assert caught.value.exit_code == 4


def test_an_interruption_is_nobodys_fault():
    def interrupted(request):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        layers_of(a_framework("a", layers=interrupted), a_request())


@pytest.mark.parametrize("program", ["", " \n", None, b"import x"])
def test_a_check_that_is_no_program_is_blamed(program):
    with pytest.raises(PluginError, match="expected the text of a program"):
        check_of(a_framework("a", check=lambda request: program), a_request())


@pytest.mark.parametrize("answer", ["tensorflow", (1,), None])
def test_requires_that_are_no_names_are_blamed(answer):
    with pytest.raises(PluginError, match="requires failed: TypeError"):
        requires_of(a_framework("a", requires=lambda options: answer), Options())


# Ordering


def test_a_circle_of_requires_is_an_error_that_spells_it():
    circle = {"a": ("b",), "b": ("c",), "c": ("a",)}
    made = [a_framework(n) for n in circle]
    with pytest.raises(PluginError) as caught:
        ordered(made, circle)
    spelt = caught.value.message.removeprefix("frameworks require each other: ").split(" requires ")
    assert len(spelt) == 4
    assert all(circle[one] == (other,) for one, other in itertools.pairwise(spelt))


def test_a_requirement_that_is_not_in_the_image_is_an_error():
    with pytest.raises(PluginError, match="a requires b, which the image doesn't have"):
        ordered([a_framework("a")], {"a": ("b",)})
