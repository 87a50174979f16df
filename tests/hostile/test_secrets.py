"""A step's secrets are in memory alone: a build that is killed in the middle of a step leaves none on a disk."""

from __future__ import annotations

import secrets
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ..builds.tiny import write_tiny
from ..builds.user import User

pytestmark = pytest.mark.build

RECIPE = """
name = "ava-test-secret"
base = {{ archive = "tiny.tar" }}

[[run]]
shell = 'cat /run/avabuild/env >/dev/null; test -n "$TOKEN"; touch /here/began; sleep 600'
secrets = ["TOKEN"]
mounts = [{{ source = "./here", target = "/here", writable = true }}]
"""


@pytest.fixture(params=["root", "ranged", "bare"])
def whose(
    request: pytest.FixtureRequest, make_user: Callable[[str, bool], User], tmp_path: Path
) -> Iterator[User]:
    """Root, a user with a range of ids and one without, with a tiny base and all that is written at home."""
    kind = str(request.param)
    user = request.getfixturevalue("root") if kind == "root" else make_user(f"secret{kind}", kind == "ranged")
    user.home, user.cache = tmp_path, tmp_path / "cache"
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    user.env |= {"HOME": str(tmp_path), "TMPDIR": str(temporary), "AVABUILD_ROOT": str(tmp_path / "images")}
    (tmp_path / "here").mkdir()
    write_tiny(tmp_path / "tiny.tar")
    if kind != "root":
        subprocess.run(["chown", "-R", f"{user.name}:", str(tmp_path)], check=True)
    yield user
    user.avabuild("prune")
    user.clear_images(tmp_path)


@pytest.mark.parametrize("runner", ["own", "buildah"])
def test_a_build_killed_in_the_middle_of_a_step_leaves_its_secret_nowhere(whose: User, runner: str) -> None:
    canary = secrets.token_hex(20)
    whose.env |= {"TOKEN": canary, "AVABUILD_RUNNER": runner}
    here = whose.home / "here"
    recipe = whose.recipe(RECIPE.format())
    build = whose.start("recipe", str(recipe), "--output", f"oci:{whose.home}/out")
    try:
        for _ in range(1200):
            if (here / "began").exists() or build.poll() is not None:
                break
            time.sleep(0.1)
        assert build.poll() is None, build.communicate()[1]
        build.send_signal(signal.SIGKILL)
    finally:
        build.kill()
        build.communicate()
    found = subprocess.run(
        ["grep", "-rlaF", "--devices=skip", canary, str(whose.home)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.stdout == ""
    assert found.returncode == 1, found.stderr
    assert list((whose.cache / "tmp").iterdir()), "there was something to look into"
