import os
import subprocess
from pathlib import Path

import pytest

from avabuild.common.errors import DiskFullError, HostError, ResolveError, StoreError, UnavailableError
from avabuild.resolve.indexes import Indexes
from avabuild.resolve.platforms import Platform
from avabuild.resolve.uv import (
    Command,
    NeedsBuild,
    Outcome,
    Unsolvable,
    compile_argv,
    failure,
    find_uv,
    run_here,
)

PLATFORM = Platform("3.11", "x86_64", "2.36")


def argv(**options):
    return compile_argv(
        Path("/uv"), Path("/py"), PLATFORM, [Path("/w/all.in")], Path("/w/pylock.all.toml"), **options
    )


def test_the_command_names_the_target_and_forbids_foreign_code():
    assert " ".join(argv()) == (
        "/uv pip compile /w/all.in --output-file /w/pylock.all.toml --format pylock.toml --no-annotate"
        " --python /py --python-version 3.11 --python-platform x86_64-manylinux_2_36"
        " --no-header --no-progress --color never --no-config --no-build"
    )


def test_who_needs_a_package_is_told_in_a_requirements_file():
    said = " ".join(argv(annotated=True))
    assert "--format requirements.txt --annotation-style line" in said
    assert "--no-annotate" not in said


@pytest.mark.parametrize(
    ("options", "ending"),
    [
        ({"build": True}, ("--no-config", "--no-build-isolation")),
        ({"dependencies": False}, ("--no-config", "--no-build-isolation", "--no-deps")),
        ({"metadata": Path("/w/m")}, ("--config-file", "/w/m", "--no-build")),
        ({"constraints": Path("/w/c")}, ("--constraints", "/w/c", "--no-build")),
        ({"no_index": True, "offline": True}, ("--no-build", "--no-index", "--offline")),
        ({"refresh": ("a", "b")}, ("--refresh-package", "a", "--refresh-package", "b")),
        ({"refresh": ("*", "b")}, ("--no-build", "--refresh")),
    ],
)
def test_each_option_is_said_in_uvs_words(options, ending):
    assert argv(**options)[-len(ending) :] == ending


@pytest.mark.parametrize(
    ("stderr", "kind", "words"),
    [
        ("error: No solution found\n  cause: Because a and b\n", Unsolvable, "Because a and b"),
        (
            "error: Request failed after 3 retries\n  cause: tcp connect error\n",
            UnavailableError,
            "tcp connect",
        ),
        ("error: x\n  cause: HTTP status server error (503 Service Unavailable)\n", UnavailableError, "503"),
        ("error: x\n  cause: HTTP status client error (404 Not Found) for url\n", ResolveError, "404"),
        ("error: fatal: unable to access: Could not resolve host: h\n", UnavailableError, "resolve host"),
        ("hint: Packages were unavailable because the network was disabled.\n", UnavailableError, "disabled"),
        ("error: failed to write: No space left on device (os error 28)\n", DiskFullError, "No space"),
        ("", ResolveError, "no reason"),
    ],
)
def test_failures_are_told_apart_and_keep_uvs_words(stderr, kind, words):
    error = failure(Outcome(1, stderr), Indexes())
    assert type(error) is kind
    assert words in str(error)


def test_a_certificate_that_is_not_trusted_leads_to_the_bundle():
    stderr = "error: x\n  cause: error sending request\n  cause: invalid peer certificate: UnknownIssuer\n"
    error = failure(Outcome(2, stderr), Indexes(ca_bundle=Path("/etc/own.pem")))
    assert isinstance(error, UnavailableError)
    assert "SSL_CERT_FILE" in error.hint
    assert "/etc/own.pem" in error.hint


