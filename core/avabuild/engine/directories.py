"""Directories: an image's workdir and volumes, made in a layer where nothing below has them.

They belong to the image's user, by number, or by name as the passwd of the layers below has it.
"""

from __future__ import annotations

import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from avabuild.common.tars import passing
from avabuild.common.value import Value, digest_of
from avabuild.layer.blob import MTIME, BlobWriter, Compression
from avabuild.layer.facts import READ_AT_MOST
from avabuild.layer.merged import Merged, is_whiteout, plain
from avabuild.layer.tree import Tree
from avabuild.plugins.framework import PREFIX
from avabuild.plugins.kinds import checked_owner
from avabuild.store import Store
from avabuild.store.blob import Blob
from avabuild.store.oci import Settings

FORMAT = 1
NAME = "workdir and volumes"
_ACCOUNTS = ("etc/passwd", "etc/group")


class Directory(Value):
    """One directory to write, by its name in the image."""

    name: str
    mode: int = 0o755
    uid: int = 0
    gid: int = 0


def wanted(settings: Settings) -> tuple[str, ...]:
    """Return the directories that containers of an image start in or mount to; none of the venv's own."""
    paths = dict.fromkeys([*([settings.workdir] if settings.workdir else []), *settings.volumes])
    return tuple(path for path in paths if path.strip("/") and not f"{path}/".startswith(f"{PREFIX}/"))


def user_of(settings: Settings, base: Mapping[str, Any]) -> str:
    """Return as whom a container of the image runs; `base` is the base's config."""
    return settings.user or str((base.get("config") or {}).get("User") or "")


def owner(store: Store, blobs: Sequence[Blob], user: str) -> tuple[int, int] | None:
    """Return the ids of a user, `NAME` or `UID` with a group or without; None where the layers know no such.

    A number that no passwd has is of group 0, as runtimes have it.
    """
    name, _, group = user.partition(":")
    if name in {"", "0", "root"} and group in {"", "0", "root"}:
        return 0, 0
    if name.isdigit() and group.isdigit():
        return _ids(name, group)
    accounts = _accounts(store, blobs)
    people = [line.split(":") for line in accounts.get("etc/passwd", "").splitlines()]
    groups = [line.split(":") for line in accounts.get("etc/group", "").splitlines()]
    mine = next((one for one in people if len(one) > 3 and name in {one[0], one[2]}), None)
    if mine is None and not name.isdigit():
        return None
    gid = mine[3] if mine else "0"
    if group:
        theirs = next((one[2] for one in groups if len(one) > 2 and group in {one[0], one[2]}), group)
        gid = theirs if theirs.isdigit() else ""
    uid = mine[2] if mine else name
    return _ids(uid, gid)


def _ids(uid: str, gid: str) -> tuple[int, int] | None:
    """Return two ids as numbers, None where they are none that the kernel has."""
    try:
        checked_owner(f"{uid}:{gid}")
        return int(uid), int(gid)
    except ValueError:
        return None


def missing(tree: Tree, paths: Sequence[str], ids: tuple[int, int]) -> tuple[Directory, ...]:
    """Return what has to be written for `paths` to be there: their parents, as they are, before them."""
    made: dict[str, Directory] = {}
    for path in sorted(paths):
        name = tree.place(path, follow=True)
        if not name or name in tree.nodes:
            continue
        for parent in reversed(PurePosixPath(name).parents[:-1]):
            node = tree.directory(parent.as_posix())
            known = Directory(name=parent.as_posix(), mode=node.mode, uid=node.uid, gid=node.gid)
            made.setdefault(known.name, known)
        made[name] = Directory(name=name, uid=ids[0], gid=ids[1])
    return tuple(made[name] for name in sorted(made))


def directories_parts(
    found: Sequence[Directory], compression: Compression
) -> tuple[tuple[tuple[str, str], ...], str]:
    """Return the named inputs of the layer's key, and the key."""
    parts = [("format", str(FORMAT)), ("compression", compression)]
    parts += [(f"/{one.name}", digest_of([one.mode, one.uid, one.gid])) for one in found]
    return tuple(parts), digest_of(["directories", parts])


def write_directories(out: Path, found: Sequence[Directory], compression: Compression) -> Blob:
    """Write the layer."""
    with BlobWriter(out, compression) as writer:
        for one in found:
            info = tarfile.TarInfo(one.name)
            info.type, info.mode, info.mtime = tarfile.DIRTYPE, one.mode, MTIME
            info.uid, info.gid = one.uid, one.gid
            writer.add(info, ())
        return writer.finish()


def _accounts(store: Store, blobs: Sequence[Blob]) -> dict[str, str]:
    """Return passwd and group as the layers make them, lowest first; each is read once, ever."""
    merged: Merged[str] = Merged(lambda _: False)
    for blob in blobs:
        known = store.recall("accounts", blob.digest)
        if not isinstance(known, dict) or not all(isinstance(text, str) for text in known.values()):
            known = _read(store.blob_path(blob.digest))
            store.record("accounts", blob.digest, known)
        merged.add(known.items())
    return dict(merged.items())


def _read(blob: Path) -> dict[str, str]:
    found: dict[str, str] = {}
    with passing(blob) as tar:
        for member in tar:
            name = plain(member.name)
            if is_whiteout(name) and (name.startswith("etc/.wh.") or "/" not in name):
                found[name] = ""
            elif name in _ACCOUNTS and member.isreg():
                file = tar.extractfile(member)
                found[name] = file.read(READ_AT_MOST).decode(errors="replace") if file else ""
    return found
