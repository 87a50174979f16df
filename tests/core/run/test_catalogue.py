"""The catalogue: what is planned of several recipes, which problems are told at once, and what needs what."""

from __future__ import annotations

from pathlib import Path

import pytest

from avabuild.common.errors import (
    AvabuildError,
    JointError,
    RecipeError,
    StepError,
    TargetError,
    UnavailableError,
)
from avabuild.layer.base import Base
from avabuild.run import builds
from avabuild.run.bases import BaseSource
from avabuild.run.builds import Listener
from avabuild.run.catalogue import Catalogue
from avabuild.run.image import ImageRun
from avabuild.run.recipe_run import RecipeRun
from avabuild.run.run import Workplace
from avabuild.tools.events import Report, silent

BOOKWORM = 'base = { debian = "bookworm" }\nmatrix.python = "3.11"\n'


@pytest.fixture
def recipes(tmp_path, monkeypatch):
    """Write recipes by name and return their paths; the current directory is theirs."""
    monkeypatch.chdir(tmp_path)

    def write(**texts: str) -> list[Path]:
        for name, text in texts.items():
            Path(f"{name}.toml").write_text(f'name = "{name}"\n{text}')
        return [Path(f"{name}.toml") for name in texts]

    return write


@pytest.fixture
def opened(host):
    def opened(paths) -> Catalogue:
        workplace = Workplace.on(host)
        workplace.__dict__["confined"] = ""
        return Catalogue(paths, workplace, Report(silent))

    return opened


def problem(act) -> AvabuildError:
    with pytest.raises(AvabuildError) as caught:
        act()
    return caught.value


def test_the_images_come_in_the_order_of_the_recipes_and_their_matrices(recipes, opened):
    two = BOOKWORM.replace('"3.11"', '"3.11"\nmatrix.device = ["cpu", "cuda12.5"]')
    found = opened(recipes(b=two, a=BOOKWORM)).entries()
    assert [entry.name for entry in found] == ["b:py311-cpu", "b:py311-cuda125", "a:py311-cpu"]


def test_a_recipe_that_is_named_twice_is_built_once(recipes, opened):
    (path,) = recipes(a=BOOKWORM)
    assert len(opened([path, Path("./a.toml"), path.absolute()]).entries()) == 1


@pytest.mark.parametrize(
    ("only", "names"),
    [
        (["py311-*"], ["a:py311-cpu", "b:py311-cuda125"]),
        (["*-cpu"], ["a:py311-cpu"]),
        (["b:*"], ["b:py311-cuda125"]),
        (["a:*", "*cuda*"], ["a:py311-cpu", "b:py311-cuda125"]),
    ],
)
def test_only_chooses_by_tag_or_by_name_and_tag(recipes, opened, only, names):
    paths = recipes(a=BOOKWORM, b=f'{BOOKWORM}matrix.device = "cuda12.5"\n')
    assert [entry.name for entry in opened(paths).entries(only)] == names


def test_a_pattern_that_no_image_fits_is_refused_with_what_there_is(recipes, opened):
    catalogue = opened(recipes(a=BOOKWORM, b=BOOKWORM))
    error = problem(lambda: catalogue.entries(["a:*", "py27-*"]))
    assert str(error) == '--only: no image fits "py27-*"; there are a:py311-cpu, b:py311-cpu'


def test_the_problems_of_all_recipes_are_told_at_once(recipes, opened):
    paths = recipes(a='base = 7\ntag = "{"\n', good=BOOKWORM, b='[frameworks]\nkears = "*"\n')
    error = problem(lambda: opened(paths))
    assert isinstance(error, JointError)
    assert error.exit_code == 2
    assert [str(one).split(" ")[0] for one in str(error).splitlines()] == [
        "a.toml:2:",
        "a.toml:3:",
        "b.toml:3:",
    ]


def test_targets_that_no_base_or_release_fits_are_told_with_all_others(recipes, opened):
    old = 'base = { debian = "bookworm" }\nmatrix.python = "3.9"\n'
    paths = recipes(a=old, b=f'{BOOKWORM}[frameworks]\nkeras = "==99"\n', c=BOOKWORM)
    error = problem(opened(paths).entries)
    assert isinstance(error, JointError)
    assert [type(one) for one in error.errors] == [TargetError, TargetError]
    assert "a.toml:3" in str(error)


def test_two_recipes_that_make_one_image_are_refused(recipes, opened):
    recipes(a=BOOKWORM, b=BOOKWORM)
    Path("b.toml").write_text(f'name = "a"\n{BOOKWORM}')
    error = problem(opened([Path("a.toml"), Path("b.toml")]).entries)
    assert isinstance(error, RecipeError)
    assert str(error) == "b.toml:1: name: a:py311-cpu is made by a.toml too; choose another name or tag"


def test_a_base_whose_name_will_do_for_a_plan_is_asked_for_once_and_told_of_once(recipes, host, monkeypatch):
    asked: list[str] = []

    def obtain(self, project, tools, report):
        asked.append(project.recipe.name)
        raise UnavailableError("the registry does not answer")

    monkeypatch.setattr(BaseSource, "obtain", obtain)
    image = 'base = { image = "ubuntu:16.04" }\nmatrix.python = "3.5"\n'
    workplace, told = Workplace.on(host), []
    workplace.__dict__["confined"] = ""
    found = Catalogue(recipes(a=image, b=image), workplace, Report(told.append), assume=True).entries()
    assert [entry.name for entry in found] == ["a:py35-cpu", "b:py35-cpu"]
    assert asked == ["a"]
    assert [event.text for event in told] == [
        "ubuntu:16.04 is not available here: planning from its name alone"
    ]


