from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import pytest

from avabuild.common.errors import RecipeError, TargetError
from avabuild.layer.facts import Facts, assumed
from avabuild.plan.plan import Plan
from avabuild.plan.planning import make_plan
from avabuild.plan.project import Project, open_projects
from avabuild.plan.targets import targets
from avabuild.plugins.kinds import Apt, Python
from avabuild.plugins.registry import Registry, installed

BOOKWORM = assumed("bookworm")
FRAMEWORKS = (
    'tensorflow = "~=2.19"',
    'keras = { version = ">=3", backend = "tensorflow" }',
    'jupyterlab = "*"',
)


@pytest.fixture
def project(tmp_path: Path) -> Callable[..., Project]:
    def opened(text: str = "", **tables: str) -> Project:
        path = tmp_path / "demo.toml"
        rest = "".join(f"[{name}]\n{lines}\n" for name, lines in tables.items())
        path.write_text(f'name = "demo"\n{text}\n{rest}')
        return open_projects(path, Registry(installed()))[0]

    return opened


@pytest.fixture
def plan_of(project, host) -> Callable[..., Plan]:
    def plan(text: str = "", *, facts: Facts = BOOKWORM, **tables: str) -> Plan:
        made = project(text, **tables)
        return make_plan(made, targets(made.recipe, facts, host)[0], facts)

    return plan


# -- targets -----------------------------------------------------------------------------------------------


def test_there_is_a_target_for_every_python_with_every_device(project, host):
    facts = BOOKWORM.model_copy(update={"pythons": (("3.12", "/usr/bin/python3.12"),)})
    matrix = 'python = ["3.12", "3.11"]\ndevice = ["cpu", "cuda12.5-cudnn9.3"]'
    found = targets(project(matrix=matrix).recipe, facts, host)
    assert [target.tag for target in found] == [
        "py312-cpu",
        "py312-cuda125-cudnn93",
        "py311-cpu",
        "py311-cuda125-cudnn93",
    ]
    assert {(t.distribution, t.arch, t.glibc) for t in found} == {("bookworm", "x86_64", "2.36")}


def test_without_a_matrix_the_python_is_the_bases_own(project, host):
    facts = Facts(pythons=(("3.13", "/usr/local/bin/python3.13"), ("3.9", "/usr/bin/python3.9")))
    assert [target.python for target in targets(project().recipe, facts, host)] == ["3.13"]


def test_a_base_without_python_is_enough_for_a_recipe_without_packages(project, host):
    assert [target.python for target in targets(project().recipe, Facts(), host)] == [None]


def test_a_python_that_the_base_cant_give_is_refused_where_it_is_asked_for(project, host):
    with pytest.raises(
        TargetError, match=r"demo.toml:4: the base \(bookworm\) can't give Python 3.9; it offers 3.11"
    ):
        targets(project(matrix='python = ["3.9"]').recipe, BOOKWORM, host)


def test_packages_on_a_base_without_python_are_refused(project, host):
    with pytest.raises(
        TargetError, match=r"the base \(alpine\) has no Python, which the frameworks and packages"
    ):
        targets(project(packages='pip = ["rich"]').recipe, Facts(distribution="alpine"), host)


# -- plans -------------------------------------------------------------------------------------------------


def test_a_framework_that_another_one_requires_is_in_the_image_and_says_why(plan_of):
    plan = plan_of(frameworks='keras = { version = ">=3", backend = "tensorflow" }')
    assert [(f.name, f.required_by) for f in plan.frameworks] == [("tensorflow", ("keras",)), ("keras", ())]
    named = plan_of(frameworks="\n".join(FRAMEWORKS))
    assert {f.name: f.required_by for f in named.frameworks} == {
        "tensorflow": (), "keras": (), "jupyterlab": (),
    }  # fmt: skip


def test_python_is_among_the_packages_only_where_the_base_lacks_it(plan_of):
    has = BOOKWORM.model_copy(update={"pythons": (("3.11", "/usr/bin/python3.11"),)})
    assert plan_of().apt.layer == Apt(packages=("python3",))
    assert plan_of(facts=has).apt is None


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_the_order_of_frameworks_in_a_recipe_does_not_show_in_a_plan(plan_of, order):
    shuffled = plan_of(frameworks="\n".join(FRAMEWORKS[i] for i in order))
    assert shuffled == plan_of(frameworks="\n".join(FRAMEWORKS))


def test_the_order_of_plugins_does_not_show_in_a_plan(project, host):
    whole = project(frameworks="\n".join(FRAMEWORKS))
    (target,) = targets(whole.recipe, BOOKWORM, host)
    providers = installed()
    plans = [
        make_plan(Project(whole.recipe, Registry(some)), target, BOOKWORM)
        for some in (providers, providers[::-1], (*providers[1:], providers[0]))
    ]
    assert plans[1:] == plans[:-1]


def test_the_order_of_keys_does_not_show_in_a_plan(plan_of):
    forth = 'env = { A = "1", B = "2" }\nlabels = { a = "1", b = "2" }'
    back = 'labels = { b = "2", a = "1" }\nenv = { B = "2", A = "1" }'
    assert plan_of(image=forth) == plan_of(image=back)


def test_a_release_that_no_target_fits_is_refused_by_the_frameworks_name(plan_of):
    with pytest.raises(TargetError, match="tensorflow"):
        plan_of(frameworks='tensorflow = "==99.1"')


def test_all_problems_of_a_recipe_are_told_at_once(project):
    with pytest.raises(RecipeError) as caught:
        project('bas = "scratch"', frameworks='kears = "*"')
    assert len(caught.value.problems) == 2


