"""Store: blobs by digest (an OCI image layout's `blobs/`) and what each key was made into.

Layout below the root, which is `$AVABUILD_CACHE` or the user's XDG cache directory:

    blobs/sha256/HEX     immutable; the name is the content
    index/KIND/HEX.json  key -> what was made of it (a Blob, a base, an image)
    wheels/ debs/ pyc/   downloads and bytecode, by content
    tmp/BUILD/           one build's scratch space, locked while the build lives
    leases/              one file for each process that uses the store: see `uses`
    used/KIND/NAME       last uses of files whose own times must not change
    logs/                one log per build

What is not here may be in a shared store beside it (`shared.py`): it is read, never written.

Two builds may use one store: everything appears by rename, and making a key is serialised by a lock of
that key.

Damage is absence: an entry of the index carries a checksum, and a file is held against its digest when it is
first seen and whenever its inode, size or time is another. What is damaged goes, and is made again.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

from filelock import BaseFileLock, Timeout

from avabuild.common.errors import DiskFullError, StoreError
from avabuild.common.value import Value
from avabuild.host.sharing import Sharing
from avabuild.store.blob import Blob
from avabuild.store.claims import Claims
from avabuild.store.entry import decode_entry, encode_entry, entry_name
from avabuild.store.shared import Found, Shared
from avabuild.store.uses import Uses
from avabuild.store.whole import file_lock, make_directory, open_up, publish, remove, write_whole

# What an index entry of a shared store may say: all that does not depend on this user or their other files.
_SHARED = {
    "layer",
    "base",
    "base-name",
    "base-of",
    "compiled",
    "built",
    "linkage",
    "overlaps",
    "tree",
    "pack",
}
_HARMLESS = {"base-of"}  # believed of anyone: it only keeps a base that the user's own lock names
_DATED = {"debs", "built"}  # their times are part of the memo of their hashes
_STATE_AND_DIGEST = 2
_MEMOS = {"file", "whole"}  # found out again at little cost: a power cut may take them
_OWN = {"blobs", "wheels", "built", "pyc"}  # their names say what they hold: another content is damage
_FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST}


_PATIENCE = 3.0  # seconds after which a build says that it waits for another one
_LOCKED = {
    "apt": "APT's archives",
    "base": "the base in the making",
    "compiled": "what is compiled in the making",
    "driver": "the driver's library in the making",
    "layer": "a layer in the making",
    "layout": "the image's directory",
    "linkage": "a layer to look into",
    "pip": "pip in the making",
}  # what locks of each kind are about; other kinds say it themselves


def _silent(text: str) -> None:
    """Take a sentence and drop it."""


class Kept(Value):
    """A blob that goes with what is recorded for a key."""

    digest: str
    size: int

    @classmethod
    def of(cls, blob: Blob) -> Kept:
        """Return the blob of a layer."""
        return cls(digest=blob.digest, size=blob.size)


class Elsewhere(Protocol):
    """What the store asks and tells; none of it fails, and all of it may be called from any thread."""

    def bring(self, store: Store, kind: str, key: str) -> bool:
        """Bring what `key` of `kind` is, with its blobs; return whether the store has it now."""

    def keep(
        self, store: Store, kind: str, key: str, record: Any, blobs: Sequence[Kept], *, anew: bool = False
    ) -> None:
        """Be told what `key` of `kind` is: its blobs are in the store, and stay while the run lasts.

        What is known of it there stays as it is, unless this is something `anew`.
        """

    def stop(self) -> None:
        """End what is under way soon."""


class Store:
    """A cache directory. Creating one makes the directories that are missing, and nothing else.

    Attributes:
        claims: what the builds of this process are making, to be shared with them.
        shared: the store of others that is looked into for what is not here, or None.
        uses: what this process has used, so that nobody prunes it meanwhile.
        elsewhere: who else may know what keys were made into, or None.
        say: told when a build has to wait for another one.
    """

    def __init__(self, root: Path, sharing: Sharing | None = None) -> None:
        self.root = root
        other = sharing and sharing.directory.resolve() != root.resolve()
        self.shared = Shared(sharing) if sharing and other else None
        self.claims = Claims()
        self.elsewhere: Elsewhere | None = None
        self._held: set[str] = set()  # locks that a thread of this process has
        self.say: Callable[[str], None] = _silent
        self._seen: dict[str, tuple[str, str]] = {}  # by name: the state of a file, and its digest then
        self.blobs = root / "blobs" / "sha256"
        with disk_errors(root):
            root.mkdir(parents=True, exist_ok=True)
            for name in ("blobs/sha256", "index", "locks", "tmp", "logs", "pyc", "stamps", "leases"):
                make_directory(root / name)
            self.uses = Uses(root / "leases")

    def blob_path(self, digest: str) -> Path:
        """Return where the blob `sha256:HEX` is, here or in the shared store, or would be here.

        Raises:
            StoreError: it was here, and is damaged.
        """
        name = f"blobs/sha256/{digest.removeprefix('sha256:')}"
        there = os.path.lexists(self.root / name)
        found = self.find(name, digest)
        if found is None and there:
            raise _damaged(self.root / name)
        return found or self.root / name

    def has(self, digest: str, size: int | None = None) -> bool:
        """Whether the blob is here, and whole; it counts as used then."""
        return self.find(f"blobs/sha256/{digest.removeprefix('sha256:')}", digest, size) is not None

    def read(self, digest: str) -> bytes:
        """Return the blob, a manifest or config, which is held against its digest every time.

        Raises:
            StoreError: it is damaged. FileNotFoundError: it is not here.
        """
        path = self.blob_path(digest)
        data = path.read_bytes()
        if f"sha256:{hashlib.sha256(data).hexdigest()}" != digest:
            remove(self.blobs / path.name)
            raise _damaged(path)
        return data

    def holds(self, name: str, digest: str, size: int | None = None) -> bool:
        """Whether the file `name` is here and has the digest; it counts as used then.

        One that should have it by its name and has not is removed. Its content is read when its inode, size
        or time is new to this store; that others link to it, or use it, changes none of them.
        """
        own = self.root / name
        if {"", ".", ".."} & {*name.split("/")}:
            return False  # no file's name
        with self.claims.hold(f"file {name}"):
            state = _state_of(own)
            if state is None and not os.path.lexists(own):
                return False
            known = self._seen.get(name)
            if state and known and known[0] == state:
                return known[1] == digest
            if state and (not size or int(state.split(":")[1]) == size):
                if not self._uses(name):
                    return False  # it was pruned just now
                if known is None or known[0] != state:
                    known = self._noted(name, state)
                found = known[1] if known else _digest_of(own)
                if found is not None:
                    state = self._note(name, found)
                    if found == digest:
                        return state is not None
            if name.partition("/")[0] in _OWN and _state_of(own) == state:  # nobody made it again meanwhile
                remove(own)
            return False

    def noted(self, name: str) -> str | None:
        """Return the digest that the file `name` had when it was last read; None for one that never was."""
        noted = self._recall_own("whole", name)
        return str(noted[1]) if isinstance(noted, list) and len(noted) == _STATE_AND_DIGEST else None

    def forget(self, name: str) -> None:
        """Have the file `name` read again by whoever asks for it next."""
        self._seen.pop(name, None)
        remove(self.root / entry_name("whole", name))

    def _noted(self, name: str, state: str) -> tuple[str, str] | None:
        """Return what is remembered of the file `name` in this state."""
        noted = self._recall_own("whole", name)
        return (state, str(noted[1])) if isinstance(noted, list) and noted[:1] == [state] else None

    def _note(self, name: str, digest: str) -> str | None:
        """Remember that the file `name` is as it is now, and has the digest; return its state."""
        if state := _state_of(self.root / name):
            if self._noted(name, state) != (state, digest):
                with suppress(StoreError, DiskFullError):  # it is found out again
                    self.record("whole", name, [state, digest])
            self._seen[name] = (state, digest)
        return state

    def _uses(self, name: str) -> bool:
        """Whether the file `name` is here; it counts as used then."""
        own, (kind, _, rest) = self.root / name, name.partition("/")
        if kind not in _DATED:
            return self.uses.use(own)
        if own.exists():
            self.uses.mark(self.use_mark(kind, rest.partition("/")[0]))
        return own.exists()

    def use_mark(self, kind: str, name: str) -> Path:
        """Return the file whose time tells when `name` of `kind` was last used: its own must not change."""
        return self.root / "used" / kind / name

    def find(self, name: str, digest: str, size: int | None = None) -> Path | None:
        """Return the file `name`, of a blob, wheel or package with this digest and maybe `size`; else None.

        It is whole, here or in the shared store.
        """
        if self.holds(name, digest, size):
            return self.root / name
        return self._borrow(name, digest, size)

    def take(self, name: str, digest: str, size: int | None = None) -> Path | None:
        """Return the same as `find`, as a file of this store: linked or copied when it was in the other."""
        found, own = self.find(name, digest, size), self.root / name
        if found is None or found == own:
            return found
        with disk_errors(self.root):
            make_directory(own.parent)
            with tempfile.TemporaryDirectory(dir=self.root / "tmp") as place:
                partial = Path(place, "taken")
                try:
                    os.link(found, partial)
                except OSError:
                    shutil.copyfile(found, partial)
                    open_up(partial, own.parent)
                publish(partial, own)
        self._note(name, digest)
        return own

    def _borrow(self, name: str, digest: str, size: int | None) -> Path | None:
        """Return the shared store's file when it holds what it should, a copy of an untrusted one."""
        if self.shared is None:
            return None
        with self.shared.opened(name, size) as found:
            if found is None:
                return None
            known = self.recall("file", found.state)
            try:
                if known is None and found.trusted:
                    known = found.digest()
                    self.record("file", found.state, known)
                if known not in {None, digest}:
                    return None
                return found.path if found.trusted else self._copied(found, name, digest)
            except OSError:  # of the other's disk, which may be far away
                return None

    def _copied(self, found: Found, name: str, digest: str) -> Path | None:
        own = self.root / name
        with disk_errors(self.root), tempfile.NamedTemporaryFile(dir=self.root / "tmp") as partial:
            got = found.copy(partial)
            if got != digest:
                self.record("file", found.state, got)
                return None
            partial.flush()
            make_directory(own.parent)
            open_up(Path(partial.name), own.parent)
            whole = Path(f"{partial.name}.whole")
            os.link(partial.name, whole)
            publish(whole, own)
        self._note(name, digest)
        return own

    def put(self, data: bytes) -> str:
        """Keep `data` (a config or manifest: small) and return its digest."""
        name = hashlib.sha256(data).hexdigest()
        if not self.holds(f"blobs/sha256/{name}", f"sha256:{name}", len(data)):
            self._write(self.blobs / name, data)
        return f"sha256:{name}"

    def adopt(self, path: Path, digest: str) -> Path:
        """Move the finished file `path`, whose content hashes to `digest`, into the blobs."""
        return self.keep(path, f"blobs/sha256/{digest.removeprefix('sha256:')}", digest)

    def keep(self, path: Path, name: str, digest: str) -> Path:
        """Move the finished file `path`, whose content hashes to `digest`, to where `find` has it."""
        target = self.root / name
        with disk_errors(self.root):
            make_directory(target.parent)
            open_up(path, target.parent)
            publish(path, target)
        self._note(name, digest)
        return target

    def record(self, kind: str, key: str, data: Any) -> None:
        """Remember that `key` of `kind` is `data`."""
        path = self.root / entry_name(kind, key)
        with disk_errors(self.root):
            make_directory(path.parent)
        self._write(path, encode_entry(entry_name(kind, key), data), lasting=kind not in _MEMOS)

    def recall(self, kind: str, key: str) -> Any | None:
        """Return what was recorded for `key`, here or in the shared store; None for what is damaged."""
        found = self._recall_own(kind, key)
        if found is None and self.shared and kind in _SHARED:
            name = entry_name(kind, key)
            text = self.shared.read(name, hearsay=kind in _HARMLESS)
            return decode_entry(name, text) if text is not None else None
        return found

    def _recall_own(self, kind: str, key: str) -> Any | None:
        name = entry_name(kind, key)
        try:
            return decode_entry(name, (self.root / name).read_bytes())
        except OSError:
            return None

    def entries(self, kind: str) -> Iterator[Any]:
        """Yield what was recorded here for every key of `kind`."""
        for path in sorted((self.root / "index" / kind).glob("*.json")):
            with suppress(OSError):
                found = decode_entry(f"index/{kind}/{path.name}", path.read_bytes())
                if found is not None:
                    yield found

    def known(self, kind: str, key: str) -> Any | None:
        """Return what was recorded for `key` here or elsewhere, or None."""
        found = self.recall(kind, key)
        if found is None and self.elsewhere and self.elsewhere.bring(self, kind, key):
            found = self.recall(kind, key)
        return found

    def offer(
        self, kind: str, key: str, record: Any, blobs: Sequence[Kept] = (), *, anew: bool = False
    ) -> None:
        """Tell whoever is elsewhere what `key` is; `anew` where it may have been something else."""
        if self.elsewhere:
            self.elsewhere.keep(self, kind, key, record, blobs, anew=anew)

    def layer(self, key: str, *, private: bool = False) -> Blob | None:
        """Return the layer made for `key` when its blob is here whole, else None.

        One that is not `private` may come from elsewhere, and go there.
        """
        blob = self._layer(key)
        if blob is None and not private and self.elsewhere and self.elsewhere.bring(self, "layer", key):
            blob = self._layer(key)
        if blob and not private:
            self.offer("layer", key, blob.model_dump(), (Kept.of(blob),))
        return blob

    def _layer(self, key: str) -> Blob | None:
        try:
            blob = Blob.model_validate(self.recall("layer", key))
        except ValueError:  # nothing, or of an older format
            return None
        return blob if self.has(blob.digest, blob.size) else None

    def make_layer(
        self, key: str, directory: Path, make: Callable[[Path], Blob], *, private: bool = False
    ) -> tuple[Blob, bool]:
        """Return the layer of `key` and whether it was made now.

        `make` writes the blob to the path it is given (in `directory`, on the store's file system); it is
        called only when no other build has made or is making the same key. Nothing is kept when it raises.
        """
        if blob := self.layer(key, private=private):
            return blob, False
        with self.lock("layer", key):
            if blob := self._layer(key):
                return blob, False
            with disk_errors(self.root):
                handle, name = tempfile.mkstemp(dir=directory, prefix="layer-")
            os.close(handle)
            path = Path(name)
            try:
                blob = make(path)
                self.adopt(path, blob.digest)
            finally:
                path.unlink(missing_ok=True)
            self.record("layer", key, blob.model_dump())
            if not private:
                self.offer("layer", key, blob.model_dump(), (Kept.of(blob),))
            return blob, True

    @contextmanager
    def lock(self, kind: str, key: str, timeout: float = -1) -> Iterator[None]:
        """Hold the lock under which `key` of `kind` is made, against other processes and threads.

        Raises filelock's Timeout when it can't be had within `timeout` seconds; negative ones wait.
        """
        name = hashlib.sha256(os.fsencode(f"{kind}:{key}")).hexdigest()[:32]
        lock = file_lock(self.root / "locks" / name)
        with disk_errors(self.root):
            if timeout >= 0:
                lock.acquire(timeout)
            else:
                self._wait(lock, name, _LOCKED.get(kind, kind))
        self._held.add(name)
        try:
            yield
        finally:
            self._held.discard(name)
            lock.release()

    def _wait(self, lock: BaseFileLock, name: str, what: str) -> None:
        """Take the lock; when another process keeps it for a while, say that this one waits."""
        try:
            lock.acquire(_PATIENCE)
        except Timeout:
            if name not in self._held:
                self.say(f"waiting for another build, which has {what}")
            lock.acquire(-1)

    def _write(self, path: Path, data: bytes, *, lasting: bool = True) -> None:
        def ready(partial: Path) -> None:
            open_up(partial, path.parent)

        with disk_errors(self.root):
            write_whole(path, data, self.root / "tmp", ready, lasting=lasting)


