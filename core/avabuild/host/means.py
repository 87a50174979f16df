"""Means: how this host lets its user build; chosen once by a probe and given to the engine as a value.

Modes, by what user namespaces allow:

- `root`: the user is root; a mount namespace suffices.
- `subuid`: a range of subordinate ids is mapped; files keep their owners.
- `single`: one id is mapped; a filter answers what only root may do, and new files are root's in the image.
- `none`: no user namespace can be had; only layers of files can be made.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from avabuild.common.value import Value

Mode = Literal["root", "subuid", "single", "none"]
Runner = Literal["own", "buildah"]

BUILDAH = (1, 28)
"""The oldest buildah that works."""


class Storage(Value):
    """Where containers-storage keeps the images and working containers of builds.

    Attributes:
        root: its graph root.
        run: its run root.
        driver: how layers are stacked.
        mount_program: what mounts overlays when the kernel may not, or None.
        own: whether it is the user's own storage, where podman looks too.
    """

    root: Path
    run: Path
    driver: Literal["overlay", "vfs"]
    mount_program: Path | None = None
    own: bool = False


class Means(Value):
    """How builds are done here.

    Attributes:
        mode: see the module.
        place: a directory of ours, 0700, on a local disk: private homes and temporary files of builds.
        storage: see there; None in mode `none`.
        entry: who opens the user namespace: we ourselves, or `buildah unshare` where only it is allowed to.
        runner: what runs steps: our own, or `buildah run`.
    """

    mode: Mode
    place: Path
    storage: Storage | None
    entry: Literal["own", "buildah"] = "own"
    runner: Runner = "own"


def slowness(means: Means) -> str:
    """Say what makes image storage slow here; nothing where it is not."""
    storage = means.storage
    if storage and storage.driver == "vfs":
        return (
            f"each layer in {storage.root} is a whole copy of what is below it (vfs), which is slow and big"
        )
    if storage and storage.mount_program:
        return f"layers in {storage.root} are stacked by {storage.mount_program}, which is slow"
    return ""


FEEDER = "containers-storage"
"""The tool that takes single layers: of buildah's library, in the image storage's own package."""


def came_together(buildah: Path | None, feeder: Path | None) -> bool:
    """Whether the two programs are of one release: an older `feeder` would spoil the storage's lists."""
    return bool(buildah and feeder and buildah.resolve().parent == feeder.resolve().parent)


def new_enough(version: str) -> bool:
    """Whether a buildah that calls itself `version` works."""
    numbers = version.split(".")[:2]
    return (
        len(numbers) == len(BUILDAH)
        and all(part.isdigit() for part in numbers)
        and tuple(map(int, numbers)) >= BUILDAH
    )
