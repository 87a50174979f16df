"""Frameworks of a recipe held against installed plugins."""

from datetime import date
from pathlib import Path

import pytest
from pydantic import field_validator

from avabuild.common.errors import PluginError, RecipeError
from avabuild.plugins.framework import Options
from avabuild.recipe import Known, Recipe, load, parse_options

INSTALLED = "installed: broken, hostile, jupyterlab, keras"


class KerasOptions(Options):
    backend: str = "tensorflow"


class Hostile(Options):
    @field_validator("version")
    @classmethod
    def _fail(cls, text):
        raise KeyError(text)


class Plugins:
    """Three installed plugins that remember which were loaded."""

    def __init__(self):
        self.loaded = []
        self.known = Known(("broken", "hostile", "jupyterlab", "keras"), self.options)

    def options(self, names):
        self.loaded.extend(names)
        if "broken" in names:
            raise PluginError("broken 1.0 can't be imported")
        return {name: {"keras": KerasOptions, "hostile": Hostile}.get(name, Options) for name in names}


@pytest.fixture
def plugins():
    return Plugins()


@pytest.fixture
def write(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def written(text):
        Path("keras.toml").write_text(f'name = "x"\n[frameworks]\n{text}')
        return Path("keras.toml")

    return written


def problems(path, known):
    with pytest.raises(RecipeError) as caught:
        load(path, known)
    return [str(problem) for problem in caught.value.problems]


def test_an_unknown_framework_is_named_with_the_nearest_and_all_installed(write, plugins):
    assert problems(write('jupyterlab = "*"\nkears = "*"\nfoo = {}'), plugins.known) == [
        f'keras.toml:4: frameworks.kears: no plugin provides "kears"; did you mean "keras"? {INSTALLED}',
        f'keras.toml:5: frameworks.foo: no plugin provides "foo"; {INSTALLED}',
    ]


def test_only_plugins_that_the_recipe_names_are_loaded(write, plugins):
    load(write('keras = "*"'), plugins.known)
    assert plugins.loaded == ["keras"]


def test_options_are_checked_at_their_line_with_all_other_problems(write, plugins):
    path = write(
        '[frameworks.keras]\nversion = "abc"\nbackned = "jax"\n[frameworks.jupyterlab]\nversion = 4\n[imag]'
    )
    assert problems(path, plugins.known) == [
        'keras.toml:4: frameworks.keras.version: "abc" is no version specifier; write "*", "2.19", "~=2.19" or ">=2,<3"',
        'keras.toml:5: frameworks.keras.backned: unknown key; did you mean "backend"?',
        "keras.toml:7: frameworks.jupyterlab.version: must be text in quotes, not the number 4",
        'keras.toml:8: imag: unknown key; did you mean "image"?',
    ]


def test_a_short_version_is_checked_at_its_own_line(write, plugins):
    assert problems(write('keras = "abc"'), plugins.known)[0].startswith(
        "keras.toml:3: frameworks.keras.version: "
    )


def test_a_value_of_the_wrong_kind_is_reported_once(write, plugins):
    assert len(problems(write("keras = 3"), plugins.known)) == 1


def test_a_broken_plugin_is_fatal_to_the_recipe_that_needs_it(write, plugins):
    with pytest.raises(PluginError, match="can't be imported"):
        load(write('broken = "*"\nkeras = "*"'), plugins.known)


@pytest.mark.parametrize("text", ['broken = "*"\nkears = "*"', 'broken = "*"\n[matrix]\npython = 3'])
def test_problems_of_the_recipe_come_before_a_broken_plugin(write, plugins, text):
    assert len(problems(write(text), plugins.known)) == 1


def test_a_validator_that_raises_anything_is_blamed_on_its_framework(write, plugins):
    with pytest.raises(PluginError, match="the options of hostile can't be read: KeyError"):
        load(write('hostile = "*"'), plugins.known)


def test_options_are_parsed_by_the_class_of_the_framework(write):
    recipe = load(write('keras = { version = ">=3", backend = "jax" }'))
    assert parse_options(recipe, "keras", KerasOptions) == KerasOptions(version=">=3", backend="jax")
    assert parse_options(recipe, "absent", KerasOptions) == KerasOptions()
    with pytest.raises(
        RecipeError, match=r"keras.toml:3: frameworks.keras.backend: unknown key; known: version"
    ):
        parse_options(recipe, "keras", Options)


def test_dates_in_options_reach_the_class_as_text():
    recipe = Recipe(name="x", frameworks={"keras": {"since": date(2024, 1, 2)}})
    assert recipe.options("keras") == {"since": "2024-01-02"}