def test_sdists_that_must_be_built_are_named():
    stderr = (
        "error: No solution found\n"
        "hint: Wheels are required for `b` because building from source is disabled for all packages\n"
        "hint: Wheels are required for `a` because building from source is disabled for all packages\n"
    )
    error = failure(Outcome(1, stderr), Indexes())
    assert isinstance(error, NeedsBuild)
    assert error.names == ("a", "b")
    unnamed = failure(Outcome(1, "error: Building source distributions is disabled\n"), Indexes())
    assert isinstance(unnamed, NeedsBuild)
    assert unnamed.names == ()


def test_warnings_and_credentials_are_left_out_of_the_explanation():
    stderr = "warning: noise\nerror: Failed to fetch https://me:secret@example.invalid/a\n"
    error = failure(Outcome(1, stderr), Indexes())
    assert "noise" not in str(error)
    assert "secret" not in str(error)
    assert "example.invalid" in str(error)


def test_a_command_does_not_show_its_environment():
    command = Command(("uv", "pip"), (("UV_DEFAULT_INDEX", "https://me:secret@example.invalid"),), Path("/w"))
    assert "secret" not in repr(command)


def test_the_hosts_own_index_variables_do_not_come_in_by_the_side(tmp_path, monkeypatch):
    monkeypatch.setenv("UV_EXTRA_INDEX_URL", "https://other.example.invalid")
    shell = 'echo "[$UV_EXTRA_INDEX_URL][$UV_INDEX]" >&2; exit 3'
    outcome = run_here(Command(("sh", "-c", shell), (("UV_INDEX", "given"),), tmp_path))
    assert outcome == Outcome(3, "[][given]\n")


def test_a_home_that_cant_be_written_has_uvs_cache_in_ours(tmp_path, monkeypatch):
    def said():
        shell = 'echo "[$UV_CACHE_DIR]" >&2'
        return run_here(Command(("sh", "-c", shell), (), tmp_path)).stderr.strip()

    for name in ("UV_CACHE_DIR", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AVABUILD_CACHE", str(tmp_path / "ours"))
    monkeypatch.setenv("HOME", str(tmp_path))
    assert said() == "[]"
    (tmp_path / "file").touch()
    monkeypatch.setenv("HOME", str(tmp_path / "file"))
    assert said() == f"[{tmp_path}/ours/uv-cache]"
    monkeypatch.setenv("UV_CACHE_DIR", "/mine")
    assert said() == "[/mine]"


def test_a_binary_that_cannot_be_started_is_the_hosts_trouble(tmp_path):
    with pytest.raises(HostError, match="can't be started"):
        run_here(Command((str(tmp_path / "uv"),), (), tmp_path))


@pytest.mark.parametrize(
    "why", ["Failed to connect to h port 443", "could not read Username", "Repository not found"]
)
def test_a_git_host_that_fails_is_no_index(why):
    stderr = f"error: Failed to download\n  cause: Git operation failed\n  cause: fatal: {why}: timed out\n"
    error = failure(Outcome(2, stderr), Indexes())
    assert isinstance(error, UnavailableError)
    assert "a git repository can't be fetched" in error.message
    assert "index" not in f"{error.message} {error.hint}"


@pytest.mark.parametrize("kind", ["*.rkyv", "*.msgpack", ".git"])
def test_a_damaged_cache_of_uv_is_told_as_that_with_the_file_and_the_remedy(tmp_path, index, kind):
    index.wheel("demo", "1.0")
    cache, asked = tmp_path / "cache", tmp_path / "asked.in"
    asked.write_text("demo\n")
    environ = {**os.environ, "UV_CACHE_DIR": str(cache), "UV_INDEX_URL": index.url}
    argv = [str(find_uv()), "pip", "compile", asked, "--quiet", "--refresh", "--python-version", "3.11"]
    subprocess.run(argv, env=environ, check=True, capture_output=True)
    path = next(iter(cache.rglob(kind)))
    path.unlink()
    path.mkdir()
    done = subprocess.run(argv, env=environ, check=False, capture_output=True, text=True)
    error = failure(Outcome(done.returncode, done.stderr), Indexes())
    assert isinstance(error, StoreError)
    assert str(path) in error.message
    assert "uv cache clean" in error.hint
