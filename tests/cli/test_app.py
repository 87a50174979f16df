"""What holds for every command: help, version, completion, usage errors, and what is imported for them."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys

import pytest

from avabuild import __version__
from avabuild.cli import with_default_upgrade

from .conftest import COMMAND

HEAVY = ("pluggy", "sh", "httpx", "rich", "avabuild_plugins", "avabuild.run.recipe_run")
COMMANDS = ("recipe", "plan", "schema", "plugins")


def test_help_names_every_command(avabuild):
    said = avabuild("--help")
    assert said.returncode == 0
    assert all(command in said.stdout for command in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_a_command_has_an_example(avabuild, command):
    said = avabuild(command, "--help")
    assert said.returncode == 0
    assert f"Example: avabuild {command}" in said.stdout


def imported(arguments: list[str], names: tuple[str, ...]) -> list[str]:
    """Run the command line; return those of `names` that it imported."""
    program = f"""
import sys
sys.argv = ["avabuild", *{arguments!r}]
from avabuild.cli import main
try:
    main()
finally:
    print(*(name for name in {names!r} if name in sys.modules), file=sys.stderr)
"""
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    return ran.stderr.splitlines()[-1].split()


@pytest.mark.parametrize("arguments", [["--help"], ["--version"]])
def test_help_imports_nothing_heavy(arguments):
    assert imported(arguments, ("pydantic", *HEAVY)) == []


# typer itself takes pydantic to read a command's options: 30 ms that are not ours to save.
@pytest.mark.parametrize("arguments", [["recipe", "--help"], ["recipe"], ["frobnicate"]])
def test_a_command_s_help_and_usage_errors_import_none_of_the_engine(arguments):
    assert imported(arguments, HEAVY) == []


def test_a_plan_speaks_to_no_registry_and_loads_no_client_for_one(tmp_path, monkeypatch):
    monkeypatch.setenv("AVABUILD_CACHE", str(tmp_path / "cache"))
    recipe = tmp_path / "mine.toml"
    recipe.write_text('name = "mine"\nbase = "scratch"\n[image]\nenv = { A = "b" }\n')
    assert imported(["plan", str(recipe)], ("avabuild.run.recipe_run", "httpx")) == [
        "avabuild.run.recipe_run"
    ]


def test_version_is_the_package_s(avabuild):
    said = avabuild("--version")
    assert (said.returncode, said.stdout) == (0, f"avabuild {__version__}\n")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_shown_for_the_shell_that_asks(tmp_path, shell):
    """Whoever started the tests need not be a shell: typer looks for one among the processes above."""
    (tmp_path / shell).symlink_to(shutil.which("bash"))
    asked = [tmp_path / shell, "-c", f"{shlex.quote(str(COMMAND))} --show-completion; exit $?"]
    said = subprocess.run(asked, capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stderr
    assert f"complete_{shell}" in said.stdout


def test_completion_knows_the_commands(avabuild):
    said = avabuild(_AVABUILD_COMPLETE="complete_bash", COMP_WORDS="avabuild pl", COMP_CWORD="1")
    assert said.stdout.split() == ["plan", "plugins"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "Usage: avabuild"),
        (["frobnicate"], "frobnicate"),
        (["recipe"], "RECIPE.toml"),
        (["plan"], "RECIPE.toml"),
        (["recipe", "a.toml", "--frobnicate"], "--frobnicate"),
        (["recipe", "a.toml", "--output", "images"], "oci:DIR"),
        (["recipe", "a.toml", "--output", ""], "oci:DIR"),
        (["recipe", "a.toml", "--locked", "--upgrade"], "--locked"),
        (["recipe", "a.toml", "b.toml"], "b.toml"),
    ],
)
def test_wrong_usage_is_said_without_a_traceback(avabuild, arguments, words):
    said = avabuild(*arguments)
    assert said.returncode == 2
    assert words in said.stderr
    assert "Traceback" not in said.stderr


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        (["recipe", "a.toml", "--upgrade"], ["recipe", "a.toml", "--upgrade=*"]),
        (["recipe", "--upgrade", "a.toml"], ["recipe", "--upgrade=*", "a.toml"]),
        (["recipe", "a.toml", "--upgrade", "--json"], ["recipe", "a.toml", "--upgrade=*", "--json"]),
        (["recipe", "a.toml", "--upgrade", "keras"], ["recipe", "a.toml", "--upgrade", "keras"]),
        (["recipe", "a.toml", "--upgrade=keras"], ["recipe", "a.toml", "--upgrade=keras"]),
    ],
)
def test_upgrade_without_a_name_means_everything(given, meant):
    assert with_default_upgrade(given) == meant


def test_a_reader_that_goes_away_is_no_error_to_talk_of(environment, tmp_path):
    command = [sys.executable, "-c", "from avabuild.cli import main; main()", "schema"]
    with subprocess.Popen(
        command, env=environment, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        assert process.stderr
        process.stdout.close()
        assert process.stderr.read() == ""
