"""Policies: what they add, what they refuse, when they are in force, and where they are recorded."""

from __future__ import annotations

import itertools
import sys
import types
from collections.abc import Callable
from pathlib import Path

import pytest

from avabuild.api import (
    Apt,
    Env,
    File,
    Files,
    Index,
    Label,
    Policy,
    Python,
    Refuse,
    Repository,
    Run,
    Warn,
    hookimpl,
)
from avabuild.common.errors import LockError, PluginError, RecipeError
from avabuild.engine.python.resolution import require_lock
from avabuild.layer.facts import Facts, assumed
from avabuild.plan.labels import labels
from avabuild.plan.plan import Plan, Ruled
from avabuild.plan.planning import make_plan
from avabuild.plan.project import open_projects
from avabuild.plan.targets import targets
from avabuild.plugins.provider import Provider, Trust, installed
from avabuild.plugins.registry import Registry
from avabuild.resolve.lock import AptLock, Lock, TargetLock

NAMED = Trust(("*",), "AVABUILD_PLUGINS")


@pytest.fixture
def policy(monkeypatch) -> Callable[..., Provider]:
    """Install a policy whose `amend` is given, or returns the values that are."""

    def install(
        name: str, *answer, amend=None, distribution: str = "", policy: Policy | None = None
    ) -> Provider:
        made = policy or Policy(name=name, summary=f"about {name}", amend=amend or (lambda draft: answer))
        module = types.ModuleType(f"fake_policy_{name}")
        module.avabuild_policies = hookimpl(lambda: [made])
        monkeypatch.setitem(sys.modules, module.__name__, module)
        return Provider(name, module.__name__, distribution or f"example-{name}", "1.0", "policy")

    return install


@pytest.fixture
def plan_of(tmp_path, host) -> Callable[..., Plan]:
    def plan(
        *providers: Provider, text: str = "", trust: Trust | None = NAMED, facts: Facts | None = None
    ) -> Plan:
        path = tmp_path / "demo.toml"
        path.write_text(f'name = "demo"\n{text}')
        (project,) = open_projects(path, Registry([*installed(), *providers], trust))
        facts = facts or assumed("bookworm")
        return make_plan(project, targets(project.recipe, facts, host)[0], facts)

    return plan


# -- what they add -----------------------------------------------------------------------------------------


def test_everything_that_a_policy_adds_is_in_the_plan_with_its_name(plan_of, policy):
    plan = plan_of(
        policy(
            "house",
            Label(name="example.team", value="ml"),
            Index(url="https://packages.example/simple"),
            Apt(packages=("ca-certificates",)),
            Python(requirements=("certifi",), constraints=("idna<4",)),
            Files(files=(File(target="/etc/motd", content="hello\n"),)),
            Env(variables=(("SITE", "example"),)),
        ),
        text='[packages]\npip = ["rich"]\n',
    )
    assert plan.settings.labels == (("example.team", "ml"),)
    assert plan.index == "https://packages.example/simple"
    assert ("SITE", "example") in plan.settings.env
    assert plan.apt.layer.packages == ("ca-certificates", "python3")
    assert plan.apt.origins == ("avabuild", "policy house")
    assert plan.python.layer.requirements == ("certifi", "pip")
    assert (plan.constraints, plan.constraint_origins) == (("idna<4",), (("policy house",),))
    assert [step.name for step in plan.files] == ["files: policy house"]
    assert plan.policies == (
        Ruled(
            name="house",
            distribution="example-house",
            version="1.0",
            did=("apt ca-certificates", "file /etc/motd", "index", "label example.team", "pip certifi",
                 "pip idna<4", "variable SITE"),
        ),
    )  # fmt: skip


def test_a_policy_that_adds_nothing_is_recorded_all_the_same(plan_of, policy):
    assert plan_of(policy("quiet")).policies == (
        Ruled(name="quiet", distribution="example-quiet", version="1.0"),
    )


def test_amend_may_answer_nothing_at_all(plan_of, policy):
    plan = plan_of(policy("quiet", amend=lambda draft: None))
    assert plan.policies == (Ruled(name="quiet", distribution="example-quiet", version="1.0"),)


def test_an_image_without_python_is_spared_packages_of_python(plan_of, policy):
    rule = policy(
        "house", Python(requirements=("certifi",), constraints=("idna<4",)), Label(name="a", value="b")
    )
    plan = plan_of(rule, text='base = "scratch"\n', facts=Facts())
    assert (plan.python, plan.constraints, plan.settings.labels) == (None, (), (("a", "b"),))
    assert plan.policies[0].did == ("label a",), "nobody is told of packages that the image has not"