def _state_of(path: Path) -> str | None:
    """Return what tells this content of a plain file from another; None for anything else."""
    try:
        state = path.lstat()
    except OSError:
        return None
    if not stat.S_ISREG(state.st_mode):
        return None
    return f"{state.st_ino}:{state.st_size}:{state.st_mtime_ns}"


def _digest_of(path: Path) -> str | None:
    """Return `sha256:HEX` of a file; None of one that the disk does not give."""
    try:
        with path.open("rb") as file:
            return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
    except OSError:
        return None


def _damaged(path: Path) -> StoreError:
    return StoreError(f"a layer in the cache is damaged: {path}", hint="build again: it is made again")


@contextmanager
def disk_errors(
    root: Path, remedy: str = "put the cache elsewhere with AVABUILD_CACHE=DIR"
) -> Iterator[None]:
    """Turn what a full, read-only or forbidden disk answers into errors that name `root` and the `remedy`."""
    try:
        yield
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise DiskFullError(f"no space left in {root}", hint=f"free some space, or {remedy}") from error
        if error.errno in _FORBIDDEN:
            raise StoreError(f"can't write to {root}: {error}", hint=remedy) from error
        raise


# -- digests of host files, each file read once --------------------------------------------------------------


_FINE, _COARSE = 50_000_000, 2_000_000_000  # ns: longer than a tick of the clock that gives files their times


def file_digest(store: Store, path: Path) -> str:
    """Return `sha256:HEX` of the file's content.

    A file whose inode, size and change time are those of an earlier call is not read again: an archive base
    may be many gigabytes. Only that memo looks at times; keys hold the content's digest. What changed a
    moment ago could change once more without another time, so it is not remembered.
    """
    known = store.recall("file", _memo(path, path.stat()))
    if isinstance(known, str):
        return known
    with path.open("rb") as file:
        before = os.fstat(file.fileno())
        digest = "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()
        memo = _memo(path, before)
        if is_settled(before) and memo == _memo(path, os.fstat(file.fileno())):
            store.record("file", memo, digest)
    return digest


def is_settled(status: os.stat_result) -> bool:
    """Whether the file's last change is so long ago that another one would have another time."""
    last = max(status.st_mtime_ns, status.st_ctime_ns)
    tick = _FINE if last % 10_000_000 else _COARSE  # some file systems count seconds
    return last + tick < time.time_ns()


def _memo(path: Path, status: os.stat_result) -> str:
    times = f"{status.st_mtime_ns}:{status.st_ctime_ns}"
    return f"{path}:{status.st_dev}:{status.st_ino}:{status.st_size}:{times}"