def test_a_project_knows_its_lock_and_the_plugins_behind_its_plans(project, host, tmp_path):
    whole = project(frameworks='jupyterlab = "*"')
    plan = make_plan(whole, targets(whole.recipe, BOOKWORM, host)[0], BOOKWORM)
    (distribution,) = plan.plugins
    assert (distribution.framework, distribution.name) == ("jupyterlab", "avabuild")
    assert whole.lock_path == tmp_path / "demo.lock"
    assert whole.directory == tmp_path


# -- what the resolver is asked ----------------------------------------------------------------------------

PACKAGES = 'pip = ["rich", "attrs"]\nconstraints = ["rich<99"]'


def request_for(plan_of, packages: str = PACKAGES, **changed) -> str:
    return plan_of(packages=packages, **changed).request_digest


@pytest.mark.parametrize(
    "packages",
    [
        'pip = ["rich"]\nconstraints = ["rich<99"]',
        'pip = ["rich", "attrs>1"]\nconstraints = ["rich<99"]',
        'pip = ["rich", "attrs"]\nconstraints = ["rich<98"]',
        'pip = ["rich", "attrs"]',
        'pip = ["rich", "attrs", "rich<99"]',
    ],
)
def test_every_package_and_constraint_changes_the_request(plan_of, packages):
    assert request_for(plan_of, packages) != request_for(plan_of)


@pytest.mark.parametrize(
    "facts",
    [
        BOOKWORM.model_copy(update={"glibc": "2.41"}),
        BOOKWORM.model_copy(update={"installable": ("3.12",)}),
    ],
    ids=["glibc", "python"],
)
def test_python_and_c_library_change_the_request(plan_of, facts):
    assert request_for(plan_of, facts=facts) != request_for(plan_of)


def test_the_machine_and_the_frameworks_change_the_request(plan_of, host, project):
    assert request_for(plan_of, frameworks='jupyterlab = "*"') != request_for(plan_of)
    plan = plan_of(packages=PACKAGES)
    arm = plan.model_copy(update={"target": plan.target.model_copy(update={"arch": "aarch64"})})
    assert arm.request_digest != plan.request_digest


def test_a_local_wheel_built_anew_under_its_old_name_changes_the_request(plan_of, tmp_path):
    wheel = tmp_path / "mine-1.0-py3-none-any.whl"
    wheel.write_bytes(b"one")
    own = 'pip = ["./mine-1.0-py3-none-any.whl"]'
    before = request_for(plan_of, own)
    assert request_for(plan_of, own) == before
    wheel.write_bytes(b"two")
    assert request_for(plan_of, own) != before


@pytest.mark.parametrize(
    "changed",
    [
        {"packages": f'{PACKAGES}\napt = ["git"]'},
        {"image": 'env = { A = "1" }'},
        {"text": 'tag = "mine"\nbase = { image = "example.invalid/base" }'},
    ],
    ids=["apt", "image", "base"],
)
def test_what_the_resolver_is_not_asked_does_not_change_the_request(plan_of, changed):
    text = changed.pop("text", "")
    assert plan_of(text, **{"packages": PACKAGES} | changed).request_digest == request_for(plan_of)


def test_the_order_of_the_recipes_own_packages_is_part_of_the_request(plan_of):
    swapped = PACKAGES.replace('"rich", "attrs"', '"attrs", "rich"')
    assert swapped != PACKAGES
    assert plan_of(packages=swapped).request_digest != request_for(plan_of)


def test_the_requirements_of_frameworks_and_recipe_are_kept_apart(plan_of):
    mine, extra = plan_of(packages=PACKAGES, frameworks='jupyterlab = "*"').requirements
    assert extra == ("rich", "attrs")  # as the recipe has them
    assert "pip" in mine
    assert any(text.startswith("jupyterlab") for text in mine)
    assert plan_of().requirements == (("pip",), ())


OLD = 'base = { image = "example.invalid/old:1" }'


@pytest.mark.parametrize("python", ["2.7", "3.5"])
def test_a_classic_python_of_a_base_is_served(project, host, python):
    facts = Facts(distribution="xenial", apt=True, pythons=((python, f"/usr/bin/python{python}"),))
    assert [target.python for target in targets(project(OLD).recipe, facts, host)] == [python]


def test_a_python_that_no_resolver_knows_is_refused_and_never_chosen(project, host):
    facts = Facts(distribution="xenial", pythons=(("3.4", "/usr/bin/python3.4"),))
    assert [target.python for target in targets(project(OLD).recipe, facts, host)] == [None]
    with pytest.raises(
        TargetError, match=r"no resolver knows Python 3\.4: .* for 2\.7, 3\.5, and 3\.6 or later"
    ):
        targets(project(OLD, matrix='python = ["3.4"]').recipe, facts, host)


@pytest.mark.parametrize(
    ("python", "hint"),
    [
        ("2.7", 'use { debian = "bullseye" }, or an image that has Python 2.7'),
        ("3.10", "no Debian release that can be bootstrapped has it: use an image that has Python 3.10"),
    ],
)
def test_a_base_that_lacks_a_python_is_answered_with_one_that_has_it(project, host, python, hint):
    with pytest.raises(TargetError) as caught:
        targets(project(matrix=f'python = ["{python}"]').recipe, BOOKWORM, host)
    assert caught.value.hint == hint


def test_python_2_where_no_layer_can_add_to_it_is_refused(project, host):
    facts = Facts(distribution="centos", pythons=(("2.7", "/usr/bin/python2.7"),))
    with pytest.raises(TargetError, match=r"the base \(centos\) keeps Python 2\.7's packages where"):
        targets(project(OLD).recipe, facts, host)


def test_what_is_installed_alone_changes_the_request(plan_of):
    plan = plan_of()
    step = plan.python.model_copy(update={"layer": Python(requirements=("pip",), alone=("a==1",))})
    assert plan.model_copy(update={"python": step}).request_digest != plan.request_digest
