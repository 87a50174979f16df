"""What a step changed in a working container, written as a layer: deterministic, without the step's litter.

The overlay driver keeps a container's changes in a directory (`diff`) beside the merged mount. That
directory says which paths changed; content and metadata are read through the mount, so that `metacopy` and
renamed directories come out whole. The vfs driver keeps whole copies instead: there each path is held against
the copy that the container was started from. Run as a program inside the container's user namespace it prints
the layer's blob as JSON.

Source: OCI image-spec, layer.md (whiteouts, opaque directories); Linux, Documentation/filesystems/overlayfs.
"""

from __future__ import annotations

import fnmatch
import glob
import json
import os
import stat
import struct
import sys
import tarfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from avabuild.common.errors import HostError
from avabuild.common.sparse import too_sparse
from avabuild.layer.blob import MTIME, OPAQUE, BlobWriter, Compression
from avabuild.layer.confidential import confidential, words
from avabuild.plugins.kinds import WHITEOUT
from avabuild.store.blob import Blob

CHUNK = 1 << 20
# What the engine or the kernel leaves in any container, whatever the step did.
ENGINE = (
    "dev/*",
    "proc/*",
    "sys/*",
    "run/avabuild",
    "run/avabuild/*",
    "run/.containerenv",
    "etc/hosts",
    "etc/hostname",
    "etc/resolv.conf",
)
# What APT and dpkg leave behind besides the packages: logs, lists, caches, locks and backups.
APT = (
    "var/log/*.log",  # not the directories, which packages bring with their own owners
    "var/log/*tmp",
    "var/log/apt/*",
    "var/log/faillog",
    "var/log/lastlog",
    "var/cache/apt/*",
    "var/lib/apt/lists/*",
    "var/cache/debconf/*-old",
    "var/cache/ldconfig/*",
    "var/lib/dpkg/*-old",
    "var/lib/dpkg/lock*",
    "var/lib/dpkg/triggers/Lock",
    "var/lib/systemd/*",
    "etc/.pwd.lock",
    *(f"etc/{name}-" for name in ("passwd", "group", "shadow", "gshadow", "subuid", "subgid")),
    "tmp/*",
    "run/*",
)
_XATTR_KEPT = ("security.capability",)
_COMPARED = ("st_mode", "st_uid", "st_gid", "st_size", "st_mtime_ns", "st_rdev")
_PYC_HEADER = struct.Struct("<4sIII")
_PYC_2_7 = b"\x03\xf3\r\n"


class ChangeError(Exception):
    """What a step made can't be in a layer; the message says why."""


def write_changes(
    merged: Path,
    out: Path,
    began: float,
    drop: tuple[str, ...],
    compression: Compression,
    emptied: frozenset[str] = frozenset(),
) -> Blob:
    """Write what changed in the container mounted at `merged` to the layer `out`.

    Times after `began` (seconds since the epoch: when the step started) become the fixed time of all
    layers; older ones, which a package brought, stay. `drop` are patterns of paths to leave out, `emptied`
    the names of files whose content is.
    """
    with BlobWriter(out, compression) as writer:
        if (merged.parent / "diff").is_dir():
            _Changes(merged, merged.parent / "diff", began, drop, writer, emptied).walk("")
        elif merged.parent.name == "dir" and merged.parents[1].name == "vfs":
            _Copied(merged, merged, began, drop, writer, emptied).walk("")
        else:
            raise HostError(
                "layers made by commands need a storage driver that is overlay or vfs",
                hint='set driver = "overlay" in ~/.config/containers/storage.conf',
            )
        return writer.finish()