def test_policies_are_asked_in_the_order_of_names_and_see_what_earlier_ones_added(plan_of, policy):
    seen = {}

    def amend(name):
        def ask(draft):
            seen[name] = (dict(draft.labels), draft.apt)
            return [Label(name=name, value="1"), Apt(packages=(f"pkg-{name}",))]

        return ask

    rules = [policy(name, amend=amend(name)) for name in ("b", "a", "c")]
    plans = set()
    for order in itertools.permutations(rules):
        seen.clear()
        plans.add(plan_of(*order))
        assert list(seen) == ["a", "b", "c"]
    assert len(plans) == 1
    assert seen["a"] == ({}, ("python3",))
    assert seen["c"] == ({"a": "1", "b": "1"}, ("pkg-a", "pkg-b", "python3"))


def test_a_policy_is_shown_the_image_as_the_recipe_has_it(plan_of, policy):
    drafts = []
    text = (
        '[frameworks]\njupyterlab = "*"\n[packages]\npip = ["rich"]\napt = ["git"]\n[[run]]\nshell = "true"\n'
        '[image]\nuser = "1000"\nlabels = { a = "b" }\nenv = { C = "d" }\n'
    )
    plan_of(policy("house", amend=lambda draft: drafts.append(draft) or []), text=text)
    (draft,) = drafts
    assert (draft.name, draft.tag, draft.base) == ("demo", "py311-cpu", {"debian": "bookworm"})
    assert draft.frameworks["jupyterlab"].version == "4.6"
    assert "git" in draft.apt
    assert "rich" in draft.python
    assert (draft.run, draft.user, draft.offered) == (("true",), "1000", "")
    assert draft.labels == {"a": "b"}
    assert draft.env["C"] == "d"
    assert draft.target.python == "3.11"


# -- what they refuse --------------------------------------------------------------------------------------


def test_refusals_of_all_policies_are_told_at_once_each_at_its_key(plan_of, policy):
    rules = [
        policy("registry", Refuse(reason="images come from registry.example", where="base")),
        policy(
            "owner", Refuse(reason="an owner is missing", where="image.labels"), Refuse(reason="and more")
        ),
    ]
    with pytest.raises(RecipeError) as caught:
        plan_of(*rules, text='base = { debian = "bookworm" }\n')
    places = [(Path(p.place).name, p.path, p.message) for p in caught.value.problems]
    assert places == [
        ("demo.toml:1", "image.labels", "policy owner (example-owner 1.0) refuses it: an owner is missing"),
        ("demo.toml:1", "", "policy owner (example-owner 1.0) refuses it: and more"),
        (
            "demo.toml:2",
            "base",
            "policy registry (example-registry 1.0) refuses it: images come from registry.example",
        ),
    ]


@pytest.mark.parametrize(
    ("one", "other", "text", "message"),
    [
        (Label(name="a", value="1"), None, '[image]\nlabels = { a = "2" }', 'asks for "1", the recipe for "2"'),
        (Env(variables=(("A", "1"),)), None, '[image]\nenv = { A = "2" }', 'asks for "1", the recipe for "2"'),
        (Env(variables=(("A_PATH", "/p"),)), None, '[image]\nenv = { A_PATH = "/r" }', 'asks for "/p", the recipe for "/r"'),
        (Env(variables=(("A_PATH", "/p"),)), Env(variables=(("A_PATH", "/r"),)), '[image]\nenv = { A_PATH = "/r" }', 'policy x (example-x 1.0) asks for "/p", the recipe for "/r"'),
        (Label(name="a", value="1"), Label(name="a", value="2"), "", 'policy y (example-y 1.0) asks for "2", policy x (example-x 1.0) for "1"'),
        (Index(url="https://a.example"), Index(url="https://b.example"), "", 'asks for "https://b.example"'),
    ],
)  # fmt: skip
def test_nothing_is_overridden_what_two_want_differently_is_refused(
    plan_of, policy, one, other, text, message
):
    with pytest.raises(RecipeError) as caught:
        plan_of(policy("x", one), *([policy("y", other)] if other else []), text=text)
    assert message in str(caught.value)


def test_policies_each_add_their_part_to_a_list_of_directories(plan_of, policy):
    plan = plan_of(*(policy(name, Env(variables=(("A_PATH", f"/{name}"),))) for name in ("y", "x")))
    assert dict(plan.settings.env)["A_PATH"] == "/x:/y"


