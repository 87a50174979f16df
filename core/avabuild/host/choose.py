"""Choosing: from what was found and what the user wishes, how builds are done here. Pure.

A driver outweighs all: overlays of the kernel, then those of fuse-overlayfs, then copies (vfs), which take
seconds and a whole image's size per layer. Then enough free space, then a mode that keeps owners, then the
order of the directories. So a local disk with one id mapped is never given up for copies on a network's.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple

from avabuild.common.errors import HostError
from avabuild.host.findings import Directory, Findings, Kind
from avabuild.host.means import Means, Storage
from avabuild.host.settings import Settings

ENOUGH = 5_000_000_000  # bytes: an image of a framework, its layers and what is made meanwhile
_DRIVERS = ("overlay", "fuse", "vfs")
_DOCTOR = "avabuild doctor says what was found"


class Option(NamedTuple):
    """A way to keep images: lower is better."""

    driver: int
    cramped: bool
    mode: int
    order: int
    kind: Kind
    directory: Directory


def choose(findings: Findings, settings: Settings) -> Means:
    """Return how builds are done.

    Raises:
        HostError: a setting can't work here, or no directory can be used; says what speaks against it.
    """
    modes = _modes(findings, settings)
    runner = settings.runner or "own"
    if not modes:
        return Means(mode="none", place=_any_place(findings, settings), storage=None, runner=runner)
    options = sorted(_options(findings, settings, modes))
    entry: Literal["own", "buildah"] = "own"
    if "root" not in modes and findings.entry.works:
        entry = "buildah"
    for mode in modes if not settings.root else ():
        place = next((one.directory.path for one in options if one.kind == mode), None)
        own = _own(findings, mode, settings)
        if own:
            place = place or _any_place(findings, settings)
            run = findings.own.run if findings.own and findings.own.run else place / f"run-{mode}"
            storage = Storage(
                root=own.root, run=run, driver=own.driver, mount_program=own.mount_program, own=True
            )
            return Means(mode=mode, place=place, storage=storage, entry=entry, runner=runner)
    if not options:
        raise _no_storage(findings, settings, modes)
    best = options[0]
    fuse = _DRIVERS[best.driver] == "fuse"
    apart = f"{best.kind}-fuse" if fuse else best.kind  # what fuse-overlayfs stacked, the kernel can't read
    storage = Storage(
        root=best.directory.path / f"store-{apart}",
        run=best.directory.path / f"run-{apart}",
        driver="vfs" if _DRIVERS[best.driver] == "vfs" else "overlay",
        mount_program=_fuse_program(findings) if fuse else None,
    )
    return Means(mode=best.kind, place=best.directory.path, storage=storage, entry=entry, runner=runner)


def _modes(findings: Findings, settings: Settings) -> tuple[Kind, ...]:
    """Return the modes that may be taken, the best first; none when there is no namespace."""
    if settings.mode == "none":
        return ()
    if settings.mode:
        trial = findings.trial(settings.mode)
        if not trial.works:
            raise HostError(
                f"mode {settings.mode} does not work on this host: {trial.why}",
                place=settings.origin("mode"),
                hint=_DOCTOR,
            )
        return (settings.mode,)
    if findings.root.works:
        return ("root",)
    kinds: tuple[Kind, ...] = ("subuid", "single")
    return tuple(kind for kind in kinds if findings.trial(kind).works)


class Stacking(NamedTuple):
    """How layers are stacked in a storage at `root`."""

    root: Path
    driver: Literal["overlay", "vfs"]
    mount_program: Path | None = None


def _own(findings: Findings, mode: Kind, settings: Settings) -> Stacking | None:
    """Return how the user's own storage can be built in, or None.

    Nobody but us can use what is made with one id mapped, so then it is never taken.
    """
    own = findings.own
    if own is None or mode == "single" or own.directory.trouble or mode not in own.directory.chown:
        return None
    root, wanted = own.directory.path, settings.storage_driver or own.driver or "overlay"
    if wanted == "vfs":
        return None if own.directory.noexec else Stacking(root, "vfs")
    if wanted == "overlay" and own.mount_program and not settings.storage_driver:
        return Stacking(root, "overlay", own.mount_program) if findings.fuse.works else None
    if wanted == "overlay" and mode in own.directory.overlay:
        return Stacking(root, "overlay")
    if wanted == "fuse" and mode in own.directory.fuse:
        return Stacking(root, "overlay", _fuse_program(findings))
    return None


def _options(findings: Findings, settings: Settings, modes: tuple[Kind, ...]) -> Iterator[Option]:
    """Yield each way to keep images in a directory of ours."""
    for order, directory in enumerate(findings.directories):
        for rank, mode in enumerate(modes):
            if directory.trouble or (mode != "single" and mode not in directory.chown):
                continue
            for driver, works in enumerate(
                (mode in directory.overlay, mode in directory.fuse, not directory.noexec)
            ):
                if works and settings.storage_driver in {None, _DRIVERS[driver]}:
                    yield Option(driver, directory.free < ENOUGH, rank, order, mode, directory)


def _any_place(findings: Findings, settings: Settings) -> Path:
    """Return the best directory of ours whatever it can do."""
    usable = [one for one in findings.directories if not one.trouble]
    if not usable:
        raise _no_place(findings, settings)
    return min(usable, key=lambda one: one.free < ENOUGH).path


def _no_storage(findings: Findings, settings: Settings, modes: tuple[Kind, ...]) -> HostError:
    usable = [one for one in findings.directories if not one.trouble]
    if not usable:
        return _no_place(findings, settings)
    if settings.storage_driver == "fuse" and not (findings.fuse.works and findings.tool("fuse-overlayfs")):
        why = findings.fuse.why or "fuse-overlayfs is not on PATH"
        origin = settings.origin("storage_driver")
        return HostError(f"storage driver fuse does not work on this host: {why}", place=origin, hint=_DOCTOR)
    if settings.storage_driver:
        where = ", ".join(str(one.path) for one in usable)
        return HostError(
            f"storage driver {settings.storage_driver} works in mode {' or '.join(modes)} in none of: "
            f"{where}",
            place=settings.origin("storage_driver"),
            hint=f"name another directory with --root; {_DOCTOR}",
        )
    where = ", ".join(f"{one.path} ({one.filesystem})" for one in usable)
    return HostError(
        f"no directory can hold images in mode {' or '.join(modes)}: tried {where}",
        place=settings.origin("mode") if settings.mode else None,
        hint=f"name one on a local disk with AVABUILD_ROOT=DIR; {_DOCTOR}",
    )


def _no_place(findings: Findings, settings: Settings) -> HostError:
    said = "; ".join(f"{one.path} {one.trouble}" for one in findings.directories)
    return HostError(
        f"no directory can hold what builds keep: {said}",
        place=settings.origin("root") if settings.root else None,
        hint="name one that is yours with AVABUILD_ROOT=DIR",
    )


def _fuse_program(findings: Findings) -> Path | None:
    tool = findings.tool("fuse-overlayfs")
    return tool.path if tool else None
