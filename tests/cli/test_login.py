"""`avabuild login` and `logout`, against a real registry."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

COMMAND = Path(sys.executable).with_name("avabuild")


@pytest.fixture
def run(environment, distribution, tmp_path) -> Any:
    """Return a function that runs a command with a text for its standard input."""
    settings = {
        "SSL_CERT_FILE": str(distribution.keys / "ca.crt"),
        "REGISTRY_AUTH_FILE": str(tmp_path / "auth.json"),
    }

    def call(*arguments: str, given: str = "", **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [COMMAND, *arguments], input=given, env={**environment, **settings, **variables},
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip

    return call


def test_a_password_that_the_registry_takes_is_kept(run, distribution, tmp_path):
    done = run("login", distribution.host, "-u", "ava", "--password-stdin", given="correct horse\n")
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert f"logged in to {distribution.host} as ava" in done.stderr
    assert "horse" not in done.stderr
    assert list(json.loads((tmp_path / "auth.json").read_text())["auths"]) == [distribution.host]
    assert (tmp_path / "auth.json").stat().st_mode & 0o777 == 0o600


def test_a_password_that_it_does_not_take_is_not(run, distribution, tmp_path):
    done = run("login", f"https://{distribution.host}/", "-u", "ava", "--password-stdin", given="secret word")
    assert (done.returncode, done.stdout) == (77, "")
    assert f"{distribution.host} doesn't accept the password of ava" in done.stderr
    assert "secret word" not in done.stderr
    assert not (tmp_path / "auth.json").exists()


def test_a_logout_forgets_it(run, distribution, tmp_path):
    run("login", distribution.host, "-u", "ava", "--password-stdin", given="correct horse")
    done = run("logout", distribution.host)
    assert (done.returncode, done.stderr) == (0, f"logged out of {distribution.host}\n")
    assert json.loads((tmp_path / "auth.json").read_text())["auths"] == {}
    assert "there was no login" in run("logout", distribution.host).stderr


def test_nobody_is_asked_where_there_is_no_terminal(run, distribution):
    done = run("login", distribution.host, "-u", "ava")
    assert (done.returncode, "--password-stdin" in done.stderr) == (2, True)
    done = run("login", distribution.host, "--password-stdin", given="x")
    assert (done.returncode, "--username" in done.stderr) == (2, True)


def test_a_registry_that_does_not_answer_is_said_soon(run):
    done = run("login", "127.0.0.1:9", "-u", "ava", "--password-stdin", given="x")
    assert (done.returncode, "127.0.0.1:9 doesn't answer" in done.stderr) == (75, True)


def test_what_is_no_registry_is_refused(run):
    done = run("login", "ava-public", "-u", "ava", "--password-stdin", given="x")
    assert (done.returncode, "is no registry" in done.stderr) == (2, True)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--push", "ava-public"], "names no registry"),
        (["--push", "registry.example.com/ns:tag"], "has a tag"),
        (["--cache", "registry.example.com/Ns"], "is no repository"),
        (["--force"], "give --push too"),
    ],
)
def test_where_to_push_is_read_before_anything_is_done(run, tmp_path, options, words):
    (tmp_path / "mine.toml").write_text('name = "mine"\nbase = "scratch"\n')
    done = run("recipe", str(tmp_path / "mine.toml"), *options)
    assert done.returncode == 2
    assert words in " ".join(done.stderr.replace("│", " ").split())


def test_a_run_that_may_not_push_ends_before_its_base_is_asked_for(run, distribution, tmp_path):
    recipe = tmp_path / "mine.toml"
    recipe.write_text('name = "mine"\nbase = { image = "127.0.0.1:9/base:1" }\n')
    done = run("recipe", str(recipe), "--push", f"{distribution.host}/ns")
    assert (done.returncode, f"{distribution.host} wants a login" in done.stderr) == (77, True), done.stderr
