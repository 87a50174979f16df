"""Batch hosts, made for real: what avabuild finds and chooses where a home, a /tmp or a session is not as usual.

Each situation is made in a mount namespace of its own, by root, and avabuild runs in it as an ordinary user.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from avabuild.host import trial_worker

from . import without_namespaces
from .tiny import write_tiny
from .user import User, interpreter, program

pytestmark = pytest.mark.build


@dataclass(frozen=True)
class Situation:
    """What is done to a host before a user meets it.

    Attributes:
        mounts: shell that root runs in the mount namespace, with $HOME of the user.
        env: the user's variables, None for one that is taken away.
        limits: arguments of prlimit(1).
        enclosed: whether no user namespace may be opened.
    """

    mounts: str = ":"
    env: dict[str, str | None] = field(default_factory=dict)
    limits: tuple[str, ...] = ()
    umask: int = 0o022
    enclosed: bool = False

    def run(self, user: User, *argv: str, cwd: Path = Path("/")) -> subprocess.CompletedProcess[str]:
        home = {"HOME": self.env["HOME"]} if self.env.get("HOME") else {}  # runuser would set the user's own
        command, env = user.command("env", *(f"{name}={value}" for name, value in home.items()), *argv)
        if self.enclosed:
            uid = str(user.home.stat().st_uid)
            command = [sys.executable, without_namespaces.__file__, uid, *argv]
        env = {name: value for name, value in env.items() if name not in self.env}
        env |= {name: value.replace("$HOME", str(user.home)) for name, value in self.env.items() if value}
        inner = [*(["prlimit", *self.limits] if self.limits else []), *command]
        script = f"set -e; umask 022; {self.mounts}\numask {self.umask:o}; exec {shlex.join(inner)}"
        outer = ["unshare", "--mount", "--propagation", "private", "sh", "-c", script]
        return subprocess.run(
            outer, env=env, cwd=cwd, capture_output=True, text=True, timeout=300, check=False
        )


READ_ONLY_HOME = 'mount --bind "$HOME" "$HOME"; mount -o remount,bind,ro "$HOME"'
NETWORK_HOME = 'bindfs --xattr-none --chown-deny --chgrp-deny -o allow_other "$HOME" "$HOME"'
# What Python imports stays within reach, also when this clone is below /tmp.
SMALL_TMP = """
mount -t tmpfs tmpfs /mnt; mkdir /mnt/tmp; mount --rbind /tmp /mnt/tmp
mount -t tmpfs -o size=1m,noexec,mode=1777 tmpfs /tmp
echo "$PYTHONPATH" | tr : '\\n' | while read -r path; do case "$path" in /tmp/*)
    mkdir -p "$path"; mount --bind "/mnt$path" "$path" ;;
esac; done
"""
MASKED_PROC = "mount --bind /dev/null /proc/version"
NO_SETUID = "mount --bind /usr /usr; mount -o remount,bind,nosuid /usr"
NO_NEWUIDMAP = "mount --bind /dev/null /usr/bin/newuidmap"
OVERLAID_HOME = (
    "mount -t tmpfs tmpfs /mnt; mkdir /mnt/upper /mnt/work; "
    'mount -t overlay -o "lowerdir=$HOME,upperdir=/mnt/upper,workdir=/mnt/work" overlay "$HOME"; '
    'chown "$USER" "$HOME"'
)


@pytest.fixture(scope="module")
def ranged(make_user: Callable[[str, bool], User]) -> User:
    return make_user("avatestbatch", True)


@pytest.fixture(scope="module")
def bare(make_user: Callable[[str, bool], User]) -> User:
    return make_user("avatestjob", False)


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A directory for all users on a local disk, as clusters have them."""
    path = Path("/var/tmp") / f"avabuild-scratch-{os.getpid()}"
    path.mkdir()
    path.chmod(0o1777)
    yield path
    subprocess.run(["rm", "-rf", str(path)], check=True)


def doctor(user: User, situation: Situation, *options: str) -> dict[str, Any]:
    """What `avabuild doctor --json` says to the user in this situation."""
    done = situation.run(user, *program(), "doctor", "--json", *options)
    assert done.stdout, done.stderr
    assert "Traceback" not in done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    assert done.returncode == (0 if found["can_build"] else 6), done.stderr
    return found


def chosen(found: dict[str, Any], user: User) -> str:
    """What is chosen, briefly, with ~ for the user's home: `subuid overlay ~/.local/share/avabuild`."""
    means = found["means"]
    if means is None:
        return str(found["refused"])
    storage = means["storage"]
    where = "own storage" if storage and storage["own"] else means["place"].replace(str(user.home), "~")
    driver = f"{'fuse' if storage['mount_program'] else storage['driver']} " if storage else ""
    return f"{means['mode']} {driver}{where}"


DATA, VAR, TMP, SHM = (
    "~/.local/share/avabuild",
    "/var/tmp/avabuild-UID",
    "/tmp/avabuild-UID",
    "/dev/shm/avabuild-UID",
)
SITUATIONS = {
    "no session": (Situation(), "subuid overlay own storage", f"single overlay {DATA}"),
    "a stale session": (
        Situation(env={"XDG_RUNTIME_DIR": "/run/user/4242424", "CONTAINERS_STORAGE_CONF": "/run/user/4242424/storage.conf"}), "subuid overlay own storage", f"single overlay {DATA}",
    ),
    "a home that can't be written": (
        Situation(READ_ONLY_HOME), f"subuid overlay {VAR}", f"single overlay {VAR}",
    ),
    "a home on a network": (Situation(NETWORK_HOME), f"subuid overlay {VAR}", f"single overlay {VAR}"),
    "only a network": (
        Situation(NETWORK_HOME, {"AVABUILD_ROOT": "$HOME/place"}), "single vfs ~/place", "single vfs ~/place",
    ),
    "a home on an overlay": (Situation(OVERLAID_HOME), f"subuid overlay {VAR}", f"single overlay {VAR}"),
    "no home": (Situation(env={"HOME": "/nonexistent"}), f"subuid overlay {VAR}", f"single overlay {VAR}"),
    "a small /tmp without programs": (Situation(SMALL_TMP), "subuid overlay own storage", f"single overlay {DATA}"),
    "a scratch disk of the job": (
        Situation(READ_ONLY_HOME, {"SLURM_TMPDIR": "SCRATCH"}),
        "subuid overlay SCRATCH/avabuild-UID",
        "single overlay SCRATCH/avabuild-UID",
    ),
    "umask 077": (Situation(umask=0o077), "subuid overlay own storage", f"single overlay {DATA}"),
    "low limits": (
        Situation(limits=("--nofile=256:256", "--nproc=64:64")), "subuid overlay own storage", f"single overlay {DATA}",
    ),
    "a masked /proc": (Situation(MASKED_PROC), "subuid overlay own storage", f"single overlay {DATA}"),
    "a newuidmap without power": (Situation(NO_SETUID), f"single overlay {DATA}", f"single overlay {DATA}"),
    "no newuidmap": (Situation(NO_NEWUIDMAP), f"single overlay {DATA}", f"single overlay {DATA}"),
    "no namespaces": (Situation(enclosed=True), f"none {DATA}", f"none {DATA}"),
}  # fmt: skip


def filled(text: str, user: User, scratch: Path) -> str:
    return text.replace("UID", str(user.home.stat().st_uid)).replace("SCRATCH", str(scratch))


@pytest.mark.parametrize("name", SITUATIONS)
def test_what_is_chosen_in_each_situation(name: str, ranged: User, bare: User, scratch: Path) -> None:
    situation, with_range, without = SITUATIONS[name]
    env = {key: value and filled(value, ranged, scratch) for key, value in situation.env.items()}
    made = replace(situation, env=env)
    for user, expected in ((ranged, with_range), (bare, without)):
        assert chosen(doctor(user, made), user) == filled(expected, user, scratch)


def remark(found: dict[str, Any], about: str) -> dict[str, Any]:
    return next(one for one in found["remarks"] if one["about"] == about)


def test_who_has_no_range_is_given_the_line_for_an_administrator(bare: User) -> None:
    said = remark(doctor(bare, Situation()), "ids")
    (line,) = said["admin"]
    assert line.startswith("usermod --add-subuids ")
    assert line.endswith(f" {bare.name}")
    first = int(line.split()[2].partition("-")[0])
    taken = [entry.split(":") for entry in Path("/etc/subuid").read_text().split()]
    assert all(first >= int(start) + int(count) for _, start, count in taken)


def test_who_can_open_no_namespace_is_told_why_and_what_to_do(bare: User) -> None:
    said = remark(doctor(bare, Situation(enclosed=True)), "namespaces")
    assert "No space left on device" in said["found"]
    assert said["admin"] == ["sysctl -w user.max_user_namespaces=15000"]


def test_a_newuidmap_without_power_is_told(ranged: User) -> None:
    said = remark(doctor(ranged, Situation(NO_SETUID)), "ids")
    assert "newuidmap" in said["found"]
    assert said["admin"] == ["chmod u+s /usr/bin/newuidmap /usr/bin/newgidmap"]


def test_a_missing_newuidmap_is_told(ranged: User) -> None:
    said = remark(doctor(ranged, Situation(NO_NEWUIDMAP)), "ids")
    assert said["admin"][0].startswith("apt-get install uidmap")


def test_a_masked_proc_and_low_limits_are_told(ranged: User) -> None:
    found = doctor(ranged, Situation(MASKED_PROC, limits=("--nofile=256:256",)))
    assert "systempaths=unconfined" in remark(found, "/proc")["admin"][0]
    assert "256 open files" in remark(found, "limits")["found"]


def test_a_place_that_others_made_is_refused(ranged: User, scratch: Path) -> None:
    mine = f"avabuild-{ranged.home.stat().st_uid}"
    planted = scratch / mine
    planted.symlink_to("/etc")
    found = doctor(ranged, Situation(READ_ONLY_HOME, {"SLURM_TMPDIR": str(scratch)}))
    assert found["means"]["place"] == f"/var/tmp/{mine}"
    assert f"{planted} is a link" in " ".join(one["found"] for one in found["remarks"])
    planted.unlink()
    planted.mkdir()
    found = doctor(ranged, Situation(READ_ONLY_HOME, {"SLURM_TMPDIR": str(scratch)}))
    assert f"{planted} belongs to root" in " ".join(one["found"] for one in found["remarks"])
    planted.rmdir()


def test_a_cache_that_cant_be_written_is_beside_the_builds(ranged: User) -> None:
    found = doctor(ranged, Situation(READ_ONLY_HOME, {"AVABUILD_CACHE": None}))
    assert found["host"]["cache"].startswith(f"/var/tmp/avabuild-{ranged.home.stat().st_uid}/cache ")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--mode", "subuid"), "/etc/subuid has no range for"),
        (("--mode", "root"), "the user is not root"),
        (("--root", "/etc"), "/etc belongs to root"),
        (("--storage-driver", "fuse"), "storage driver fuse does not work on this host"),
    ],
)
def test_a_wish_that_cant_come_true_exits_with_6(bare: User, options: tuple[str, ...], said: str) -> None:
    found = doctor(bare, Situation(), *options)
    assert not found["can_build"]
    assert said in found["refused"]


def test_a_buildah_that_is_too_old_can_build_nothing(bare: User, tmp_path: Path) -> None:
    old = tmp_path / "buildah"
    old.write_text("#!/bin/sh\necho buildah version 1.23.1\n")
    old.chmod(0o755)
    found = doctor(bare, Situation(f"mount --bind {old} /usr/bin/buildah"))
    assert not found["can_build"]
    assert remark(found, "buildah")["leads"] == "is too old: 1.28 is needed"


def test_root_without_its_powers_builds_as_anybody_does(root: User, base: Path) -> None:
    shutil.copy(base, root.home / "base.tar")
    weak = ("setpriv", "--bounding-set", "-sys_admin")  # as in a container that was given none
    place = ("--root", str(root.home / "place"))
    root.program = (*weak, *program())
    outcome = root.avabuild("recipe", root.recipe(RECIPE), *place, "--json")
    assert outcome.code == 0, outcome.err
    assert [path.name for path in (root.home / "place").glob("store-*")] == ["store-single"]


def test_buildah_opens_what_we_could_open_ourselves(ranged: User) -> None:
    asked = json.dumps({"inside": True, "directories": {"/dev/shm": "/dev/shm"}, "fuse": None})
    argv = ["buildah", "unshare", interpreter(), "-I", "-S", trial_worker.__file__, asked]
    for _ in range(3):
        done = Situation().run(ranged, *argv)
        if "sealing memfd copy" not in done.stderr:  # buildah 1.28 did not start: it may be asked again
            break
    found = json.loads(done.stdout)
    assert found["several"]
    assert found["directories"]["/dev/shm"]["chown"]


RECIPE = """
name = "ava-test-job"
base = { archive = "base.tar" }
[[files]]
source = "recipe.toml"
target = "/srv/"
[[run]]
shell = "umask; touch /made /dev/shm/x; chown 33:33 /made; chmod 4750 /made"
"""


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root file system of a shell and little else, of 2 MB."""
    return write_tiny(tmp_path_factory.mktemp("base") / "base.tar", ("sh", "touch", "chown", "chmod"))


@pytest.fixture
def job(base: Path, scratch: Path) -> Iterator[Callable[[User], Path]]:
    """A function that gives a user a directory with a recipe and its base, on a disk for all."""
    made: list[Path] = []

    def make(user: User) -> Path:
        place = scratch / f"job-{user.name}"
        place.mkdir()
        made.append(place)
        (place / "recipe.toml").write_text(RECIPE)
        shutil.copy(base, place / "base.tar")
        for path in (place, *place.iterdir()):
            user.own(path)
        return place

    yield make
    for place in made:
        shutil.rmtree(place)


@pytest.fixture(scope="module")
def digests() -> dict[str, str]:
    """The digest of the job's image, by the mode that made it."""
    return {}


BARE = ("no session", "only a network", "a stale session", "a home that can't be written", "a home on a network", "umask 077",
        "a small /tmp without programs", "a scratch disk of the job", "low limits", "a masked /proc")  # fmt: skip
RANGED = ("no session", "a home that can't be written", "a home on a network", "a newuidmap without power")


@pytest.mark.parametrize(
    ("name", "who"), [*((name, "bare") for name in BARE), *((name, "ranged") for name in RANGED)]
)
def test_an_image_is_built_in_each_situation_and_is_the_same(
    name: str,
    who: str,
    request: pytest.FixtureRequest,
    scratch: Path,
    job: Callable[[User], Path],
    digests: dict[str, str],
) -> None:
    user: User = request.getfixturevalue(who)
    made, *expected = SITUATIONS[name]
    mode, place = expected[who == "bare"].split()[0], job(user)
    env = {key: value and filled(value, user, scratch) for key, value in made.env.items()}
    env["AVABUILD_CACHE"] = None if "home" in name else str(place / "cache")
    done = replace(made, env=env).run(user, *program(), "recipe", "recipe.toml", "--json", cwd=place)
    assert done.returncode == 0, done.stderr
    image = json.loads(done.stdout.splitlines()[-1])
    assert len(image["made"]) == 2
    assert digests.setdefault(mode, image["digest"]) == image["digest"]
    subprocess.run(["rm", "-rf", f"/var/tmp/avabuild-{user.home.stat().st_uid}"], check=True)
