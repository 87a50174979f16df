"""What is chosen, by tables of findings: the situations of shared hosts."""

from __future__ import annotations

from pathlib import Path

import pytest

from avabuild.common.errors import HostError
from avabuild.host.choose import choose
from avabuild.host.findings import Directory, Findings, OwnStorage, Tool, Trial
from avabuild.host.means import Means
from avabuild.host.settings import Settings

WORKS, REFUSED = Trial(works=True), Trial(works=False, why="unshare: No space left on device", error="ENOSPC")
NO_RANGE = Trial(works=False, why="/etc/subuid has no range for ada")
ALL = ("root", "subuid", "single")
PLENTY = 50_000_000_000
FUSE = Tool(name="fuse-overlayfs", path=Path("/usr/bin/fuse-overlayfs"))


def local(path: str, **changes: object) -> Directory:
    """A directory that can do everything, but for what a test takes from it."""
    made = Directory(
        path=Path(path), origin="a test", filesystem="ext4", overlay=ALL, chown=("root", "subuid"), xattr=True, free=PLENTY
    )  # fmt: skip
    return made.model_copy(update=changes)


def network(path: str, **changes: object) -> Directory:
    """A directory of a network's file system: no overlays, no other owners, no extended attributes."""
    return local(path, filesystem="nfs", overlay=(), chown=(), xattr=False).model_copy(update=changes)


HOME, VAR, SHM = local("/home/ada/share"), local("/var/tmp/ada"), local("/dev/shm/ada", filesystem="tmpfs")
IMAGES = local("/home/ada/images")
OWN = OwnStorage(directory=IMAGES, run=Path("/run/user/1000/containers"))


def found(*directories: Directory, **changes: object) -> Findings:
    """A user with a range of ids on a usual machine, but for what a test changes."""
    made = Findings(
        uid=1000, user="ada", root=Trial(works=False, why="the user is not root"), subuid=WORKS, single=WORKS,
        entry=Trial(works=False), directories=directories or (HOME, VAR, SHM),
    )  # fmt: skip
    return made.model_copy(update=changes)


def kept(means: Means) -> str:
    """What was chosen, briefly: `subuid overlay /home/ada/share`, `own` for the user's own storage."""
    storage = means.storage
    if storage is None:
        return f"{means.mode} in {means.place}"
    driver = "fuse" if storage.mount_program else storage.driver
    return f"{means.mode} {driver} {'own' if storage.own else means.place}"


@pytest.mark.parametrize(
    ("findings", "chosen"),
    [
        (found(own=OWN), "subuid overlay own"),
        (found(own=OWN, root=WORKS, uid=0), "root overlay own"),
        (found(own=OWN, subuid=NO_RANGE), "single overlay /home/ada/share"),
        (found(), "subuid overlay /home/ada/share"),
        (found(subuid=NO_RANGE, single=REFUSED), "none in /home/ada/share"),
        (found(network("/home/ada"), VAR), "subuid overlay /var/tmp/ada"),
        (found(network("/home/ada"), VAR, subuid=NO_RANGE), "single overlay /var/tmp/ada"),
        (found(network("/home/ada"), local("/tmp/ada", chown=())), "single overlay /tmp/ada"),
        (found(network("/nfs", chown=("subuid",)), local("/tmp/ada", chown=())), "single overlay /tmp/ada"),
        (found(network("/home/ada"), network("/var")), "single vfs /home/ada"),
        (found(network("/nfs", fuse=("single",)), network("/var"), tools=(FUSE,)), "single fuse /nfs"),
        (found(local("/full", free=10**9), VAR), "subuid overlay /var/tmp/ada"),
        (found(local("/full", free=10**9), network("/big")), "subuid overlay /full"),
        (found(local("/full", free=10**9), local("/fuller", free=10**8)), "subuid overlay /full"),
        (found(local("/noexec", noexec=True), VAR), "subuid overlay /noexec"),
        (found(network("/noexec", noexec=True), network("/slow")), "single vfs /slow"),
        (found(local("/theirs", trouble="belongs to eve"), VAR), "subuid overlay /var/tmp/ada"),
        (found(own=OWN.model_copy(update={"directory": network("/images")})), "subuid overlay /home/ada/share"),
        (found(own=OWN.model_copy(update={"directory": local("/i", trouble="can't be written")})), "subuid overlay /home/ada/share"),
        (found(own=OWN.model_copy(update={"driver": "vfs"})), "subuid vfs own"),
        (found(own=OWN.model_copy(update={"driver": "btrfs"})), "subuid overlay /home/ada/share"),
        (found(own=OWN.model_copy(update={"driver": "overlay", "mount_program": FUSE.path}), fuse=WORKS), "subuid fuse own"),
        (found(own=OWN.model_copy(update={"driver": "overlay", "mount_program": FUSE.path})), "subuid overlay /home/ada/share"),
    ],
    ids=[
        "A: a range", "root", "B: no range", "no storage of their own", "D: no namespace", "HOME on a network",
        "the same without a range", "no directory takes other owners", "copies on a network are no trade for overlays",
        "only networks", "only networks, and fuse", "too small", "the only local one is too small", "all too small",
        "noexec is no matter for overlays", "but for copies", "somebody else's",
        "own storage on a network", "own storage can't be written", "own storage of copies", "own storage of another kind",
        "own storage through fuse", "own storage through fuse that does not work",
    ],
)  # fmt: skip
def test_what_is_chosen_follows_from_what_was_found(findings: Findings, chosen: str) -> None:
    assert kept(choose(findings, Settings())) == chosen


