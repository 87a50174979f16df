"""Builds that are killed, interrupted or crowded, and disks that fill: nothing is left, and the next build succeeds."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .user import User

pytestmark = pytest.mark.build

RECIPE = """
    name = "ava-test-crash"
    base = { debian = "bookworm" }
    [packages]
    pip = ["six"]
    apt = ["tree"]
    [[run]]
    shell = "sleep 1; echo done > /done"
"""
# Ten points of a build, in their order: what an event's step begins with.
POINTS = (
    "resolve Python packages",
    "six-",  # its download
    "layer wheels of pip",
    "apt: frameworks",
    "compile pip",
    "layer bytecode of pip",
    "apt: packages",
    "run 1 (last)",
    "linkage",
    "import the image",
)


def layers_made(user: User) -> set[str]:
    """Return the keys of the layers that a user's store knows."""
    index = user.cache / "index" / "layer"
    return {path.name for path in index.iterdir()} if index.exists() else set()


def forget_layers(user: User, but: set[str]) -> None:
    """Have other layers made again, and what they are made of, so that a build comes to each of its points."""
    for key in layers_made(user) - but:
        (user.cache / "index" / "layer" / key).unlink()
    shutil.rmtree(user.cache / "pyc", ignore_errors=True)


def start_until(user: User, recipe: Path, point: str) -> subprocess.Popen[str]:
    """Start a build and return when it tells of a step that begins with `point`."""
    process = user.start("recipe", str(recipe), "--json")
    assert process.stdout
    for line in process.stdout:
        if json.loads(line).get("step", "").startswith(point):
            time.sleep(0.1)  # into it
            return process
    raise AssertionError(f"the build never came to {point}: {process.communicate()[1]}")


def processes(user: User) -> list[str]:
    """Return the command lines of what runs as the user; the kernel needs a moment for what was killed."""
    for _ in range(200):
        listed = ["ps", "-u", user.name, "-o", "stat=,args="]
        found = subprocess.run(listed, capture_output=True, text=True, check=False).stdout.splitlines()
        alive = [line for line in found if not line.startswith("Z")]  # whose parent has not asked yet
        if not alive:
            break
        time.sleep(0.1)
    return alive


def mounts(user: User) -> list[str]:
    """Return the mounts of the host below the user's directories."""
    table = Path("/proc/self/mounts").read_text()
    return [line for line in table.splitlines() if str(user.home) in line]


def test_a_build_that_is_killed_at_ten_points_is_followed_by_a_good_one(own: User) -> None:
    recipe = own.recipe(RECIPE)
    shutil.rmtree(own.cache / "wheels", ignore_errors=True)
    before, made = mounts(own), set[str]()
    for point in POINTS:
        forget_layers(own, made)
        process = start_until(own, recipe, point)
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=60)
        assert processes(own) == [], f"killed at {point}"
        assert mounts(own) == before
        if point == "compile pip":
            made = layers_made(own)  # Python's packages, which take longest, are among them
    outcome = own.avabuild("recipe", recipe, "--json")
    assert outcome.code == 0, outcome.err
    said = own.inside(str(outcome.image["reference"]), "cat /done; python -c 'import six'; tree --version")
    assert said.startswith("done\ntree v2")
    assert own.leftovers() == []
    assert "nothing to do" in own.avabuild("recipe", recipe).err


@pytest.mark.one_builder
def test_an_interrupt_in_any_phase_stops_cleanly(own: User) -> None:
    recipe = own.recipe(RECIPE.replace("sleep 1;", "sleep 60;"))
    shutil.rmtree(own.cache / "wheels", ignore_errors=True)
    for point in ("resolve Python packages", "six-", "apt: frameworks", "apt: packages", "run 1 (last)"):
        process = start_until(own, recipe, point)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
        assert process.returncode == 130, (point, err)
        assert "Traceback" not in err
        assert processes(own) == [], f"interrupted at {point}"
        assert own.leftovers() == []


def test_three_builds_of_two_users_at_once_all_succeed(
    make_user: Callable[[str, bool], User], bases: Callable[..., str], tmp_path: Path
) -> None:
    other = RECIPE.replace("ava-test-crash", "ava-test-crowd").replace('"tree"', '"hello"')
    users = [make_user("avatestranged", True), make_user("avatestbare", False)]
    for user in users:
        user.home = tmp_path / user.name
        user.home.mkdir()
        user.own(user.home)
        user.env["HOME"], user.cache = str(user.home), Path(bases("bookworm"))
        user.empty_cache(user.home / "store", ("blobs", "index/base", "index/base-name", "index/base-of"))
    ranged, bare = users
    started = [
        (ranged, ranged.start("recipe", str(ranged.recipe(RECIPE)), "--json")),
        (ranged, ranged.start("recipe", str(ranged.recipe(other, "other.toml")), "--json")),
        (bare, bare.start("recipe", str(bare.recipe(RECIPE)), "--json")),
    ]
    digests = []
    for _, process in started:
        out, err = process.communicate(timeout=300)
        assert process.returncode == 0, err
        digests.append(json.loads(out.splitlines()[-1])["digest"])
    assert len(set(digests)) == 3, "who has one id makes other layers, and says so in the image"
    for user in users:
        assert user.leftovers() == []
        user.clear_images(user.home)


@contextmanager
def disk(place: Path, user: User, size: str) -> Iterator[Path]:
    """A disk of the user's own of `size`, which may be given more room."""
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)], check=True)
    try:
        user.own(place)
        place.chmod(0o700)
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


@pytest.mark.one_builder
def test_an_image_storage_without_room_is_named_and_the_same_build_succeeds_with_more(
    own: User, tmp_path: Path
) -> None:
    """The storage's disk also holds the build's TMPDIR."""
    recipe = own.recipe(RECIPE)
    with disk(tmp_path / "disk", own, "40m") as place:
        outcome = own.avabuild("recipe", recipe, "--root", str(place))
        assert outcome.code == 12, outcome.err
        assert re.search(r"no space|space left", outcome.err, re.IGNORECASE)
        assert "Traceback" not in outcome.err
        assert processes(own) == []
        subprocess.run(["mount", "-o", "remount,size=900m", str(place)], check=True)
        again = own.avabuild("recipe", recipe, "--root", str(place))
        assert again.code == 0, again.err


@pytest.mark.one_builder
def test_a_full_tmpdir_of_the_users_is_not_in_the_way(own: User, tmp_path: Path) -> None:
    with disk(tmp_path / "tmp", own, "64k") as place:
        (place / "filler").write_bytes(b"x" * (60 << 10))
        own.env["TMPDIR"] = str(place)
        outcome = own.avabuild("recipe", own.recipe(RECIPE))
        del own.env["TMPDIR"]
        assert outcome.code == 0, outcome.err
        assert [path.name for path in place.rglob("*") if path.is_file()] == ["filler"]
