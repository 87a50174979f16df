"""What a step can reach: the attacks of `attacks.py`, for every kind of user and with either runner.

The table of docs/rootless.md says what comes of each. A cell that differs is a failure; with
AVABUILD_WRITE_TABLE=1 it is written anew.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ..builds.tiny import PROGRAMS, write_tiny
from ..builds.user import User, interpreter
from .attacks import ATTACKS, CANARY

pytestmark = pytest.mark.build

HERE = Path(__file__).parent
PAGE = HERE.parents[1] / "docs" / "rootless.md"
MARKS = ("<!-- steps: begin -->", "<!-- steps: end -->")
KINDS = {"root": "root", "ranged": "subuid", "bare": "single"}
RUNNERS = ("own", "buildah")
HEADER = [
    "a step can",
    *(mode if r == "own" else f"{mode}, `buildah`" for r in RUNNERS for mode in KINDS.values()),
]
ALLOWED = list(ATTACKS)[:9]
"""What a step is for; all that comes after these is an attack."""
NODES = [Path(f"/dev/{name}") for name in ("null", "full", "zero", "random", "urandom", "tty")]


@pytest.fixture(scope="session")
def disk(everyones: Path) -> Iterator[Path]:
    """A disk of the host's: a loop device whose file begins with the canary."""
    image = everyones / "disk"
    image.write_bytes(CANARY.ljust(1 << 20, b"\0"))
    device = subprocess.run(
        ["losetup", "--find", "--show", image], capture_output=True, text=True, check=True
    )
    yield image
    subprocess.run(["losetup", "--detach", device.stdout.strip()], check=True)


@pytest.fixture(scope="session")
def base(everyones: Path, disk: Path) -> Path:
    """A root file system without programs, and with the nodes of the host's disk and of another device."""
    found = subprocess.run(["losetup", "--noheadings", "--output", "MAJ:MIN", "--associated", disk],
                           capture_output=True, text=True, check=True).stdout  # fmt: skip
    major, minor = map(int, found.split(":"))
    path = everyones / "base.tar"
    with tarfile.open(path, "w") as tar:
        for name in ("etc", "proc", "sys", "dev", "tmp", "usr", "root"):
            add(tar, name, tarfile.DIRTYPE, 0o755)
        for name in ("bin", "lib", "lib64", "sbin"):
            add(tar, name, tarfile.SYMTYPE, 0o777, linkname=f"usr/{name}")
        add(tar, "disk", tarfile.BLKTYPE, 0o666, devmajor=major, devminor=minor)
        add(tar, "tape", tarfile.CHRTYPE, 0o666, devmajor=1, devminor=5)
        text = b"ID=debian\nVERSION_CODENAME=bookworm\n"
        add(tar, "etc/os-release", tarfile.REGTYPE, 0o644, text)
    return path


def add(tar: tarfile.TarFile, name: str, kind: bytes, mode: int, data: bytes = b"", **more: object) -> None:
    member = tarfile.TarInfo(name)
    member.type, member.mode, member.size = kind, mode, len(data)
    for attribute, value in more.items():
        setattr(member, attribute, value)
    tar.addfile(member, io.BytesIO(data) if data else None)


@pytest.fixture
def someone(
    request: pytest.FixtureRequest, make_user: Callable[[str, bool], User], base: Path
) -> Iterator[User]:
    """The user of the parameter, with a secret, and with data that has another file system mounted in it."""
    kind = request.param
    user = request.getfixturevalue("root") if kind == "root" else make_user(f"evil{kind}", kind == "ranged")
    user.cache = user.home / "evil-cache"
    for path in (base, HERE / "attacks.py"):
        shutil.copy(path, user.home)
    (user.home / "secret").write_bytes(CANARY)
    sub = user.home / "data" / "sub"
    sub.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=777", "tmpfs", sub], check=True)
    (sub / "file").write_text("of the host")
    for path in (user.home / "secret", user.home / "base.tar", sub.parent, sub, sub / "file"):
        user.own(path)
    yield user
    subprocess.run(["umount", "--lazy", sub], check=True)


every_user = pytest.mark.parametrize("someone", KINDS, indirect=True)
every_runner = pytest.mark.parametrize("runner", RUNNERS)


def attacked(user: User, runner: str, disk: Path, *way: str, more: str = "") -> dict[str, bool]:
    """Attack the host as `user`; return what could be done."""
    user.env["AVABUILD_RUNNER"] = runner
    recipe = user.recipe('name = "ava-test-hostile"\nbase = { archive = "base.tar" }\n' + more)
    outcome = user.avabuild("recipe", recipe, "--json")
    assert outcome.code == 0, outcome.err
    disk.write_bytes(CANARY.ljust(1 << 20, b"\0"))
    before = {node: node.stat() for node in NODES}
    program = (HERE / "host.py").read_text()
    argv, env = user.command(interpreter(), "-c", program, str(outcome.image["reference"]), *way)
    try:
        done = subprocess.run(argv, env=env | {"CANARY": CANARY.decode()}, cwd=user.home, capture_output=True,
                              text=True, check=False)  # fmt: skip
        assert done.returncode == 0, done.stderr
        after = {node: node.stat() for node in NODES}
    finally:
        for node, state in before.items():
            node.chmod(state.st_mode & 0o7777)
            os.chown(node, state.st_uid, state.st_gid)
            os.utime(node, (state.st_atime, state.st_mtime))
    found: dict[str, bool] = json.loads(done.stdout)
    assert [text for text in found.values() if isinstance(text, str)] == []
    found["change the mode, owner or times of the host's /dev/null or /dev/full"] = any(
        (before[node].st_mode, before[node].st_uid) != (after[node].st_mode, after[node].st_uid)
        or after[node].st_mtime == 1
        for node in NODES
    )
    return found