class _Changes:
    """One walk over a container's changes; parents of what is written come before it, once each."""

    def __init__(
        self,
        merged: Path,
        upper: Path,
        began: float,
        drop: tuple[str, ...],
        writer: BlobWriter,
        emptied: frozenset[str],
    ) -> None:
        self.merged = merged
        self.upper = upper
        self.lowers = self._below()
        self.began = began
        self.drop = drop
        self.writer = writer
        self.emptied = emptied
        self.written = {""}
        self.links: dict[tuple[int, int], str] = {}

    def _below(self) -> tuple[Path, ...]:
        """The directories of the layers below, topmost first, from the driver's own `lower` file."""
        layer = self.merged.parent
        links = (layer / "lower").read_text().strip().split(":") if (layer / "lower").exists() else []
        return tuple((layer.parent / link).resolve() for link in links if link)

    def walk(self, directory: str, *, whole: bool = False) -> None:
        """Write the changes below `directory`; all of it when `whole`, since it replaces what was there."""
        source = self.merged if whole else self.upper
        for entry in sorted(os.scandir(source / directory), key=lambda entry: entry.name):
            name = f"{directory}/{entry.name}" if directory else entry.name
            if self._dropped(name):
                continue
            state = entry.stat(follow_symlinks=False)
            if entry.name.startswith(WHITEOUT):
                if whole or os.path.lexists(self.merged / name):  # fuse-overlayfs shows nobody its own
                    raise ChangeError(
                        f"{f'/{name}'!r} has the name of a whiteout: it would remove files of the image"
                    )
                if entry.name != OPAQUE:
                    self._mark(directory, entry.name.removeprefix(WHITEOUT))
            elif _is_none(state):
                if whole:
                    raise ChangeError(
                        f"{f'/{name}'!r} is a device that means a whiteout: it would remove files"
                    )
                self._mark(directory, entry.name)
            elif stat.S_ISDIR(state.st_mode):
                self._directory(name, whole=whole)
            elif not stat.S_ISSOCK(state.st_mode):
                self._file(name)

    def _dropped(self, name: str) -> bool:
        return _matches(name, self.drop)

    def _directory(self, name: str, *, whole: bool) -> None:
        replaced = not whole and (_replaces(self.upper / name) or self._emptied(name))
        if whole or replaced or self._is_new(name):
            self._parents(name)
        if replaced:
            self.writer.opaque(name)
        self.walk(name, whole=whole or replaced)

    def _emptied(self, name: str) -> bool:
        """Whether fuse-overlayfs hides what layers below have there; it marks any new directory."""
        marked = (self.upper / name / OPAQUE).exists()
        return marked and any(_is_directory(lower / name) for lower in self.lowers)

    def _is_new(self, name: str) -> bool:
        """Whether no layer below has this directory with the same owner and mode."""
        now = (self.upper / name).lstat()
        for lower in self.lowers:
            with suppress(FileNotFoundError, NotADirectoryError):
                before = (lower / name).lstat()
                return (now.st_mode, now.st_uid, now.st_gid) != (before.st_mode, before.st_uid, before.st_gid)
        return True

    def _parents(self, name: str) -> None:
        """Write `name`, a directory, and the directories above it, unless they have been."""
        if name in self.written:
            return
        self._parents(name.rpartition("/")[0])
        self.written.add(name)
        self.writer.add(self._info(name), ())

    def _mark(self, directory: str, name: str) -> None:
        self._parents(directory)
        self.writer.whiteout(directory, name)

    def _file(self, name: str) -> None:
        self._parents(name.rpartition("/")[0])
        info = self._info(name)
        if not info.isreg():
            self.writer.add(info, ())
            return
        if name in self.emptied:
            info.size = 0
            self.writer.add(info, ())
            return
        if problem := too_sparse(self.merged / name):
            raise ChangeError(f"/{name} {problem}")
        with (self.merged / name).open("rb") as file:
            self.writer.add(info, content(file, name, self.began))

    def _info(self, name: str) -> tarfile.TarInfo:
        path = self.merged / name
        state = path.lstat()
        info = tarfile.TarInfo(name)
        info.mode = stat.S_IMODE(state.st_mode)
        info.uid, info.gid = state.st_uid, state.st_gid
        info.mtime = MTIME if state.st_mtime > self.began else int(state.st_mtime)
        if stat.S_ISDIR(state.st_mode):
            info.type = tarfile.DIRTYPE
        elif stat.S_ISLNK(state.st_mode):
            info.type, info.linkname = tarfile.SYMTYPE, str(path.readlink())
        elif stat.S_ISFIFO(state.st_mode):
            info.type = tarfile.FIFOTYPE
        elif stat.S_ISCHR(state.st_mode) or stat.S_ISBLK(state.st_mode):
            info.type = tarfile.CHRTYPE if stat.S_ISCHR(state.st_mode) else tarfile.BLKTYPE
            info.devmajor, info.devminor = os.major(state.st_rdev), os.minor(state.st_rdev)
        else:
            first = self.links.setdefault((state.st_dev, state.st_ino), name)
            if first != name:
                info.type, info.linkname = tarfile.LNKTYPE, first
            else:
                info.size = state.st_size
                info.pax_headers = _xattrs(path)
        return info


