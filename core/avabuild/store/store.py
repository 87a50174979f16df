"""Store: blobs by digest (an OCI image layout's `blobs/`) and what each key was made into.

Layout below the root, which is `$AVABUILD_CACHE` or the user's XDG cache directory:

    blobs/sha256/HEX     immutable; the name is the content
    index/KIND/HEX.json  key -> what was made of it (a Blob, a base, an image)
    wheels/ debs/ pyc/   downloads and bytecode, by content
    tmp/BUILD/           one build's scratch space, locked while the build lives
    logs/                one log per build

Two builds may use one store: everything appears by rename, and making a key is serialised by a lock of
that key.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock

from avabuild.blob import Blob
from avabuild.errors import DiskFullError, StoreError
from avabuild.store.claims import Claims

_FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST}


class Store:
    """A cache directory. Creating one makes the directories that are missing, and nothing else.

    Attributes:
        claims: what the builds of this process are making, to be shared with them.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.claims = Claims()
        self.blobs = root / "blobs" / "sha256"
        with disk_errors(root):
            for path in (self.blobs, *(root / name for name in ("index", "locks", "tmp", "logs", "pyc"))):
                path.mkdir(parents=True, exist_ok=True)

    def blob_path(self, digest: str) -> Path:
        """Return where the blob `sha256:HEX` is or would be."""
        return self.blobs / digest.removeprefix("sha256:")

    def has(self, digest: str, size: int | None = None) -> bool:
        """Whether the blob is here, and whole when its `size` is known."""
        try:
            found = self.blob_path(digest).stat().st_size
        except FileNotFoundError:
            return False
        return size is None or found == size

    def put(self, data: bytes) -> str:
        """Keep `data` (a config or manifest: small) and return its digest."""
        digest = "sha256:" + hashlib.sha256(data).hexdigest()
        if not self.has(digest, len(data)):
            self._write(self.blob_path(digest), data)
        return digest

    def adopt(self, path: Path, digest: str) -> Path:
        """Move the finished file `path`, whose content hashes to `digest`, into the blobs."""
        target = self.blob_path(digest)
        with disk_errors(self.root):
            path.chmod(0o644)
            path.replace(target)
        return target

    def record(self, kind: str, key: str, data: Any) -> None:
        """Remember that `key` of `kind` is `data`."""
        path = self._entry(kind, key)
        with disk_errors(self.root):
            path.parent.mkdir(parents=True, exist_ok=True)
        self._write(path, json.dumps(data, sort_keys=True).encode())

    def recall(self, kind: str, key: str) -> Any | None:
        """Return what was recorded for `key`, or None; an unreadable entry counts as absent."""
        try:
            return json.loads(self._entry(kind, key).read_bytes())
        except (FileNotFoundError, ValueError):
            return None

    def layer(self, key: str) -> Blob | None:
        """Return the layer made for `key` when its blob is here whole, else None."""
        data = self.recall("layer", key)
        if data is None:
            return None
        try:
            blob = Blob.model_validate(data)
        except ValueError:
            return None
        return blob if self.has(blob.digest, blob.size) else None

    def make_layer(self, key: str, directory: Path, make: Callable[[Path], Blob]) -> tuple[Blob, bool]:
        """Return the layer of `key` and whether it was made now.

        `make` writes the blob to the path it is given (in `directory`, on the store's file system); it is
        called only when no other build has made or is making the same key. Nothing is kept when it raises.
        """
        if blob := self.layer(key):
            return blob, False
        with self.lock("layer", key):
            if blob := self.layer(key):
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
            return blob, True

    @contextmanager
    def lock(self, kind: str, key: str) -> Iterator[None]:
        """Hold the lock under which `key` of `kind` is made, against other processes and threads."""
        name = hashlib.sha256(os.fsencode(f"{kind}:{key}")).hexdigest()[:32]
        lock = FileLock(self.root / "locks" / name, thread_local=False)
        with disk_errors(self.root):
            lock.acquire()
        try:
            yield
        finally:
            lock.release()

    def _entry(self, kind: str, key: str) -> Path:
        name = key.removeprefix("sha256:")
        if not name.isalnum():
            name = hashlib.sha256(os.fsencode(key)).hexdigest()
        return self.root / "index" / kind / f"{name}.json"

    def _write(self, path: Path, data: bytes) -> None:
        with disk_errors(self.root):
            handle, name = tempfile.mkstemp(dir=self.root / "tmp", prefix="write-")
            try:
                with os.fdopen(handle, "wb") as file:
                    file.write(data)
                Path(name).chmod(0o644)
                Path(name).replace(path)
            except BaseException:
                with suppress(FileNotFoundError):
                    Path(name).unlink()
                raise


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
