"""What is called in a build's namespace before `buildah run`, which is laxer than our own runner: see `main`.

    main(["RUN", "ROOT", "SOURCE"...])

What it mounts is gone with the namespace.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

from avabuild.tools.inside import syscalls
from avabuild.tools.inside.mounts import DEVICES, restrict
from avabuild.tools.inside.syscalls import MS_BIND, MS_NODEV, MS_NOEXEC, MS_NOSUID, MS_RDONLY, MS_REC


def main(arguments: Sequence[str]) -> int:
    """Shut what a step could get at by way of its mounts; print where it is to have each source, in order.

    Device nodes below ROOT, a container's root, do nothing then, and the modes of the host's own can't be
    changed. Each SOURCE, and what is mounted below it, can only be read where it is said to be. RUN is a
    directory of ours, for mount points.
    """
    run, root, *sources = map(Path, arguments)
    with (run / "lock").open("w") as lock:  # steps may begin at the same time
        fcntl.flock(lock, fcntl.LOCK_EX)
        _without_devices(root.resolve())
        _own_devices()
        if not (run / "mounts").is_mount():
            (run / "mounts").mkdir(exist_ok=True)
            syscalls.mount(
                "tmpfs", str(run / "mounts"), "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=755"
            )
    place = Path(tempfile.mkdtemp(dir=run / "mounts"))
    for number, source in enumerate(sources):
        print(_readable(source, place / str(number)))  # noqa: T201 - what is asked for
    return 0


def _without_devices(root: Path) -> None:
    place = root
    if not place.is_mount():  # copies (vfs): all of them are shut, once
        place = place.parent
        if not place.is_mount():
            syscalls.mount(str(place), str(place), flags=MS_BIND | MS_REC)
    restrict(str(place), MS_NODEV, "/")


def _own_devices() -> None:
    for name in DEVICES:
        node = Path("/dev", name)
        if node.exists() and not os.statvfs(node).f_flag & os.ST_RDONLY:
            syscalls.mount(str(node), str(node), flags=MS_BIND)
            restrict(str(node), MS_RDONLY, "/")


def _readable(source: Path, target: Path) -> Path:
    if source.is_dir():
        target.mkdir()
    else:
        target.touch()
    syscalls.mount(str(source), str(target), flags=MS_BIND | MS_REC)
    restrict(str(target), MS_RDONLY, "/")
    return target