def test_what_two_want_alike_is_fine(plan_of, policy):
    label = Label(name="a", value="1")
    plan = plan_of(policy("x", label), policy("y", label), text='[image]\nlabels = { a = "1" }')
    assert plan.settings.labels == (("a", "1"),)


def test_a_policy_may_warn_and_the_image_is_built_all_the_same(plan_of, policy):
    rule = policy(
        "house", Warn(reason="bookworm is old; trixie is better", where="base"), Label(name="a", value="1")
    )
    plan = plan_of(rule, text='base = { debian = "bookworm" }\n')
    (warning,) = plan.warnings
    assert warning.endswith(
        "demo.toml:2: base: policy house (example-house 1.0) warns: bookworm is old; trixie is better"
    )
    assert plan.settings.labels == (("a", "1"),)
    assert plan.policies[0].did == ("label a", "warn")


# -- when they are in force --------------------------------------------------------------------------------


def never(draft):
    raise AssertionError("asked")


@pytest.mark.parametrize("trust", [None, Trust(("avabuild-jax",), "AVABUILD_PLUGINS")])
def test_a_policy_that_is_only_installed_is_not_imported(plan_of, policy, trust, monkeypatch):
    rule = policy("house", amend=never)
    monkeypatch.delitem(sys.modules, rule.module)
    assert plan_of(rule, trust=trust).policies == ()


def test_a_policy_is_in_force_where_the_site_the_project_or_the_recipe_names_it(plan_of, policy, tmp_path):
    rule = policy("house", Label(name="a", value="1"))
    assert plan_of(rule, trust=Trust(("Example_House",), "AVABUILD_PLUGINS")).policies
    assert plan_of(rule, trust=None, text='plugins = ["example-house"]\n').policies
    (tmp_path / "avabuild.toml").write_text('plugins = ["example-house"]\n')
    assert plan_of(rule, trust=None).policies


def test_a_policy_of_a_distribution_whose_name_ends_in_py_is_in_force_only_where_it_is_named(plan_of, policy):
    rule = policy("house", Label(name="a", value="1"), distribution="discord.py")
    assert plan_of(rule, trust=None).policies == ()
    assert plan_of(rule, trust=Trust(("*.py",), "AVABUILD_PLUGINS")).policies == ()
    assert plan_of(rule, trust=Trust(("discord.py",), "AVABUILD_PLUGINS")).policies


def test_a_recipe_can_not_name_a_policy_that_the_site_does_not_allow(plan_of, policy):
    with pytest.raises(
        PluginError, match=r'"house" is provided by example-house 1.0, which AVABUILD_PLUGINS does'
    ):
        plan_of(
            policy("house"), trust=Trust(("x",), "AVABUILD_PLUGINS"), text='plugins = ["example-house"]\n'
        )


def test_a_policy_in_force_that_is_broken_fails_the_recipe_rather_than_being_left_out(plan_of):
    with pytest.raises(PluginError, match=r"house \(example-house 1.0\) can't be imported"):
        plan_of(Provider("house", "no_such_module", "example-house", "1.0", "policy"))


def test_a_local_policy_is_in_force(plan_of, tmp_path):
    (tmp_path / "rules.py").write_text(
        "from avabuild.api import Label, Policy, hookimpl\n\n"
        "@hookimpl\ndef avabuild_policies():\n"
        '    return [Policy(name="mine", summary="", amend=lambda draft: [Label(name="a", value=draft.name)])]\n'
    )
    plan = plan_of(text='plugins = ["./rules.py"]\n', trust=None)
    assert plan.settings.labels == (("a", "demo"),)
    assert plan.policies[0].distribution == "./rules.py"


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (7, "'int' object is not iterable"),
        (Label(name="a", value="b"), "expected a list of amendments, got one; return [Label(...)]"),
        (["a label"], "expected an amendment, got 'a label'"),
        ([Run(shell="rm -rf /")], "expected an amendment, got Run("),
        ([Python(requirements=("=1",))], "InvalidRequirement"),
        ([Index(url="https://a.example"), Index(url="https://b.example")], "there is one index, or none"),
    ],
)
def test_junk_is_blamed_on_the_policy(plan_of, policy, answer, message):
    with pytest.raises(PluginError) as caught:
        plan_of(policy("house", amend=lambda draft: answer))
    assert "house (" in caught.value.message
    assert "amend failed: " in caught.value.message
    assert message in caught.value.message


def test_a_policy_that_raises_is_blamed_with_its_line(plan_of, policy):
    with pytest.raises(PluginError, match="amend failed: AssertionError: asked") as caught:
        plan_of(policy("house", amend=never))
    assert Path(str(caught.value.place)).name.startswith("test_policies.py:")


