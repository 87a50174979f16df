"""Fetcher: the files of locked packages, in parallel, into a content-addressed directory."""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import Timeout

from avabuild.common.errors import ChangedError, DiskFullError, WheelError
from avabuild.resolve.indexes import Indexes
from avabuild.resolve.lock import Package
from avabuild.resolve.wanted import Policy, Wanted
from avabuild.store.whole import file_lock, make_directory, open_up, publish
from avabuild.tools.cancellation import Cancellation

if TYPE_CHECKING:
    from avabuild.resolve.download import Transfer

_SHA256 = re.compile(r"[0-9a-f]{64}")
_FILENAME = re.compile(r"[^/.\x00-\x1f][^/\x00-\x1f]*")


@dataclass(frozen=True, slots=True)
class Progress:
    """How far one file is: `done` of `total` bytes (0 where unknown)."""

    filename: str
    done: int
    total: int


def _nowhere(package: Package) -> Path | None:
    """Know of no other place for files."""


def _is_there(package: Package, path: Path) -> bool:  # noqa: ARG001 - others look into it
    """Whether there is a file at all."""
    return path.is_file()


def _silent(progress: Progress) -> None:
    """Take a report and drop it."""


def file_name(package: Package) -> str:
    """Return where the file of `package` is, below a directory of files.

    Raises:
        WheelError: its name or hash would lead elsewhere.
    """
    if not _SHA256.fullmatch(package.sha256) or not _FILENAME.fullmatch(package.filename):
        raise WheelError(
            f"{package.name} has no usable file name and hash: {package.filename!r}, {package.sha256!r}",
            hint="restore the lock, or resolve again",
        )
    return f"{package.sha256[:2]}/{package.sha256}/{package.filename}"


def file_path(directory: Path, package: Package) -> Path:
    """Return where below `directory` the file of `package` is; WheelError for a name that leads elsewhere."""
    return directory / file_name(package)


def _copied(source: Path, target: Path) -> str:
    """Copy a file and return the sha256 of what was copied."""
    read = hashlib.sha256()
    with source.open("rb") as file, target.open("wb") as out:
        while chunk := file.read(1 << 20):
            read.update(chunk)
            out.write(chunk)
    return read.hexdigest()


