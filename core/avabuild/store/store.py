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
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from avabuild.blob import Blob
from avabuild.errors import DiskFullError, StoreError
from avabuild.host.sharing import Sharing
from avabuild.store.claims import Claims
from avabuild.store.elsewhere import Elsewhere, Kept, entry_name
from avabuild.store.modes import file_lock, make_directory, open_up
from avabuild.store.shared import Found, Shared
from avabuild.store.uses import Uses
from avabuild.store.whole import write_whole

# What an index entry of a shared store may say: all that does not depend on this user or their other files.
_SHARED = {"layer", "base", "base-name", "base-of", "compiled", "built", "linkage", "tree"}
_HARMLESS = {"base-of"}  # believed of anyone: it only keeps a base that the user's own lock names
_DATED = {"debs", "built"}  # their times are part of the memo of their hashes
_FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST}


class Store:
    """A cache directory. Creating one makes the directories that are missing, and nothing else.

    Attributes:
        claims: what the builds of this process are making, to be shared with them.
        shared: the store of others that is looked into for what is not here, or None.
        uses: what this process has used, so that nobody prunes it meanwhile.
        elsewhere: who else may know what keys were made into, or None.
    """

    def __init__(self, root: Path, sharing: Sharing | None = None) -> None:
        self.root = root
        other = sharing and sharing.directory.resolve() != root.resolve()
        self.shared = Shared(sharing) if sharing and other else None
        self.claims = Claims()
        self.elsewhere: Elsewhere | None = None
        self.blobs = root / "blobs" / "sha256"
        with disk_errors(root):
            root.mkdir(parents=True, exist_ok=True)
            for name in ("blobs/sha256", "index", "locks", "tmp", "logs", "pyc", "stamps", "leases"):
                make_directory(root / name)
            self.uses = Uses(root / "leases")

    def blob_path(self, digest: str) -> Path:
        """Return where the blob `sha256:HEX` is, here or in the shared store, or would be here."""
        name = digest.removeprefix("sha256:")
        return self.find(f"blobs/sha256/{name}", digest) or self.blobs / name

    def has(self, digest: str, size: int | None = None) -> bool:
        """Whether the blob is here, and whole when its `size` is known; it counts as used then."""
        name = f"blobs/sha256/{digest.removeprefix('sha256:')}"
        if not self._uses(name):
            return self._borrow(name, digest, size) is not None
        return size is None or (self.root / name).stat().st_size == size

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

        The one here is as whole as it was put here; one of the shared store is read and compared, once.
        """
        return self.root / name if self._uses(name) else self._borrow(name, digest, size)

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
                partial.replace(own)
        return own

    def believed(self, name: str) -> Path | None:
        """Return the file `name` which has no digest to hold it against; else None.

        One of the shared store counts where only trusted people can have written it.
        """
        own = self.root / name
        if self._uses(name) or self.shared is None:
            return own if own.exists() else None
        with self.shared.opened(name) as found:
            return found.path if found and found.trusted else None

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
            with suppress(FileExistsError):  # another build's, of the same content
                os.link(partial.name, own)
        return own

    def put(self, data: bytes) -> str:
        """Keep `data` (a config or manifest: small) and return its digest."""
        name = hashlib.sha256(data).hexdigest()
        path = self.blobs / name
        if not self.uses.use(path) or path.stat().st_size != len(data):
            self._write(path, data)
        return f"sha256:{name}"

    def adopt(self, path: Path, digest: str) -> Path:
        """Move the finished file `path`, whose content hashes to `digest`, into the blobs."""
        target = self.blobs / digest.removeprefix("sha256:")
        with disk_errors(self.root):
            open_up(path, self.blobs)
            path.replace(target)
        return target

    def record(self, kind: str, key: str, data: Any) -> None:
        """Remember that `key` of `kind` is `data`."""
        path = self.root / entry_name(kind, key)
        with disk_errors(self.root):
            make_directory(path.parent)
        self._write(path, json.dumps(data, sort_keys=True).encode())

    def recall(self, kind: str, key: str) -> Any | None:
        """Return what was recorded for `key`, here or in the shared store; None for no JSON."""
        name = entry_name(kind, key)
        data: bytes | None = None
        with suppress(FileNotFoundError):
            data = (self.root / name).read_bytes()
        if data is None and self.shared and kind in _SHARED:
            data = self.shared.read(name, hearsay=kind in _HARMLESS)
        try:
            return json.loads(data) if data is not None else None
        except (ValueError, RecursionError):
            return None

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
            lock.acquire(timeout)
        try:
            yield
        finally:
            lock.release()

    def _write(self, path: Path, data: bytes) -> None:
        with disk_errors(self.root):
            write_whole(path, data, self.root / "tmp", lambda partial: open_up(partial, path.parent))


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