@pytest.mark.parametrize(
    "url", ["packages.example", "ftp://x.example/", "https://", "https://me:secret@x.example/"]
)
def test_an_index_is_an_address_without_a_login(url):
    with pytest.raises(ValueError, match="an index is named"):
        Index(url=url)


def test_two_distributions_with_one_policy_are_an_error_naming_both(plan_of, policy):
    rules = [policy("house"), policy("house", distribution="other")]
    with pytest.raises(PluginError, match=r'"house" is provided by example-house 1.0 and other 1.0'):
        plan_of(*rules)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"name": "other"}, 'declares other, not "house"'),
        ({"name": 3}, "name must be a str, not 3"),
        ({"summary": None}, "summary must be a str, not None"),
        ({"amend": ()}, "amend must be callable, not ()"),
    ],
)
def test_a_policy_that_is_none_is_blamed(plan_of, policy, changed, message):
    made = Policy(**{"name": "house", "summary": "", "amend": lambda draft: [], **changed})
    with pytest.raises(PluginError) as caught:
        plan_of(policy("house", policy=made))
    assert message in str(caught.value)


# -- where they are recorded -------------------------------------------------------------------------------


def locked(plan: Plan) -> Lock:
    apts = tuple(
        AptLock(base="b", packages=step.layer.packages, debs=())
        for step in (plan.apt, plan.apt_extra)
        if step
    )
    entry = TargetLock(
        target=plan.target.tag, request=plan.request_digest, base=f"sha256:{'b' * 64}", apt=apts
    )
    return Lock(recipe=plan.name).with_target(entry).with_plugins(plan.plugins)


UNLOCKED = TargetLock(target="py311-cpu", request="", base="")


def test_the_image_records_the_policies_with_their_distributions(plan_of, policy):
    rule = policy("house", Label(name="a", value="1"))
    made = dict(labels(plan_of(rule), {}, UNLOCKED))
    assert made["org.avabuild.policies"] == '{"house":"example-house 1.0"}'
    assert "org.avabuild.policies" not in dict(labels(plan_of(), {}, UNLOCKED))


def test_locked_refuses_another_version_and_a_policy_that_came_or_went(plan_of, policy):
    rule = policy("house")
    plan, names = plan_of(rule), [Path("demo.lock"), Path("demo.toml")]
    lock = locked(plan)
    assert [(one.provided, one.who) for one in lock.plugins] == [("policy house", "example-house 1.0")]
    require_lock(lock, plan, names)
    newer = plan.model_copy(update={"policies": (plan.policies[0].model_copy(update={"version": "2.0"}),)})
    with pytest.raises(
        LockError, match=r"policy house: the lock was made with example-house 1.0, this is example-"
    ):
        require_lock(lock, newer, names)
    with pytest.raises(
        LockError, match=r"the lock was made with it \(example-house 1.0\), and it is not in force"
    ):
        require_lock(lock, plan_of(), names)
    with pytest.raises(
        LockError, match=r"the lock was made without it, and example-house 1.0 provides it now"
    ):
        require_lock(locked(plan_of()), plan, names)


def test_a_policy_that_is_gone_leaves_the_lock_and_frameworks_of_other_targets_stay(plan_of, policy):
    first = locked(plan_of(policy("house"), text='[frameworks]\njupyterlab = "*"\n'))
    assert [one.provided for one in first.plugins] == ["jupyterlab", "policy house"]
    assert [one.provided for one in first.with_plugins(plan_of().plugins).plugins] == ["jupyterlab"]


def test_a_policys_repository_is_one_of_the_frameworks_packages(plan_of, policy):
    other = Repository(name="updates", suite="bookworm-updates")
    plan = plan_of(policy("house", Apt(packages=("git",), repositories=(other,))))
    assert plan.apt.layer.repositories == (other,)


def test_locked_needs_a_base_in_the_lock_unless_there_is_none(plan_of):
    names = [Path("demo.lock"), Path("demo.toml")]
    for text, fits in (("", False), ('base = "scratch"', True)):
        plan = plan_of(text=text)
        entry = locked(plan).targets[0].model_copy(update={"base": ""})
        lock = Lock(recipe=plan.name).with_target(entry).with_plugins(plan.plugins)
        if fits:
            require_lock(lock, plan, names)
            continue
        with pytest.raises(LockError, match="does not say which base") as refused:
            require_lock(lock, plan, names)
        assert "avabuild lock --full demo.toml" in str(refused.value.hint)