class _Copied(_Changes):
    """The same over the whole copies of the vfs driver: two directories, of which the later one is mounted.

    A file counts as changed by what containers/storage itself goes by: mode, owner, size, time, device.
    """

    def _below(self) -> tuple[Path, ...]:
        """The copy that the container was started from; newer storages list containers as volatile layers."""
        lists = (self.merged.parents[2] / "vfs-layers").glob("*layers.json")
        layers = [layer for path in lists for layer in json.loads(path.read_bytes())]
        parents = {layer["id"]: layer.get("parent") for layer in layers}
        if self.merged.name not in parents:  # all of it would come out as changed
            raise HostError(f"the image storage does not list the layer {self.merged.name} of its container")
        return (self.merged.parent / parent,) if (parent := parents[self.merged.name]) else ()

    def walk(self, directory: str, *, whole: bool = False) -> None:
        """Write the changes below `directory`; all of it when `whole`."""
        now = {path.name for path in (self.merged / directory).iterdir()}
        lowers = () if whole else self.lowers
        before = {path.name for below in lowers for path in (below / directory).iterdir()}
        for entry in sorted(now | before):
            name = f"{directory}/{entry}" if directory else entry
            if self._dropped(name):
                continue
            if entry not in now:
                self._mark(directory, entry)
                continue
            state = (self.merged / name).lstat()
            if _is_none(state) and (whole or self._differs(name, state)):
                raise ChangeError(f"{f'/{name}'!r} is a device that means a whiteout: it would remove files")
            if stat.S_ISDIR(state.st_mode):
                fresh = whole or not any(_is_directory(below / name) for below in self.lowers)
                if fresh or self._is_new(name):
                    self._parents(name)
                self.walk(name, whole=fresh)
            elif not stat.S_ISSOCK(state.st_mode) and (whole or self._differs(name, state)):
                self._file(name)

    def _differs(self, name: str, now: os.stat_result) -> bool:
        for below in self.lowers:
            with suppress(FileNotFoundError, NotADirectoryError):
                before = (below / name).lstat()
                return any(getattr(now, field) != getattr(before, field) for field in _COMPARED)
        return True


def _is_none(state: os.stat_result) -> bool:
    """Whether it is the device 0:0, with which overlayfs says that a file is gone."""
    return stat.S_ISCHR(state.st_mode) and state.st_rdev == 0


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def _is_directory(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def _replaces(directory: Path) -> bool:
    """Whether overlayfs hides the lower directory of this name (opaque), or shows another (redirect)."""
    for name in ("overlay.opaque", "overlay.redirect"):
        for space in ("trusted", "user"):
            with suppress(OSError):
                if os.getxattr(directory, f"{space}.{name}", follow_symlinks=False):
                    return True
    return False


def _xattrs(path: Path) -> dict[str, str]:
    kept = {}
    for name in _XATTR_KEPT:
        with suppress(OSError):
            value = os.getxattr(path, name, follow_symlinks=False)
            kept[f"SCHILY.xattr.{name}"] = value.decode("utf-8", "surrogateescape")
    return kept


def content(file: BinaryIO, name: str, began: float) -> Iterator[bytes]:
    """Yield the file's bytes; in a module compiled for a source of this step, with the source's new time.

    A `.pyc` holds its source's time (PEP 552; Python 2 has it right behind the magic): fixing one without
    the other would have every import compile anew.
    """
    chunk = file.read(CHUNK)
    if name.endswith(".pyc") and chunk.startswith(_PYC_2_7) and len(chunk) >= 8:
        if int.from_bytes(chunk[4:8], "little") >= int(began):
            chunk = _PYC_2_7 + MTIME.to_bytes(4, "little") + chunk[8:]
    elif name.endswith(".pyc") and len(chunk) >= _PYC_HEADER.size:
        magic, flags, time, size = _PYC_HEADER.unpack_from(chunk)
        if flags == 0 and time >= int(began):  # whole seconds
            chunk = _PYC_HEADER.pack(magic, flags, MTIME, size) + chunk[_PYC_HEADER.size :]
    while chunk:
        yield chunk
        chunk = file.read(CHUNK)


def main(argv: list[str]) -> int:
    """`MERGED OUT BEGAN COMPRESSION [PATTERN ...]`: write the layer, print its blob or what is wrong.

    A pattern that begins with `+` is of keys and ids to keep, see `confidential`; others are left out.
    """
    merged, out, began, packed, *patterns = argv
    keep = [pattern[1:] for pattern in patterns if pattern.startswith("+")]
    drop = [pattern for pattern in patterns if not pattern.startswith("+")]
    compression: Compression = "zstd" if packed == "zstd" else "gzip"
    try:
        gone, emptied = confidential(Path(merged), float(began), keep)
        gone = frozenset(name for name in gone if not _matches(name, drop))
        everything = (*drop, *(glob.escape(name) for name in gone))
        blob = write_changes(Path(merged), Path(out), float(began), everything, compression, emptied)
        told = words(sorted(gone), sorted(emptied)) if gone or emptied else ""
        sys.stdout.write(json.dumps({"blob": blob.model_dump(), "told": told}))
    except (ChangeError, ValueError) as error:
        sys.stdout.write(json.dumps({"problem": str(error)}))
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
