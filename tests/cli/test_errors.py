"""How failures are told: by class, with an exit code of its own, and no traceback."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from avabuild import cli
from avabuild.common import errors
from avabuild.common.errors import AvabuildError, Problem, RecipeError, StepError

KERAS = 'name = "mine"\n[frameworks]\nkeras = "*"\n'


EVERY = [cls for cls in vars(errors).values() if isinstance(cls, type) and issubclass(cls, AvabuildError)]
CLASSES = [cls for cls in EVERY if cls is not errors.JointError]  # which ends as its first error would


def failing(monkeypatch: pytest.MonkeyPatch, error: BaseException, *arguments: str) -> int:
    """Run the command line with a `plugins` command that fails; return the exit status."""

    def fail() -> None:
        raise error

    monkeypatch.setattr("avabuild.plugins.registry.installed", fail)
    monkeypatch.setattr("signal.signal", lambda *_: None)
    monkeypatch.setattr(sys, "argv", ["avabuild", "plugins", *arguments])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return int(ended.value.code or 0)


def test_every_class_of_error_has_an_exit_code_of_its_own():
    codes = [cls.exit_code for cls in CLASSES]
    assert len(codes) > 10
    assert len(set(codes)) == len(codes)
    assert not {0, cli.INTERRUPTED, cli.BUG} & set(codes)


def test_an_error_is_told_with_its_hint_and_its_code(monkeypatch, capsys):
    error = StepError("it failed", command="ls 'a b'", tail="last words", log="x.log", hint="look there")
    assert failing(monkeypatch, error) == 5
    assert capsys.readouterr().err == (
        "avabuild: it failed\n  command: ls 'a b'\n  | last words\n  full log: x.log\n  look there\n"
    )


def test_each_problem_of_a_recipe_has_a_line_of_its_own(monkeypatch, capsys):
    problems = (Problem("a.toml:1", "name", "is empty"), Problem("a.toml:7", "", "is wrong"))
    assert failing(monkeypatch, RecipeError(problems, hint="correct it")) == 2
    assert capsys.readouterr().err == (
        "avabuild: a.toml:1: name: is empty\navabuild: a.toml:7: is wrong\n  correct it\n"
    )


def test_a_bug_is_called_one(monkeypatch, capsys):
    assert failing(monkeypatch, ZeroDivisionError("no")) == cli.BUG
    said = capsys.readouterr().err
    assert said.startswith("avabuild: internal error: ZeroDivisionError: no\n")
    assert "--debug" in said


def test_an_error_of_the_system_names_the_file(monkeypatch, capsys):
    assert failing(monkeypatch, PermissionError(13, "Permission denied", "cache")) == 1
    assert capsys.readouterr().err == "avabuild: cache: Permission denied\n"


def test_ctrl_c_is_130(monkeypatch, capsys):
    assert failing(monkeypatch, KeyboardInterrupt()) == 130
    assert capsys.readouterr().err == "avabuild: stopped\n"


@pytest.mark.parametrize("place", [0, 1, 2])
def test_debug_shows_the_traceback_wherever_it_stands(avabuild, place):
    arguments = ["plan", "nothing.toml"]
    arguments.insert(place, "--debug")
    said = avabuild(*arguments)
    assert said.returncode == 1
    assert "Traceback" in said.stderr
    assert "there is no such file" in said.stderr


def test_debug_behind_two_dashes_is_not_avabuilds():
    assert cli.without_debug(["run", "--", "make", "--debug"]) == (["run", "--", "make", "--debug"], False)


@pytest.mark.parametrize("command", ["recipe", "plan"])
@pytest.mark.parametrize(
    ("text", "problems"),
    [
        (None, ["there is no such file"]),
        ("", ["name"]),
        ("name = ", ["a.toml:1: not valid TOML"]),
        ('name = "mine"\n[frameworks]\nkears = "*"\n',
         ['a.toml:3: frameworks.kears: no plugin provides "kears"; did you mean "keras"?']),
        ('name = "Mine"\n[frameworks]\nkeras = { bakend = "jax" }\n[matrix]\npython = 3.10\n',
         ["a.toml:1: name: ", "a.toml:3: frameworks.keras.bakend: ", "a.toml:5: matrix.python: needs"]),
    ],
)  # fmt: skip
def test_all_problems_of_a_recipe_are_told_at_once_and_nothing_is_built(
    avabuild, tmp_path, command, text, problems
):
    if text is not None:
        (tmp_path / "a.toml").write_text(text)
    said = avabuild(command, "a.toml")
    assert said.returncode == 2
    assert said.stdout == ""
    assert all(problem in said.stderr for problem in problems)
    assert all(line.startswith(("avabuild: ", "  ")) for line in said.stderr.splitlines())
    assert not (tmp_path / "a.lock").exists()
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("command", ["recipe", "plan"])
def test_a_directory_is_no_recipe(avabuild, tmp_path, command):
    (tmp_path / "mine.toml").write_text(KERAS)
    said = avabuild(command, ".")
    assert said.returncode == 2
    assert "is a directory" in said.stderr
    assert "mine.toml" in said.stderr


def test_a_missing_lock_is_fatal_when_only_the_lock_may_be_used(avabuild, tmp_path):
    (tmp_path / "a.toml").write_text(KERAS)
    said = avabuild("recipe", "a.toml", "--locked")
    assert (said.returncode, "a.lock does not exist" in said.stderr) == (8, True)


def test_an_index_that_is_down_is_75_and_leaves_nothing_half_done(avabuild, tmp_path):
    (tmp_path / "a.toml").write_text(KERAS)
    said = avabuild("plan", "a.toml")
    assert said.returncode == 75
    assert "index did not answer" in said.stderr
    assert not (tmp_path / "a.lock").exists()
    files = [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]
    assert {path.parent.name for path in files} <= {"locks", "leases"}


@pytest.mark.parametrize(
    ("python", "device", "frameworks", "words"),
    [
        ("3.11", "cuda9.1", 'tensorflow = "*"', "tensorflow: no release for python 3.11 with cuda 9.1; it offers cpu ("),
        ("3.13", "cpu", 'mxnet = "*"', "mxnet: no release for python 3.13 with cpu; it offers python ..., 3.6 ("),
        ("3.11", "cuda13.2", 'tensorflow = "*"\npytorch = "*"', "  pytorch has it (2.15); the nearest for both is cpu: "),
        ("3.11", "cpu", 'tensorflow = ">=2.18"\nmxnet = "*"',
         ("mxnet 1.9 and tensorflow 2.21 can't be in one image: mxnet needs numpy<1.24, tensorflow needs "
         "numpy>=1.26; the nearest that can: mxnet 1.9 with tensorflow 2.17")),
        ("3.11", "cpu", 'pytorch = { build = "debian", version = ">=2" }', "pytorch: no release within \">=2\" for python 3.11 with cpu; it offers python 3.13 ("),
    ],
)  # fmt: skip
def test_frameworks_that_a_target_cant_have_are_4_with_what_it_can(
    avabuild, tmp_path, python, device, frameworks, words
):
    suite = {"3.13": "trixie"}.get(python, "bookworm")
    (tmp_path / "a.toml").write_text(
        f'name = "mine"\nbase = {{ debian = "{suite}" }}\n[matrix]\npython = ["{python}"]\n'
        f'device = ["{device}"]\n[frameworks]\n{frameworks}\n'
    )
    said = avabuild("plan", "a.toml")
    assert said.returncode == 4
    assert said.stdout == ""
    assert words in said.stderr


@pytest.fixture
def pulled(tmp_path: Path) -> str:
    """A recipe on an image that only skopeo can bring."""
    (tmp_path / "a.toml").write_text('name = "mine"\nbase = { image = "example.invalid/base:1" }\n')
    return "a.toml"


def test_a_missing_skopeo_is_6_and_told_how_to_install(avabuild, tmp_path, pulled):
    said = avabuild("recipe", pulled, PATH=str(tmp_path))
    assert said.returncode == 6
    assert "skopeo is not on PATH" in said.stderr
    assert "apt-get install skopeo" in said.stderr


def test_a_missing_buildah_is_6_with_all_that_needs_it_and_told_how_to_install(avabuild, tmp_path):
    (tmp_path / "a.toml").write_text('name = "mine"\nbase = "scratch"\n[[run]]\nshell = "true"\n')
    said = avabuild("recipe", "a.toml", PATH=str(tmp_path))
    assert said.returncode == 6
    assert "apt-get install buildah" in said.stderr
    assert "its command runs" in said.stderr
    assert "local storage: the image is put there; --output oci:DIR needs none" in said.stderr


def test_a_buildah_that_is_too_old_is_6_with_both_versions(avabuild, tmp_path, pulled):
    fake = tmp_path / "buildah"
    fake.write_text("#!/bin/sh\necho 'buildah version 1.23.1 (image-spec 1.0.1)'\n")
    fake.chmod(0o755)
    said = avabuild("recipe", pulled, PATH=f"{tmp_path}:/usr/bin:/bin")
    assert said.returncode == 6
    assert "1.23.1" in said.stderr
    assert "1.28" in said.stderr


def test_an_error_is_an_event_for_those_who_watch_by_json(avabuild, tmp_path, pulled):
    said = avabuild("recipe", pulled, "--json", PATH=str(tmp_path))
    assert '"event": "error", "class": "HostError", "exit_code": 6' in said.stdout.splitlines()[-1]
    assert said.stderr.startswith("avabuild: skopeo")


def test_a_build_that_is_stopped_says_what_is_kept(monkeypatch, capsys):
    monkeypatch.setattr("avabuild.cli.app.app", lambda **_: cli.INTERRUPTED)
    monkeypatch.setattr("signal.signal", lambda *_: None)
    monkeypatch.setattr(sys, "argv", ["avabuild", "recipe", "x.toml"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 130
    assert capsys.readouterr().err == (
        "avabuild: stopped; finished images, layers and downloads are kept, and the next run goes on from there\n"
    )