@every_runner
@every_user
def test_a_step_can_do_what_the_page_says(someone: User, runner: str, disk: Path) -> None:
    found = attacked(someone, runner, disk)
    if runner == "own":
        assert [words for words, done in found.items() if done and words not in ALLOWED] == []
        assert disk.read_bytes().startswith(CANARY)
        assert not (someone.home / "data" / "new").exists()
        assert [path.name for path in (someone.home / "data" / "sub").iterdir()] == ["file"]
    cells = {words: cell(done) for words, done in found.items()}
    column = HEADER.index(title(someone, runner))
    if "AVABUILD_WRITE_TABLE" in os.environ:
        write(cells, column)
    assert {words: row[column - 1] for words, *row in page()} == cells


@every_user
def test_a_check_can_do_less_and_nothing_as_another_user(someone: User, disk: Path) -> None:
    found = attacked(someone, "own", disk, "check", more='[image]\nuser = "1:1"\n')
    kept = [
        words
        for words in ALLOWED
        if "network" in words or "sockets" in words or "read" in words or "trace" in words
    ]
    may = [*kept, "change its root directory", "write the container's files"] if not someone.owners else kept
    assert [words for words, done in found.items() if done] == [words for words in ALLOWED if words in may]


@pytest.mark.parametrize("someone", ["root"], indirect=True)
@every_runner
def test_devices_of_a_base_do_nothing_in_a_storage_of_ours(someone: User, runner: str, disk: Path) -> None:
    someone.env["AVABUILD_ROOT"] = str(someone.home / "ours")
    found = attacked(someone, runner, disk)
    assert not found["read or write a disk whose device node the base has"]
    assert not found["read another device whose node the base has"]
    assert disk.read_bytes().startswith(CANARY)
    someone.env["AVABUILD_STORAGE_DRIVER"] = "vfs"
    found = attacked(someone, runner, disk)
    assert not found["read or write a disk whose device node the base has"]
    assert not found["read another device whose node the base has"]


OWN_NAMESPACE = """
unshare -Urm sh -ec 'mount -t tmpfs own /tmp; echo one >/tmp/one; cat /tmp/one' >/inside
! unshare -UrmC true
! unshare -Urm mount -o remount,bind,rw /sys
! unshare -Urm umount /sys
! unshare -Urm umount /proc/kcore
! unshare -Urmpf mount -t proc own /proc
! unshare -m true
"""


@every_user
def test_a_step_has_user_namespaces_where_the_recipe_says_so(someone: User) -> None:
    write_tiny(someone.home / "base.tar", (*PROGRAMS, "unshare", "umount"))
    text = f'name = "ava-test-hostile"\nbase = {{ archive = "base.tar" }}\n[[run]]\nshell = """{OWN_NAMESPACE}"""\n'
    without = someone.avabuild("recipe", someone.recipe(text), "--output", "oci:out")
    assert without.code == 5, without.err
    assert "unshare failed: Operation not permitted" in without.err
    recipe = someone.recipe(text + 'privileges = ["userns"]\n')
    made = someone.avabuild("recipe", recipe, "--output", "oci:out")
    assert made.code == 0, made.err
    assert "run 1 (last, userns): " in someone.avabuild("plan", recipe).out
    someone.env["AVABUILD_RUNNER"] = "buildah"
    recipe.write_text(recipe.read_text().replace("/inside", "/inside-of-buildah"))
    refused = someone.avabuild("recipe", recipe, "--output", "oci:out")
    assert refused.code == 6, refused.err
    assert "can't give a step the privilege userns" in refused.err


# -- the page --------------------------------------------------------------------------------------------------


def title(user: User, runner: str) -> str:
    mode = next(mode for kind, mode in KINDS.items() if kind in user.name)
    return mode if runner == "own" else f"{mode}, `buildah`"


def cell(done: bool) -> str:
    return "yes" if done else "no"


def page() -> list[list[str]]:
    """The rows of the page's table, without its header."""
    text = PAGE.read_text()
    lines = text[text.index(MARKS[0]) : text.index(MARKS[1])].splitlines()[1:]
    return [[part.strip() for part in line.strip("|").split("|")] for line in lines][2:]


def write(cells: dict[str, str], column: int) -> None:
    known = {words: row for words, *row in page()}
    rows = [[words, *known.get(words, [""] * 6)] for words in cells]
    for row in rows:
        row[column] = cells[row[0]]
    lines = [HEADER, ["---"] * len(HEADER), *rows]
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    text = PAGE.read_text()
    before, after = text[: text.index(MARKS[0])], text[text.index(MARKS[1]) :]
    PAGE.write_text(f"{before}{MARKS[0]}\n{table}\n{after}")
