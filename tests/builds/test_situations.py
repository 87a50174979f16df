"""The table of docs/rootless.md: situations of users and hosts by recipes, each built for real.

`make rootless` runs this and writes the table anew; here as everywhere a cell that differs is a failure.
"""

from __future__ import annotations

import os
import pwd
import re
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from . import without_namespaces
from .test_batch_hosts import NETWORK_HOME, SMALL_TMP
from .test_sharing import write_base
from .tiny import write_tiny
from .user import Outcome, User

pytestmark = [pytest.mark.build, pytest.mark.network, pytest.mark.slow]

PAGE = Path(__file__).parents[2] / "docs" / "rootless.md"
MARKS = ("<!-- table: begin -->", "<!-- table: end -->")
MAIN = (
    (Path(__file__).parents[2] / "recipes" / "keras.toml")
    .read_text()
    .replace('"ava-keras"', '"ava-test-keras"')
)
APT = """
name = "ava-test-accounts"
base = { debian = "bookworm" }
[packages]
apt = ["openssh-server", "redis-server", "nginx-light"]
[[run]]
shell = "grep -q ^sshd: /etc/passwd; grep -q ^redis: /etc/passwd; test -x /usr/sbin/nginx; useradd -m ada; chown ada /home/ada"
"""
STEPS = """
name = "ava-test-steps"
base = { archive = "tiny.tar" }
[[run]]
shell = "id -u >/who; echo one >/one"
[[run]]
network = "none"
shell = "cat /one >/two; mkdir -p /srv/x"
"""
FILES = """
name = "ava-test-situation-files"
base = { archive = "base.tar" }
[packages]
pip = ["six"]
"""
LAYERS = ("blobs", "index", "stamps")
"""What of a cache says what layers were made; downloads stay."""
RECIPES = {
    "main recipe": (MAIN,),
    "packages with accounts": (APT,),
    "run steps": (STEPS,),
    "files alone, with `--output`": (FILES, "--output", "oci:images"),
}
"""Column -> the recipe, and the options that it is built with."""


@dataclass(frozen=True)
class Situation:
    """Who builds, on what kind of host, and how what comes of each recipe begins: "builds", or a message."""

    words: str
    ranged: bool
    prepare: Callable[[User, Path], None] = lambda user, place: None
    expected: tuple[str, str, str, str] = ("builds", "builds", "builds", "builds")


def without(*names: str) -> Callable[[User, Path], None]:
    """Hide programs: a PATH that has all others."""

    def prepare(user: User, place: Path) -> None:
        farm = place / "bin"
        farm.mkdir(exist_ok=True)
        for directory in ("/usr/bin", "/bin", "/usr/sbin", "/sbin"):
            for program in Path(directory).iterdir():
                link = farm / program.name
                if program.name not in names and not link.is_symlink():  # it may lead nowhere
                    link.symlink_to(program)
        user.env["PATH"] = str(farm)

    return prepare


def read_only_home(user: User, place: Path) -> None:
    home = place / "read-only"
    home.mkdir(exist_ok=True)
    home.chmod(0o555)
    user.env |= {"HOME": str(home), "XDG_RUNTIME_DIR": f"/run/user/{os.getpid()}", "AVABUILD_CACHE": ""}


def narrow_shell(user: User, place: Path) -> None:
    user.before = ("sh", "-c", 'umask 077; ulimit -S -n 256; exec "$@"', "sh")


def bad_tmp(user: User, place: Path) -> None:
    user.before = in_mounts(SMALL_TMP)


def in_mounts(mounts: str, afterwards: str = "true") -> tuple[str, ...]:
    """Start what follows in a mount namespace of its own, where root has mounted something."""
    script = f'set -e; {mounts}\ncode=0; "$@" || code=$?; {afterwards}; exit $code'
    return ("unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh")


def network_home(user: User, place: Path) -> None:
    home = place / "network"
    home.mkdir(exist_ok=True)
    user.own(home)
    user.env |= {"HOME": str(home), "AVABUILD_CACHE": ""}
    user.before = in_mounts(NETWORK_HOME, 'umount --lazy "$HOME"')  # which ends the file system's process


def no_namespaces(user: User, place: Path) -> None:
    user.before = (sys.executable, without_namespaces.__file__, "0")


