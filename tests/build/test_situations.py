"""The table of docs/rootless.md: situations of users and hosts by recipes, each built for real.

`make rootless` runs this and writes the table anew; here as everywhere a cell that differs is a failure.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from .conftest import User
from .tiny import write_tiny

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
RECIPES = {"main recipe": MAIN, "packages with accounts": APT, "run steps": STEPS}


@dataclass(frozen=True)
class Situation:
    """Who builds, on what kind of host, and what comes of it: "builds", or words of the message."""

    words: str
    ranged: bool
    prepare: Callable[[User, Path], None] = lambda user, place: None
    expected: tuple[str, str, str] = ("builds", "builds", "builds")


def without(*names: str) -> Callable[[User, Path], None]:
    """Hide programs: a PATH that has all others."""

    def prepare(user: User, place: Path) -> None:
        farm = place / "bin"
        farm.mkdir(exist_ok=True)
        for directory in ("/usr/bin", "/bin", "/usr/sbin", "/sbin"):
            for program in Path(directory).iterdir():
                link = farm / program.name
                if program.name not in names and not link.exists():
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
    mount = "mount -t tmpfs -o noexec,nosuid,nodev,size=20m,mode=1777 tmpfs /tmp"
    user.before = ("unshare", "--mount", "sh", "-c", f'{mount}; exec "$@"', "sh")


def batch_job(user: User, place: Path) -> None:
    scratch = place / "scratch"
    scratch.mkdir(exist_ok=True)
    user.own(scratch)
    read_only_home(user, place)
    user.env["SLURM_TMPDIR"] = str(scratch)


SITUATIONS = [
    Situation("a range of subordinate ids", True),
    Situation("no range", False),
    Situation("a range, but no newuidmap", True, without("newuidmap", "newgidmap")),
    Situation("no range, no OCI runtime", False, without("crun", "runc")),
    Situation("home read-only, no runtime directory", False, read_only_home),
    Situation("umask 077, few open files", True, narrow_shell),
    Situation("/tmp small and noexec", False, bad_tmp),
    Situation("a batch job with a scratch directory", False, batch_job),
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
    fresh = re.sub(f"{begin}.*{end}", "\n".join([begin, *rows, end]), text, flags=re.DOTALL)
    if os.environ.get("AVABUILD_WRITE_TABLE"):
        PAGE.write_text(fresh)
    assert fresh == text, "docs/rootless.md tells otherwise: make rootless writes it anew"


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("situation", SITUATIONS, ids=lambda one: one.words)
def test_a_recipe_builds_in_a_situation(
    situation: Situation,
    recipe: str,
    make_user: Callable[[str, bool], User],
    tmp_path: Path,
    shared: Path,
    table: dict[tuple[str, str], str],
) -> None:
    user = make_user("situation" + ("ranged" if situation.ranged else "bare"), situation.ranged)
    user.env |= {"HOME": str(user.home), "AVABUILD_SHARED_CACHE": str(shared)}
    user.home = tmp_path
    user.own(tmp_path)
    write_tiny(tmp_path / "tiny.tar")
    situation.prepare(user, tmp_path)
    try:
        outcome = user.avabuild("recipe", user.recipe(RECIPES[recipe]), "--json", timeout=1200)
        said = "builds" if outcome.code == 0 else outcome.err.strip().splitlines()[-1]
        table[situation.words, recipe] = said
        expected = situation.expected[list(RECIPES).index(recipe)]
        assert expected in said, outcome.err
    finally:
        user.before = ()
        for path in tmp_path.iterdir():
            if path.is_dir() and not path.is_symlink():
                path.chmod(path.stat().st_mode | stat.S_IWUSR)
        shutil.rmtree(tmp_path / "bin", ignore_errors=True)
        subprocess.run(["chown", "-R", "--no-dereference", "root", str(tmp_path)], check=False)
