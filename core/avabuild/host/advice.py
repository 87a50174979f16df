"""Advice: each finding in words, what it leads to, and what an administrator could type. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from avabuild.common.value import Value
from avabuild.host.findings import Directory, Findings, Trial
from avabuild.host.means import BUILDAH, FEEDER, Means, came_together, new_enough
from avabuild.host.subids import COUNT

_FEW_FILES, _FEW_PROCESSES = 1024, 256
_PACKAGES = {"buildah": "buildah", "skopeo": "skopeo", "mmdebstrap": "mmdebstrap"}
_USES = {
    "buildah": "images in the local storage, and steps in containers",
    "skopeo": "images of registries as bases, and archives as output",
    "mmdebstrap": "bases like { debian = ... }",
}


State = Literal["good", "limited", "bad", "spare"]


class Remark(Value):
    """One finding.

    Attributes:
        about: what it is of, in a word or two.
        state: whether it is as good as can be, limits what may be built, forbids building, or is no matter.
        found: what was found.
        leads: what it leads to.
        admin: lines for an administrator that would better it.
    """

    about: str
    state: State
    found: str
    leads: str = ""
    admin: tuple[str, ...] = ()


def remarks(findings: Findings, means: Means | None) -> tuple[Remark, ...]:
    """Return what is to be said of this host; `means` is None when nothing can be built."""
    return (
        _namespaces(findings),
        *(() if findings.root.works else (_ids(findings),)),
        *_storage(findings, means),
        *_proc(findings),
        *_tools(findings, means),
        *_environment(findings),
    )


def _namespaces(findings: Findings) -> Remark:
    about = "namespaces"
    if findings.root.works:
        return Remark(about=about, state="good", found="root may open them", leads="all kinds of layers")
    if findings.single.works and not findings.entry.works:
        return Remark(
            about=about, state="good", found="user namespaces may be opened", leads="all kinds of layers"
        )
    if findings.entry.works:
        found = f"only buildah may open them ({findings.single.why or 'our own are refused'})"
        return Remark(about=about, state="good", found=found, leads="`buildah unshare` opens ours")
    return Remark(
        about=about,
        state="limited",
        found=f"user namespaces are refused: {findings.single.why}",
        leads="only what needs no step is built: wheels and files, on image or archive bases, with --output",
        admin=_for_namespaces(findings.single, dict(findings.kernel)),
    )


def _for_namespaces(trial: Trial, kernel: dict[str, str]) -> tuple[str, ...]:
    """Return what lets users open namespaces. Source: user_namespaces(7), sysctl(8), apparmor.d(5)."""
    if kernel.get("user.max_user_namespaces") == "0":
        return ("sysctl -w user.max_user_namespaces=15000",)
    if kernel.get("kernel.unprivileged_userns_clone") == "0":
        return ("sysctl -w kernel.unprivileged_userns_clone=1",)
    if kernel.get("kernel.apparmor_restrict_unprivileged_userns") == "1":
        return ("sysctl -w kernel.apparmor_restrict_unprivileged_userns=0",)
    if trial.error == "EPERM":
        return ("if this is a container, start it with: --security-opt seccomp=unconfined",)
    if trial.error == "ENOSPC":
        return ("sysctl -w user.max_user_namespaces=15000  # all that may be are open, or nested too deeply",)
    return ()


def _ids(findings: Findings) -> Remark:
    if findings.subuid.works:
        found = f"a range of subordinate ids is mapped for {findings.user}"
        return Remark(about="ids", state="good", found=found, leads="files in images keep their owners")
    return Remark(
        about="ids",
        state="limited",
        found=findings.subuid.why or "no other ids can be mapped",
        leads="one id is mapped: new files in images are root's",
        admin=tuple(_for_ids(findings)),
    )


def _for_ids(findings: Findings) -> Iterator[str]:
    """Yield what maps a range of ids. Source: newuidmap(1), usermod(8)."""
    helpers = [findings.tool(name) for name in ("newuidmap", "newgidmap")]
    if not all(helpers):
        yield "apt-get install uidmap  # or the package shadow-utils"
    if "has no range" in findings.subuid.why or "/etc/sub" in findings.subuid.why:
        ids = f"{findings.free_ids}-{findings.free_ids + COUNT - 1}"
        yield f"usermod --add-subuids {ids} --add-subgids {ids} {findings.user}"
    elif all(helpers):
        yield f"chmod u+s {' '.join(str(tool.path) for tool in helpers if tool)}"


def _storage(findings: Findings, means: Means | None) -> Iterator[Remark]:
    if means and means.storage:
        yield _images(findings, means)
        if findings.own and means.mode != "single" and not means.storage.own:
            found = _able(findings.own.directory)
            leads = "podman's images are there, but not those built here"
            yield Remark(about="own images", state="limited", found=found, leads=leads)
    for directory in findings.directories:
        if means and directory.path == means.place:
            leads = "temporary files of builds are there"
            yield Remark(about="place", state="good", found=_able(directory), leads=leads)
        else:
            state: State = "bad" if directory.trouble and not means else "spare"
            leads = "can't be used" if directory.trouble else "could be used"
            yield Remark(about="place", state=state, found=_able(directory), leads=leads)


def _images(findings: Findings, means: Means) -> Remark:
    storage = means.storage
    assert storage  # noqa: S101 - the caller's condition
    where = "podman shows them" if storage.own else f"podman --root {storage.root} shows them"
    if means.mode == "single":
        where = "only avabuild can use them; --output takes them elsewhere"
    if storage.driver == "overlay" and storage.mount_program is None:
        return Remark(
            about="images", state="good", found=f"{storage.root}: overlays of the kernel", leads=where
        )
    if storage.mount_program:
        found = f"{storage.root}: overlays by {storage.mount_program}"
        return Remark(about="images", state="limited", found=found, leads=f"slow commits; {where}")
    return Remark(
        about="images",
        state="limited",
        found=f"{storage.root}: whole copies (vfs)",
        leads=f"each layer takes an image's size and some seconds; {where}",
        admin=tuple(_for_overlays(findings)),
    )


def _for_overlays(findings: Findings) -> Iterator[str]:
    if findings.tool("fuse-overlayfs") is None:
        yield "apt-get install fuse-overlayfs"
    if not findings.fuse.works:
        yield "chmod a+rw /dev/fuse  # modprobe fuse, if there is none"
    yield "or a directory on a local disk, for: export AVABUILD_ROOT=DIR"


def _able(directory: Directory) -> str:
    """Word what a directory can do: `/scratch/ada (ext4, overlay, 35.8 GB free)`."""
    if directory.trouble:
        return f"{directory.path} {directory.trouble}"
    stacks = "overlay" if directory.overlay else "overlay by fuse" if directory.fuse else "no overlay"
    words = [directory.filesystem or "unknown", stacks]
    words += [] if directory.xattr else ["no attributes"]
    words += ["noexec"] if directory.noexec else []
    return f"{directory.path} ({', '.join([*words, f'{directory.free / 1e9:.1f} GB free'])})"


def _proc(findings: Findings) -> Iterator[Remark]:
    if findings.root.works or findings.proc:
        yield Remark(
            about="/proc", state="good", found="may be mounted", leads="steps see their own processes"
        )
    elif findings.single.works or findings.entry.works:
        yield Remark(
            about="/proc",
            state="limited",
            found="is masked here, as in a container",
            leads="steps are shown the host's processes",
            admin=("start the container with: --security-opt systempaths=unconfined",),
        )


def _tools(findings: Findings, means: Means | None) -> Iterator[Remark]:
    for name, package in _PACKAGES.items():
        tool = findings.tool(name)
        install = (f"apt-get install {package}",)
        if tool is None:
            leads = f"it is needed for: {_USES[name]}"
            yield Remark(about=name, state="limited", found="is not on PATH", leads=leads, admin=install)
        elif name == "buildah" and not new_enough(tool.version):
            yield Remark(
                about=name,
                state="limited" if means and means.mode == "none" else "bad",
                found=f"{tool.version or 'an unknown version'} at {tool.path}",
                leads=f"is too old: {BUILDAH[0]}.{BUILDAH[1]} is needed",
                admin=("install a newer one: Debian 12 and Ubuntu 23.04 have it",),
            )
        else:
            yield Remark(about=name, state="good", found=f"{tool.version} at {tool.path}", leads=_USES[name])
    yield _imports(findings)
    runtimes = [name for name in ("crun", "runc") if findings.tool(name)]
    groups = findings.cgroup or "none"
    found = f"{', '.join(runtimes) or 'none'}; control groups: {groups}"
    yield Remark(about="OCI runtimes", state="good", found=found, leads="none is needed")


def _imports(findings: Findings) -> Remark:
    buildah, feeder = findings.tool("buildah"), findings.tool(FEEDER)
    if buildah and feeder and came_together(buildah.path, feeder.path):
        leads = "layers are extracted as they are made"
        return Remark(about="imports", state="good", found=f"{FEEDER} at {feeder.path}", leads=leads)
    if feeder:
        found = f"{feeder.path} is not where buildah is"
        return Remark(about="imports", state="spare", found=found, leads="it may be older, and is not used")
    return Remark(
        about="imports",
        state="spare",
        found=f"{FEEDER} is not on PATH",
        leads="images come into the local storage more slowly",
        admin=(f"apt-get install {FEEDER}",),
    )


def _environment(findings: Findings) -> Iterator[Remark]:
    if findings.session is False:
        found = "XDG_RUNTIME_DIR names no directory of yours"
        yield Remark(about="session", state="good", found=found, leads="builds have one of their own")
    files, processes = findings.limits
    if 0 <= files < _FEW_FILES or 0 <= processes < _FEW_PROCESSES:
        found = f"{files} open files, {processes} processes"
        leads = "big builds may fail: raise them with ulimit -n and -u, or take --jobs 1"
        yield Remark(about="limits", state="limited", found=found, leads=leads)


def can_build(said: tuple[Remark, ...], means: Means | None) -> bool:
    """Whether anything can be built."""
    return means is not None and all(remark.state != "bad" for remark in said)