@dataclass(frozen=True, slots=True)
class Fetcher:
    """Downloads what is not there yet; safe with other processes on the same directory.

    Attributes:
        directory: holds `<sha256[:2]>/<sha256>/<filename>`; a file there is whole and has that hash.
        indexes: for credentials and the CA bundle.
        locate: packages -> URL by sha256, asked once for all whose URL is not given.
        jobs: files at a time.
        progress: called from the downloading threads, at most once per MiB of a file.
        policy: how often to retry.
        cancellation: the owner's way to stop all downloads.
        elsewhere: finds the file of a package in another place, where it has that hash too.
        use: whether the file of a package is there and whole, which is marked as used then.
    """

    directory: Path
    indexes: Indexes
    locate: Callable[[Sequence[Package]], Mapping[str, str]]
    jobs: int = 8
    progress: Callable[[Progress], None] = _silent
    policy: Policy = field(default_factory=Policy)
    cancellation: Cancellation = field(default_factory=Cancellation)
    elsewhere: Callable[[Package], Path | None] = _nowhere
    use: Callable[[Package, Path], bool] = _is_there

    def path(self, package: Package) -> Path:
        """Return where the file of `package` is or will be; WheelError for a name that leads elsewhere."""
        return file_path(self.directory, package)

    def find(self, package: Package) -> Path | None:
        """Return the file of `package` when it need not be fetched, from wherever it is; else None."""
        path = self.path(package)
        return path if self.use(package, path) else self.elsewhere(package)

    def keep(self, package: Package, source: Path) -> Path:
        """Return a copy of a recipe's own file that has the hash of `package`, whatever `source` becomes.

        Raises:
            ChangedError: the file has another hash now.
        """
        path = self.path(package)
        if self.use(package, path):
            return path
        make_directory(path.parent)
        with file_lock(path.parent / ".lock"):
            if not self.use(package, path):
                part = path.with_name(".part")
                try:
                    if _copied(source, part) != package.sha256:
                        raise ChangedError(
                            f"{source} changed since its packages were resolved: nothing of it is kept",
                            hint="build again when nothing changes it any more",
                        )
                    open_up(part, path.parent)
                    publish(part, path)
                finally:
                    part.unlink(missing_ok=True)
        return path

    def fetch(self, packages: Sequence[Package], urls: Mapping[str, str]) -> Iterator[tuple[Package, Path]]:
        """Yield each package with its file as soon as that is whole: cached ones first, then as they come.

        `urls` maps sha256 to where a file was last seen. Packages of kind git have no file and are left
        out. Closing the iterator stops the downloads.

        Raises:
            WheelError: a file differs from its hash, and nothing of it is kept; or no index has it.
            UnavailableError: a server does not answer, or not with the file.
            DiskFullError: the files don't fit.
            StoreError: the directory can't be written.
        """
        missing = []
        for package in packages:
            if package.kind == "git":
                continue
            if found := self.find(package):
                yield package, found
            else:
                missing.append((package, self.path(package)))
        if missing:
            yield from self._download(missing, urls)

    def _download(
        self, missing: Sequence[tuple[Package, Path]], urls: Mapping[str, str]
    ) -> Iterator[tuple[Package, Path]]:
        by_path: dict[Path, list[Package]] = {}
        for package, path in sorted(missing, key=lambda place: (-place[0].size, place[0].name)):
            by_path.setdefault(path, []).append(package)
        self._preflight(sum(group[0].size for group in by_path.values()))
        unknown = [group[0] for group in by_path.values() if group[0].sha256 not in urls]
        known = {**urls, **self.locate(unknown)} if unknown else urls
        # httpx takes a tenth of a second to import, and most builds download nothing.
        from avabuild.resolve.download import Transfer, client_of  # noqa: PLC0415

        cancellation = self.cancellation.part()
        with client_of(self.indexes, self.jobs) as client, ThreadPoolExecutor(self.jobs, "fetch") as pool:
            transfer = Transfer(client, self.indexes, cancellation, self.policy)
            try:
                running = {
                    pool.submit(self._one, transfer, group[0], path, known[group[0].sha256]): path
                    for path, group in by_path.items()
                }
                for done in as_completed(running):
                    done.result()
                    yield from ((package, running[done]) for package in by_path[running[done]])
            finally:
                cancellation.stop()
                pool.shutdown(wait=True, cancel_futures=True)

    def _one(self, transfer: Transfer, package: Package, path: Path, url: str) -> None:
        """Put one file at `path`, or find that another process did while this one waited for the lock."""
        make_directory(path.parent)
        lock = file_lock(path.parent / ".lock")
        while not lock.is_locked:
            transfer.cancellation.check()
            try:
                lock.acquire(timeout=0.2, poll_interval=0.02)
            except Timeout:
                continue
        try:
            if not self.use(package, path):
                wanted = Wanted(url, package.sha256, package.size, package.filename)
                part = path.with_name(".part")
                transfer.get(wanted, part, lambda done, total: self._report(package, done, total))
                open_up(part, path.parent)
                publish(part, path)
        finally:
            lock.release()

    def _report(self, package: Package, done: int, total: int) -> None:
        self.progress(Progress(package.filename, done, total))

    def _preflight(self, needed: int) -> None:
        make_directory(self.directory)
        free = shutil.disk_usage(self.directory).free
        if needed > free:
            raise DiskFullError(
                f"{self.directory} needs {needed} bytes for downloads and has {free}",
                hint="free some space, or point AVABUILD_CACHE at another disk",
            )
