"""Findings: what the kernel and the files of this host let this user do, as values; nothing is chosen."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from avabuild.common.value import Value

Kind = Literal["root", "subuid", "single"]
"""A mode that has a namespace."""


class Trial(Value):
    """Whether what was tried works; `why` says why not, `error` the kernel's name for it (ENOSPC)."""

    works: bool
    why: str = ""
    error: str = ""


class Directory(Value):
    """A directory that may hold what builds keep.

    Attributes:
        origin: why it is one.
        trouble: why it can't be used at all, or nothing.
        filesystem: the kernel's name for its kind.
        overlay: the modes in which the kernel mounts overlays there.
        fuse: those in which fuse-overlayfs does where the kernel doesn't.
        chown: those in which files may be given to other ids.
        xattr: whether files may have extended attributes of users.
        noexec: whether programs there don't start.
        free: bytes that the user may still write.
        mount: what tells another mount from this one: its device and flags.
    """

    path: Path
    origin: str
    trouble: str = ""
    filesystem: str = ""
    overlay: tuple[Kind, ...] = ()
    fuse: tuple[Kind, ...] = ()
    chown: tuple[Kind, ...] = ()
    xattr: bool = False
    noexec: bool = False
    free: int = 0
    mount: tuple[int, int] = (0, 0)


class OwnStorage(Value):
    """The image storage where podman and buildah of this user look, by their configuration.

    Attributes:
        directory: its graph root.
        run: its run root, or None when that can't be used.
        driver: the driver that is configured, or nothing.
        mount_program: what is configured to mount overlays, or None.
    """

    directory: Directory
    run: Path | None = None
    driver: str = ""
    mount_program: Path | None = None


class Tool(Value):
    """A program of the system."""

    name: str
    path: Path
    version: str = ""


class Findings(Value):
    """All that was found.

    Attributes:
        root: a mount namespace, as root.
        subuid: a user namespace with the ranges that newuidmap and newgidmap map.
        single: a user namespace with one id.
        entry: `buildah unshare` where our own namespaces are refused; `subuid` and `single` then say which of
            them it gives.
        proc: whether a new /proc may be mounted in a namespace.
        fuse: whether /dev/fuse may be opened.
        cgroup: which control groups there are.
        directories: where private storage may be, in the order of preference.
        kernel: settings of the kernel that speak of user namespaces.
        free_ids: the first of a range of subordinate ids that nobody has.
        limits: of open files and of processes, -1 for none.
        session: whether XDG_RUNTIME_DIR names a directory of the user's; None when it is not set.
    """

    uid: int
    user: str
    root: Trial
    subuid: Trial
    single: Trial
    entry: Trial
    proc: bool = False
    fuse: Trial = Trial(works=False)
    cgroup: str = ""
    tools: tuple[Tool, ...] = ()
    own: OwnStorage | None = None
    directories: tuple[Directory, ...] = ()
    kernel: tuple[tuple[str, str], ...] = ()
    free_ids: int = 0
    limits: tuple[int, int] = (-1, -1)
    session: bool | None = None

    def trial(self, mode: Kind) -> Trial:
        """Return what became of the mode's namespace."""
        return {"root": self.root, "subuid": self.subuid, "single": self.single}[mode]

    def tool(self, name: str) -> Tool | None:
        """Return the program of that name."""
        return next((tool for tool in self.tools if tool.name == name), None)
