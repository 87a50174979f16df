"""The files of packages: in the store of a build, taken from a shared store or fetched from an index."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from avabuild.engine.context import Context
from avabuild.resolve import Fetcher, Indexes, Progress, file_name
from avabuild.resolve.lock import Package
from avabuild.store import Store
from avabuild.tools.events import Event


def package_files(store: Store) -> Path:
    """Return the directory of the files of packages."""
    return store.root / "wheels"


def find_file(store: Store, package: Package) -> Path | None:
    """Return the file of a package, verified by its hash, when this store or the shared one has it."""
    name, digest = f"wheels/{file_name(package)}", f"sha256:{package.sha256}"
    return store.find(name, digest, package.size or None)


def fetcher_for(
    context: Context, indexes: Indexes, locate: Callable[[Sequence[Package]], Mapping[str, str]]
) -> Fetcher:
    """Return the fetcher of a build. It reports its progress, and ends when the build is stopped."""
    store = context.store

    def progress(one: Progress) -> None:
        context.report.emit(Event("progress", one.filename, done=one.done, total=one.total))

    def is_here(package: Package, path: Path) -> bool:
        name = str(path.relative_to(store.root))
        return store.holds(name, f"sha256:{package.sha256}", package.size or None)

    return Fetcher(
        package_files(store),
        indexes,
        locate,
        progress=progress,
        cancellation=context.downloads,
        elsewhere=lambda package: find_file(store, package),
        use=is_here,
    )
