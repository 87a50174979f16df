"""A user who can open no user namespace, with neither buildah nor skopeo: layers of files, and layers made elsewhere."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from .test_sharing import write_base
from .tiny import write_tiny
from .user import Outcome, program

if TYPE_CHECKING:
    from collections.abc import Callable

    from .user import User

pytestmark = pytest.mark.build

FILES = """
    name = "ava-test-none"
    base = { archive = "base.tar" }
    [packages]
    pip = ["six"]
    [[files]]
    source = "motd"
    target = "/etc/motd"
"""
EXEC = """
    name = "ava-test-exec"
    base = { archive = "tiny.tar" }
    [[run]]
    shell = "echo made > /made"
    [[files]]
    source = "motd"
    target = "/etc/motd"
    [[run]]
    shell = "echo again > /again"
"""
LIMIT = Path("/proc/sys/user/max_user_namespaces")


@pytest.fixture(scope="module")
def confined(make_user: Callable[[str, bool], User]) -> User:
    """A user whose PATH has neither buildah nor skopeo."""
    user = make_user("avatestnone", False)
    path = user.home / "bin"
    path.mkdir()
    tools = {tool.name: tool for top in ("/usr/sbin", "/usr/bin") for tool in Path(top).iterdir()}
    for name in tools.keys() - {"buildah", "skopeo", "podman", "fakechroot"}:
        (path / name).symlink_to(tools[name])
    user.env = {**user.env, "PATH": str(path)}
    write_base(user.home / "base.tar")
    write_tiny(user.home / "tiny.tar")
    user.recipe("hello", "motd")
    return user


def run(user: User, *argv: str, **env: str) -> Outcome:
    """Run avabuild where the limit of user namespaces is 0; the machine's own is as it was afterwards."""
    before = LIMIT.read_text()
    uid = str(pwd.getpwnam(user.name).pw_uid)
    command = [sys.executable, str(Path(__file__).with_name("without_namespaces.py")), uid]
    _, environ = user.command()
    done = subprocess.run(
        [*command, *program(), *argv],
        cwd=user.home,
        env={**environ, **env},
        capture_output=True,
        text=True,
        check=False,
    )
    assert LIMIT.read_text() == before
    return Outcome(done.returncode, done.stdout, done.stderr)


@pytest.mark.parametrize("kind", ["oci", "oci-archive", "docker-archive"])
def test_layers_of_files_are_built_with_no_tool_at_all(confined: User, kind: str) -> None:
    confined.recipe(FILES, "files.toml")
    outcome = run(confined, "recipe", "files.toml", "--output", f"{kind}:{kind}", "--json")
    assert outcome.code == 0, outcome.err + outcome.out
    name = {"oci": "oci:py311-cpu", "oci-archive": "oci-archive:py311-cpu"}.get(kind, kind)
    said = subprocess.run(
        ["skopeo", "inspect", "--config", f"{kind}:{confined.home}/{name}"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert said.returncode == 0, said.stderr
    assert "org.avabuild.target" in said.stdout
    target = f"dir:{confined.home}/read-{kind}"
    copied = subprocess.run(
        ["skopeo", "copy", "--insecure-policy", f"{kind}:{confined.home}/{name}", target], check=False
    )
    assert copied.returncode == 0


def test_what_needs_a_container_is_told_at_once_and_before_any_work(confined: User) -> None:
    confined.recipe(EXEC, "told.toml")
    confined.recipe(FILES, "files.toml")
    confined.cache = confined.home / "other-cache"
    outcome = run(confined, "recipe", "told.toml", "files.toml", "--json")
    assert outcome.code == 6, outcome.err
    (told,) = [event for event in outcome.events if event["event"] == "error"]
    assert (told["class"], told["exit_code"]) == ("HostError", 6)
    assert "Traceback" not in outcome.err
    told = [line.strip() for line in outcome.err.splitlines() if ": its command runs" in line]
    assert len(told) == 2
    assert outcome.err.count("--output oci:DIR needs none") == 2
    assert "user.max_user_namespaces" in outcome.err
    assert "AVABUILD_SHARED_CACHE" in outcome.err
    assert not (confined.home / "told.lock").exists()
    assert list((confined.cache / "index").glob("layer/*")) == []


def test_layers_that_were_made_elsewhere_count(confined: User, root: User) -> None:
    lab = confined.home.parent / "made-elsewhere"
    root.cache = lab
    for name in ("tiny.tar", "motd"):
        shutil.copy(confined.home / name, root.home / name)
    made = root.avabuild("recipe", root.recipe(EXEC, "exec.toml"), "--output", "oci:image", "--json")
    assert made.code == 0, made.err
    confined.recipe(EXEC, "exec.toml")
    confined.cache = confined.home / "third-cache"
    wanted = ("recipe", "exec.toml", "--output", "oci:there", "--json")
    outcome = run(confined, *wanted, AVABUILD_SHARED_CACHE=str(lab))
    assert outcome.code == 0, outcome.err
    assert outcome.image["made"] == []
    assert outcome.image["digest"] == made.image["digest"]
    os.chown(lab, 65534, 65534)  # whom nobody trusts
    confined.cache = confined.home / "fourth-cache"
    outcome = run(
        confined, "recipe", "exec.toml", "--output", "oci:untrusted", AVABUILD_SHARED_CACHE=str(lab)
    )
    assert outcome.code == 6, outcome.err