def batch_job(user: User, place: Path) -> None:
    scratch = place / "scratch"
    scratch.mkdir(exist_ok=True)
    user.own(scratch)
    read_only_home(user, place)
    user.env["SLURM_TMPDIR"] = str(scratch)


REFUSED = (
    "no container can be started here, and these need one; no user namespace can be opened: "
    "unshare: No space left on device (sysctl user.max_user_namespaces):"
)
SITUATIONS = [
    Situation("a range of subordinate ids", True),
    Situation("no range", False),
    Situation("a range, but no newuidmap", True, without("newuidmap", "newgidmap")),
    Situation("no range, no OCI runtime", False, without("crun", "runc")),
    Situation("home read-only, no runtime directory", False, read_only_home),
    Situation("umask 077, few open files", True, narrow_shell),
    Situation("/tmp small and noexec", False, bad_tmp),
    Situation("a batch job with a scratch directory", False, batch_job),
    Situation("home on a network without owners and attributes", False, network_home),
    Situation("user namespaces refused", False, no_namespaces, (REFUSED, REFUSED, REFUSED, "builds")),
]


@pytest.fixture(scope="module")
def table() -> Iterator[dict[tuple[str, str], str]]:
    """What came of each build; held against the page, or written into it, when all have run."""
    found: dict[tuple[str, str], str] = {}
    yield found
    if len(found) < len(SITUATIONS) * len(RECIPES):
        return
    rows = [f"| situation | {' | '.join(RECIPES)} |", f"|---|{'---|' * len(RECIPES)}"]
    rows += [
        f"| {one.words} | {' | '.join(found[one.words, recipe] for recipe in RECIPES)} |"
        for one in SITUATIONS
    ]
    text, (begin, end) = PAGE.read_text(), MARKS
    assert text.count(begin) == text.count(end) == 1
    fresh = re.sub(f"{begin}.*{end}", lambda _: "\n".join([begin, *rows, end]), text, flags=re.DOTALL)
    if os.environ.get("AVABUILD_WRITE_TABLE"):
        PAGE.write_text(fresh)
        return
    assert fresh == text, "docs/rootless.md tells otherwise: make rootless writes it anew"


def cell(outcome: Outcome) -> str:
    """What came of a build: "builds", or the message in full."""
    if outcome.code == 0:
        return "builds"
    said = [str(event["text"]) for event in outcome.events if event["event"] == "error"]
    assert said, outcome.err
    return "; ".join(line.strip() for line in said[-1].splitlines()).replace(":;", ":").replace("|", "\\|")


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("situation", SITUATIONS, ids=lambda one: one.words)
def test_a_recipe_builds_in_a_situation(
    situation: Situation,
    recipe: str,
    make_user: Callable[[str, bool], User],
    tmp_path: Path,
    bases: Callable[..., str],
    table: dict[tuple[str, str], str],
) -> None:
    user = make_user("situation" + ("ranged" if situation.ranged else "bare"), situation.ranged)
    user.env |= {"HOME": str(user.home), "AVABUILD_SHARED_CACHE": bases("bookworm")}  # bases, but no layers
    for part in LAYERS:
        shutil.rmtree(user.cache / part, ignore_errors=True)  # the user's situation before this one
    user.home = tmp_path
    user.own(tmp_path)
    write_tiny(tmp_path / "tiny.tar")
    write_base(tmp_path / "base.tar")
    situation.prepare(user, tmp_path)
    text, *options = RECIPES[recipe]
    try:
        outcome = user.avabuild("recipe", user.recipe(text), *options, "--json", timeout=1200)
        came = table[situation.words, recipe] = cell(outcome)
        expected = situation.expected[list(RECIPES).index(recipe)]
        assert came.startswith(expected), outcome.err
    finally:
        user.before = ()
        shutil.rmtree(f"/var/tmp/avabuild-{pwd.getpwnam(user.name).pw_uid}", ignore_errors=True)
        for path in tmp_path.iterdir():
            if path.is_dir() and not path.is_symlink():
                path.chmod(path.stat().st_mode | stat.S_IWUSR)
        shutil.rmtree(tmp_path / "bin", ignore_errors=True)
        subprocess.run(["chown", "-R", "--no-dereference", "root", str(tmp_path)], check=False)
