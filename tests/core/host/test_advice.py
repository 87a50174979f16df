"""What is said of findings: what they lead to, and what an administrator could type."""

from __future__ import annotations

from pathlib import Path

import pytest

from avabuild.host.advice import Remark, can_build, remarks
from avabuild.host.choose import choose
from avabuild.host.findings import Directory, Findings, OwnStorage, Tool, Trial
from avabuild.host.means import came_together, new_enough
from avabuild.host.settings import Settings

TOOLS = tuple(
    Tool(name=name, path=Path("/usr/bin") / name, version="1.28.2")
    for name in ("buildah", "skopeo", "mmdebstrap", "newuidmap", "newgidmap", "containers-storage")
)
LOCAL = Directory(
    path=Path("/home/ada/share"), origin="XDG_DATA_HOME", filesystem="ext4", overlay=("subuid", "single"),
    chown=("subuid",), xattr=True, free=50_000_000_000,
)  # fmt: skip
NETWORK = LOCAL.model_copy(update={"filesystem": "nfs", "overlay": (), "chown": (), "xattr": False})
WORKS = Trial(works=True)


def said(**changes: object) -> dict[str, Remark]:
    """What is said of a user with a range of ids on a usual machine, but for the changes, by what it is of."""
    usual = Findings(
        uid=1000, user="ada", root=Trial(works=False), subuid=WORKS, single=WORKS, entry=Trial(works=False),
        proc=True, tools=TOOLS, directories=(LOCAL,), free_ids=165536,
    )  # fmt: skip
    findings = usual.model_copy(update=changes)
    return {remark.about: remark for remark in remarks(findings, choose(findings, Settings()))}


def refused(why: str, error: str = "") -> Trial:
    return Trial(works=False, why=why, error=error)


def test_a_usual_machine_has_nothing_to_better() -> None:
    found = said()
    assert {remark.state for remark in found.values()} == {"good"}
    assert all(not remark.admin for remark in found.values())


@pytest.mark.parametrize(
    ("trial", "kernel", "line"),
    [
        (refused("no space", "ENOSPC"), {"user.max_user_namespaces": "0"}, "sysctl -w user.max_user_namespaces=15000"),
        (refused("no", "EPERM"), {"kernel.unprivileged_userns_clone": "0"}, "sysctl -w kernel.unprivileged_userns_clone=1"),
        (refused("/proc/self/uid_map: no", "EPERM"), {"kernel.apparmor_restrict_unprivileged_userns": "1"}, "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0"),
        (refused("no", "EPERM"), {"user.max_user_namespaces": "96365"}, "--security-opt seccomp=unconfined"),
        (refused("no space", "ENOSPC"), {"user.max_user_namespaces": "9"}, "nested too deeply"),
    ],
    ids=["none may be", "Debian's switch", "Ubuntu's switch", "a container", "exhausted"],
)  # fmt: skip
def test_what_lets_namespaces_be_opened_is_told(trial: Trial, kernel: dict[str, str], line: str) -> None:
    remark = said(single=trial, subuid=trial, kernel=tuple(kernel.items()))["namespaces"]
    assert remark.state == "limited"
    assert trial.why in remark.found
    assert line in remark.admin[0]


@pytest.mark.parametrize(
    ("why", "tools", "lines"),
    [
        ("/etc/subuid has no range for ada", TOOLS, ("usermod --add-subuids 165536-231071 --add-subgids 165536-231071 ada",)),
        ("newuidmap: write to uid_map failed: Operation not permitted", TOOLS, ("chmod u+s /usr/bin/newuidmap /usr/bin/newgidmap",)),
        ("newuidmap is not on PATH", TOOLS[:3], ("apt-get install uidmap  # or the package shadow-utils",)),
        ("/etc/subuid has no range for ada", TOOLS[:3], (
            "apt-get install uidmap  # or the package shadow-utils", "usermod --add-subuids 165536-231071 --add-subgids 165536-231071 ada",
        )),
    ],
    ids=["no range", "no power", "no helpers", "neither"],
)  # fmt: skip
def test_what_maps_a_range_of_ids_is_told(why: str, tools: tuple[Tool, ...], lines: tuple[str, ...]) -> None:
    assert said(subuid=refused(why), tools=tools)["ids"].admin == lines


def test_copies_are_told_with_what_would_be_better() -> None:
    remark = said(directories=(NETWORK,), fuse=refused("/dev/fuse: permission denied"))["images"]
    assert remark.state == "limited"
    assert "whole copies (vfs)" in remark.found
    assert remark.admin[0] == "apt-get install fuse-overlayfs"
    assert remark.admin[1].startswith("chmod a+rw /dev/fuse")
    assert "AVABUILD_ROOT=DIR" in remark.admin[2]


def test_who_cant_build_where_podman_looks_is_told() -> None:
    own = OwnStorage(directory=NETWORK.model_copy(update={"path": Path("/nfs/images")}))
    found = said(own=own)
    assert "/nfs/images (nfs, no overlay" in found["own images"].found
    assert found["images"].leads == "podman --root /home/ada/share/store-subuid shows them"


@pytest.mark.parametrize("name", ["buildah", "skopeo", "mmdebstrap"])
def test_what_a_missing_tool_takes_away_is_told(name: str) -> None:
    remark = said(tools=tuple(tool for tool in TOOLS if tool.name != name))[name]
    assert (remark.state, remark.admin) == ("limited", (f"apt-get install {name}",))
    assert remark.leads.startswith("it is needed for: ")


def test_whether_layers_are_extracted_as_they_are_made_is_told(tmp_path: Path) -> None:
    assert said()["imports"].state == "good"
    missing = said(tools=TOOLS[:-1])["imports"]
    assert (missing.state, missing.admin) == ("spare", ("apt-get install containers-storage",))
    other = TOOLS[-1].model_copy(update={"path": Path("/opt/bin/containers-storage")})
    remark = said(tools=(*TOOLS[:-1], other))["imports"]
    assert (remark.state, remark.found) == ("spare", "/opt/bin/containers-storage is not where buildah is")


def test_tools_of_two_places_are_of_two_releases_but_links_lead_to_one(tmp_path: Path) -> None:
    for name in ("usr/buildah", "usr/feeder", "local/feeder"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "bin").symlink_to("usr")
    buildah = tmp_path / "usr/buildah"
    assert came_together(buildah, tmp_path / "bin/feeder")
    assert not came_together(buildah, tmp_path / "local/feeder")
    assert not came_together(buildah, None)
    assert not came_together(None, tmp_path / "usr/feeder")


@pytest.mark.parametrize(
    ("version", "enough"),
    [("1.28.2", True), ("1.39.3", True), ("2.0.0", True), ("1.23.1", False), ("", False), ("new", False)],
)
def test_an_old_buildah_is_known(version: str, enough: bool) -> None:
    assert new_enough(version) is enough
    tools = (TOOLS[0].model_copy(update={"version": version}), *TOOLS[1:])
    assert said(tools=tools)["buildah"].state == ("good" if enough else "bad")


def test_what_hinders_a_little_is_told() -> None:
    assert "1000 processes" not in str(said(limits=(4096, 1000)))
    assert "256 open files" in said(limits=(256, -1))["limits"].found
    assert "host's processes" in said(proc=False)["/proc"].leads
    assert "XDG_RUNTIME_DIR" in said(session=False)["session"].found


def test_nothing_is_built_without_means() -> None:
    assert not can_build((), None)
