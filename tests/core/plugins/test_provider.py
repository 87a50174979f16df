"""Whom a site allows, and how distributions and local plugins are named."""

from __future__ import annotations

import pytest

from avabuild.common.errors import PluginError
from avabuild.host.settings import PLUGINS, Settings, settings_of
from avabuild.plugins.provider import Provider, Trust, is_path, matches
from avabuild.plugins.registry import Registry


def trust(environ: dict[str, str]) -> Trust:
    said = settings_of(environ)
    return Trust(said.plugins, said.origin("plugins"))


@pytest.mark.parametrize("text", ["", " ", ",", " , "])
def test_an_empty_variable_allows_all_and_names_nobody(text):
    assert trust({PLUGINS: text}) == trust({})
    assert trust({}).patterns is None
    assert Trust().allows("avabuild-jax")
    assert not Trust().names("avabuild-jax")


@pytest.mark.parametrize(
    "text", ["avabuild-jax,example-*", "avabuild_jax  example-*", "Avabuild.Jax , example-*"]
)
def test_a_list_of_names_and_patterns_allows_what_it_names(text):
    mine = trust({PLUGINS: text})
    assert [mine.allows(name) for name in ("avabuild-jax", "avabuild_jax", "Example-Policy", "avabuild-foo")] == [
        True, True, True, False,
    ]  # fmt: skip


def test_what_comes_with_avabuild_is_allowed_always_and_named_only_by_name():
    assert trust({PLUGINS: "avabuild-jax"}).allows("avabuild")
    assert not trust({PLUGINS: "avabuild-jax"}).names("avabuild")


def test_local_plugins_are_allowed_by_path_or_pattern():
    assert not trust({PLUGINS: "avabuild-jax"}).allows("./mine.py")
    assert trust({PLUGINS: "avabuild-jax *.py"}).allows("../plugins/mine.py")
    assert trust({PLUGINS: "./mine.py"}).allows("./mine.py")
    assert trust({PLUGINS: "/srv/mine.py"}).allows("/srv/mine.py")
    assert trust({PLUGINS: "/srv/plugins/*"}).allows("/srv/plugins/mine.py")
    assert not trust({PLUGINS: "/srv/plugins/*"}).allows("/home/me/mine.py")
    assert not trust({PLUGINS: "avabuild-*"}).allows("./avabuild-x.py")


@pytest.mark.parametrize(
    ("text", "path"), [("./a.py", True), ("../a", True), ("a.py", True), ("avabuild-a", False)]
)
def test_a_path_is_told_from_a_distribution(text, path):
    assert is_path(text) is path


def test_a_pattern_of_distributions_fits_no_path():
    assert matches("avabuild-jax", "*")
    assert not matches("./jax.py", "avabuild-*")


def test_a_distribution_whose_name_ends_in_py_is_no_file():
    """`discord.py` is one on PyPI: it is neither a local plugin nor among `*.py`."""
    mine = Provider("rules", "rules", "discord.py", "1.0", "policy")
    assert not mine.is_local
    assert Provider("rules", "rules_1", "./discord.py", "sha256:1", "policy").is_local
    assert not trust({PLUGINS: "*.py"}).allows("discord.py")
    assert not trust({PLUGINS: "*.py"}).allows("discord-py")
    assert not trust({PLUGINS: "./*"}).allows("discord.py")
    assert trust({PLUGINS: "discord.py"}).allows("Discord_py")
    assert trust({PLUGINS: "*.py discord*"}).names("discord.py")


def test_what_is_not_allowed_is_not_imported_and_the_error_says_who_decides():
    registry = Registry(
        [Provider("jax", "no_such_module", "avabuild-jax", "1.0")], Trust(("other",), PLUGINS)
    )
    with pytest.raises(PluginError) as caught:
        registry.framework("jax")
    assert str(caught.value) == (
        '"jax" is provided by avabuild-jax 1.0, which AVABUILD_PLUGINS does not allow\n'
        "  whoever runs this host may add avabuild-jax to AVABUILD_PLUGINS"
    )


def test_of_two_that_provide_one_name_the_only_one_that_is_allowed_counts():
    good, bad = Provider("jax", "a", "avabuild-jax", "1.0"), Provider("jax", "b", "squatter", "9.0")
    assert Registry([good, bad], Trust(("avabuild-*",), PLUGINS)).provider("jax") == good
    for trusted in (Trust(), Trust(("*",), PLUGINS), Trust(("other",), PLUGINS)):
        with pytest.raises(PluginError, match=r'"jax" is provided by avabuild-jax 1.0 and squatter 9.0'):
            Registry([good, bad], trusted).provider("jax")


def test_the_variable_comes_before_what_is_configured():
    configured = Settings(plugins=("avabuild-jax",), origins=(("plugins", "config.toml:3"),))
    said = settings_of({}, configured=configured)
    assert (said.plugins, said.origin("plugins")) == (("avabuild-jax",), "config.toml:3")
    said = settings_of({PLUGINS: "other"}, configured=configured)
    assert (said.plugins, said.origin("plugins")) == (("other",), "AVABUILD_PLUGINS")