def test_modes_have_storage_of_their_own_in_a_place_of_ours() -> None:
    bare, ranged = choose(found(subuid=NO_RANGE), Settings()), choose(found(), Settings())
    assert bare.storage
    assert ranged.storage
    assert (bare.storage.root.name, bare.storage.run.name) == ("store-single", "run-single")
    assert (ranged.storage.root.name, ranged.storage.run.name) == ("store-subuid", "run-subuid")


def test_the_users_own_storage_is_used_with_its_run_root_where_there_is_one() -> None:
    means = choose(found(own=OWN), Settings())
    assert means.storage
    assert (means.storage.root, means.storage.run) == (IMAGES.path, OWN.run)
    without = choose(found(own=OWN.model_copy(update={"run": None})), Settings())
    assert without.storage
    assert without.storage.run == HOME.path / "run-subuid"


def test_where_only_buildah_may_open_a_namespace_it_is_who_does() -> None:
    assert choose(found(), Settings()).entry == "own"
    assert choose(found(entry=WORKS), Settings()).entry == "buildah"


@pytest.mark.parametrize(
    ("settings", "chosen"),
    [
        ({"mode": "single"}, "single overlay /home/ada/share"),
        ({"mode": "none"}, "none in /home/ada/share"),
        ({"mode": "subuid"}, "subuid overlay own"),
        ({"storage_driver": "vfs"}, "subuid vfs own"),
        ({"storage_driver": "vfs", "mode": "single"}, "single vfs /home/ada/share"),
        ({"storage_driver": "overlay"}, "subuid overlay own"),
        ({"root": Path("/home/ada/share")}, "subuid overlay /home/ada/share"),
    ],
    ids=str,
)
def test_what_the_user_wishes_comes_first(settings: dict[str, object], chosen: str) -> None:
    assert kept(choose(found(own=OWN), Settings.model_validate(settings))) == chosen


def test_a_runner_may_be_wished() -> None:
    assert choose(found(), Settings()).runner == "own"
    assert choose(found(), Settings(runner="buildah")).runner == "buildah"


@pytest.mark.parametrize(
    ("findings", "settings", "said"),
    [
        (found(), {"mode": "root"}, "--mode: mode root does not work on this host: the user is not root"),
        (found(subuid=NO_RANGE), {"mode": "subuid"}, "/etc/subuid has no range for ada"),
        (found(single=REFUSED), {"mode": "single"}, "unshare: No space left on device"),
        (found(network("/nfs")), {"storage_driver": "overlay"}, "storage driver overlay works in mode subuid or single in none of: /nfs"),
        (found(), {"storage_driver": "fuse"}, "storage driver fuse does not work on this host: fuse-overlayfs is not on PATH"),
        (found(network("/nfs")), {"mode": "subuid"}, "no directory can hold images in mode subuid: tried /nfs (nfs)"),
        (found(local("/x", trouble="is a link")), {}, "no directory can hold what builds keep: /x is a link"),
        (found(local("/x", trouble="is a link"), single=REFUSED, subuid=REFUSED), {}, "/x is a link"),
    ],
)  # fmt: skip
def test_a_wish_that_cant_work_is_refused_with_what_speaks_against_it(
    findings: Findings, settings: dict[str, object], said: str
) -> None:
    wishes = Settings.model_validate({**settings, "origins": [("mode", "--mode")]})
    with pytest.raises(HostError) as refused:
        choose(findings, wishes)
    assert said in str(refused.value)
