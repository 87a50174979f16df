"""The number of the contract: stated by plugins, read before they are imported; and what is to go."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import types
import warnings

import pluggy
import pytest

from avabuild import __version__
from avabuild.common.errors import PluginError
from avabuild.plugins import hookspecs
from avabuild.plugins.contract import CONTRACT, Deprecation, source_of, stated
from avabuild.plugins.registry import Provider, load


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("", 1),
        ("import x\nAVABUILD_CONTRACT = 2\n", 2),
        ("AVABUILD_CONTRACT: int = 3  # since then", 3),
        ("AVABUILD_CONTRACT: Final=12", 12),
        ("# AVABUILD_CONTRACT = 2", 1),
        ("    AVABUILD_CONTRACT = 2", 1),
        ("OTHER_AVABUILD_CONTRACT = 2", 1),
    ],
)
def test_a_module_states_its_contract_on_a_line_of_its_own(text, number):
    assert stated(text) == number


@pytest.mark.parametrize("value", ['"7"', "1 + 1", "CONTRACT", "0", "-1", "1.0", "1; x = 2", ""])
def test_a_contract_that_is_not_written_out_as_a_number_is_an_error_and_not_contract_1(value):
    with pytest.raises(ValueError, match="AVABUILD_CONTRACT must be a number that is written out"):
        stated(f"import x\nAVABUILD_CONTRACT = {value}  # later\n")


def test_a_comparison_of_the_name_states_nothing():
    assert stated("AVABUILD_CONTRACT == 7\n") == 1


def test_the_file_of_a_module_is_found_without_importing_it():
    program = (
        "import sys; from avabuild.plugins.contract import source_of;"
        "print(source_of('avabuild_plugins.keras').name, source_of('avabuild_plugins.cuda').parent.name,"
        "source_of('avabuild_plugins.keras:x').name, 'avabuild_plugins' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["keras.py", "cuda", "keras.py", "False"]


@pytest.mark.parametrize(
    "name", ["no_such_module", "avabuild_plugins.no_such", "json.no.such", "math", "sys"]
)
def test_a_module_without_a_text_has_no_file(name):
    assert source_of(name) is None


@pytest.fixture
def newer(tmp_path, monkeypatch) -> Provider:
    """A plugin of the next contract, which would fail here if it were imported."""
    (tmp_path / "fake_newer").mkdir()
    (tmp_path / "fake_newer" / "__init__.py").write_text("1 / 0\n")
    (tmp_path / "fake_newer" / "part.py").write_text(
        f"AVABUILD_CONTRACT = {CONTRACT + 1}\nfrom avabuild.api import WhatIsNotThereYet\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    return Provider("newer", "fake_newer.part", "avabuild-newer", "3.0")


def test_a_plugin_of_a_later_contract_is_refused_before_it_is_imported_with_both_versions(newer):
    with pytest.raises(PluginError) as caught:
        load(["newer"], [newer])
    assert str(caught.value) == (
        f"newer (avabuild-newer 3.0) is written for contract {CONTRACT + 1}, "
        f"and this avabuild ({__version__}) has {CONTRACT}\n"
        "  upgrade avabuild, or take an older avabuild-newer"
    )
    assert not [name for name in sys.modules if name.startswith("fake_newer")]


def test_a_hook_that_is_to_go_warns_with_the_release_that_removes_it(monkeypatch):
    gone = Deprecation("the hook avabuild_images", removed_in="0.9", instead="implement avabuild_frameworks")

    def avabuild_images():
        """An old hook."""

    def nothing():
        return []

    monkeypatch.setattr(
        hookspecs,
        "avabuild_images",
        pluggy.HookspecMarker("avabuild")(warn_on_impl=gone)(avabuild_images),
        raising=False,
    )
    module = types.ModuleType("fake_old")
    module.avabuild_images = hookspecs.hookimpl(nothing)
    monkeypatch.setitem(sys.modules, "fake_old", module)
    with (
        pytest.warns(Deprecation, match=r"^the hook avabuild_images goes away in avabuild 0.9: implement"),
        pytest.raises(PluginError, match="declares no framework"),
    ):
        load(["old"], [Provider("old", "fake_old", "avabuild-old", "1.0")])


def test_the_command_line_shows_what_goes_away_with_file_and_line_and_stays_quiet_of_other_warnings(tmp_path):
    program = textwrap.dedent("""
        import sys, warnings
        import typer
        from avabuild.cli import app, main
        from avabuild.plugins.contract import Deprecation

        def act() -> None:
            warnings.warn(Deprecation("Release.note", removed_in="0.9", instead="write summary"))
            warnings.warn("of somebody else", DeprecationWarning, stacklevel=3)

        app.app.command()(act)
        sys.argv = ["avabuild", "act"]
        main()
    """)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stderr == (
        "avabuild: warning: <string>:8: Release.note goes away in avabuild 0.9: write summary\n"
    )


def test_what_goes_away_is_an_ordinary_warning_that_a_plugins_own_tests_can_refuse():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(DeprecationWarning):
            warnings.warn(Deprecation("a", removed_in="1", instead="b"), stacklevel=1)