def test_that_a_base_is_another_one_than_the_locks_is_told_once(recipes, host, monkeypatch):
    (path,) = recipes(a=BOOKWORM)
    recipe, told = RecipeRun(path, Workplace.on(host)), []
    monkeypatch.setattr("avabuild.run.bases.offer_base", lambda *_, **__: None)
    monkeypatch.setattr(recipe.bases, "known", lambda _: Base(digest="sha256:new"))
    monkeypatch.setattr(recipe.bases, "pinned", lambda _: "sha256:old")
    for _ in range(2):  # for the plan, then for the build
        assert recipe.bases.obtain(recipe.projects[0], None, Report(told.append)).digest == "sha256:new"
    assert [event.text for event in told] == [
        "the base is newer than the one in the lock; --upgrade base updates the lock"
    ]


def test_a_base_that_cant_be_had_is_asked_for_once_and_costs_only_its_own_images(
    recipes, opened, monkeypatch
):
    asked: list[str] = []

    def obtain(self, project, tools, report):
        asked.append(project.recipe.name)
        raise UnavailableError("the registry does not answer")

    monkeypatch.setattr(BaseSource, "obtain", obtain)
    monkeypatch.setattr(Workplace, "tools", lambda *_: None)
    away = 'base = { image = "example.invalid/away" }\nmatrix.python = "3.11"\n'
    catalogue = opened(recipes(a=away, b=BOOKWORM, c=away))
    assert [entry.name for entry in catalogue.entries()] == ["b:py311-cpu"]
    assert asked == ["a"]
    assert [lost.name for lost in catalogue.lost] == ["a:py311-cpu", "c:py311-cpu"]
    assert len({lost.error for lost in catalogue.lost}) == 1


def test_the_base_of_what_is_not_chosen_is_not_even_looked_for(recipes, opened):
    away = 'base = { image = "example.invalid/away" }\nmatrix.python = "2.7"\n'
    catalogue = opened(recipes(a=away, b=BOOKWORM))
    assert [entry.name for entry in catalogue.entries(["py311-*"])] == ["b:py311-cpu"]
    assert catalogue.lost == []


# -- building, where nothing is built ----------------------------------------------------------


@pytest.fixture
def building(monkeypatch, opened):
    """Build with bases and images that are only counted; recipes named in `failing` fail."""

    def building(paths, *, failing=(), jobs=1, keep_going=False):
        made: list[str] = []

        def obtain(self, project, tools, report):
            made.append("base")
            return Base(facts=self.facts(project, None))

        def build(self, base, report, running):
            plan = self.plan
            made.append(plan.name)
            if {plan.name, f"{plan.name}:{plan.tag}"} & set(failing):
                raise StepError(f"{plan.name} is broken")
            return plan

        monkeypatch.setattr(BaseSource, "obtain", obtain)
        monkeypatch.setattr(ImageRun, "build", build)
        monkeypatch.setattr(Workplace, "tools", lambda *_: None)
        catalogue = opened(paths)
        told: list[str] = []
        listener = Listener(
            lambda entry, done, seconds: told.append(f"done {entry.name}"),
            lambda end: told.append(f"{end.state} {end.node.name}"),
        )
        outcome = builds.build(catalogue, catalogue.entries(), listener, jobs=jobs, keep_going=keep_going)
        return made, told, outcome

    return building


ON_A = 'base = { recipe = "a.toml" }\n'


def test_a_base_that_several_images_need_is_brought_in_before_them_all(recipes, building):
    made, told, _ = building(recipes(a=BOOKWORM, b=BOOKWORM))
    assert made == ["base", "base", "a", "base", "b"]  # once, then asked for by each image and found
    assert told == ["done a:py311-cpu", "done b:py311-cpu"]


def test_a_recipe_on_another_of_the_run_waits_for_it(recipes, building):
    made, _, _ = building(recipes(c='base = { recipe = "b.toml" }\n', b=ON_A, a=BOOKWORM))
    assert [name for name in made if name != "base"] == ["a", "b", "c"]


def test_a_failure_skips_what_stands_on_it_and_begins_nothing_else(recipes, building):
    _, told, outcome = building(recipes(a=BOOKWORM, b=ON_A, z=BOOKWORM), failing=["a"])
    assert told == [
        "failed localhost/a:py311-cpu",
        "skipped localhost/b:py311-cpu",
        "skipped localhost/z:py311-cpu",
    ]
    assert [str(error) for error in outcome.errors] == ["a is broken"]


def test_with_keep_going_all_but_what_stands_on_it_is_built(recipes, building):
    _, told, outcome = building(recipes(a=BOOKWORM, b=ON_A, z=BOOKWORM), failing=["a"], keep_going=True)
    assert told == ["failed localhost/a:py311-cpu", "skipped localhost/b:py311-cpu", "done z:py311-cpu"]
    assert list(outcome.done) == ["localhost/z:py311-cpu"]


def test_only_the_image_of_the_same_tag_is_waited_for(recipes, building):
    two = 'base = { debian = "bookworm" }\nmatrix.python = "3.11"\nmatrix.device = ["cuda12.5", "cpu"]\n'
    paths = recipes(a=two, b=f'{ON_A}matrix.device = "cpu"\n')
    _, told, _ = building(paths, failing=["a:py311-cuda125"], keep_going=True)
    assert told == ["done a:py311-cpu", "failed localhost/a:py311-cuda125", "done b:py311-cpu"]
