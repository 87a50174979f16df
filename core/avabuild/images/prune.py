"""Pruning: removing from the cache and the storage what no present image and no running build needs.

All of it can be made again. What was used least recently goes first.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

from filelock import Timeout

from avabuild.common.errors import HostError
from avabuild.images.find import local_images, storage_of
from avabuild.images.image import Image
from avabuild.images.leftovers import Leftover, is_of_build, leftovers, remove_leftovers, sweep_builds
from avabuild.images.usage import SHARED, Item, items, last_use, needs_of, size_of
from avabuild.store import Store
from avabuild.store.scratch import is_alive, strays, sweep, unfinished
from avabuild.tools.buildah import Tools

_SHARED = frozenset(SHARED)
_APT = frozenset({"Debian packages", "package lists"})
IMAGES, SCRATCH = "images", "scratch"


@dataclass(frozen=True, slots=True)
class Wish:
    """What the user wants to keep.

    Attributes:
        older_than: remove only what was not used for so many seconds.
        keep_size: stop when the cache holds no more than so many bytes; None removes all that is not needed.
    """

    older_than: float = 0.0
    keep_size: int | None = None


@dataclass(frozen=True, slots=True)
class Removed:
    """How much of one kind is, or would be, removed."""

    kind: str
    count: int
    size: int


@dataclass(frozen=True, slots=True)
class Chosen:
    """What would be removed: things of the cache, images of the storage, scratch of killed builds.

    `strays` are files on their way into the cache whose writers were killed.
    `size` are the cache's bytes before; `running` says how many other processes use it.
    """

    items: tuple[Item, ...]
    images: tuple[Leftover, ...]
    dead: tuple[str, ...]
    strays: tuple[Path, ...]
    size: int
    running: int


def choose(store: Store, tools: Tools, wish: Wish) -> Chosen:
    """Return what a prune would remove now; changes nothing.

    Raises:
        HostError: another user's build uses the cache, whose files it can't mark as used.
    """
    leases = store.uses.others()
    _refuse_strangers(leases)
    found = list(items(store, needs_of(store, present(tools, store))))
    total = size_of(store.root)
    before = time.time_ns() - int(wish.older_than * 1e9)
    horizon = min([before, store.uses.began, *(began for began, _ in leases)])
    candidates = [one for one in found if not one.needed and one.used < horizon]
    if leases:
        candidates = [one for one in candidates if one.kind not in _SHARED]
    dead = tuple(build for build in unfinished(store) if not is_alive(store, build))
    lost = tuple(strays(store))
    scratch = sum(map(size_of, [*(store.root / "tmp" / build for build in dead), *lost]))
    chosen = tuple(_least_used(candidates, total - scratch, wish.keep_size))
    return Chosen(chosen, leftovers(tools, store), dead, lost, total, len(leases))


def present(tools: Tools, store: Store) -> tuple[Image, ...]:
    """Return the images of the storage that somebody may use: those with a name that is no build's own."""
    storage = storage_of(tools)
    found = local_images(storage, store) if storage else ()
    return tuple(one for one in found if ":" in one.reference and not is_of_build(one.reference))


def _refuse_strangers(leases: Sequence[tuple[int, int]]) -> None:
    if any(user != os.geteuid() for _, user in leases):
        raise HostError("another user's build uses this cache", hint="prune when it is done")


def _least_used(candidates: Iterable[Item], total: int, keep: int | None) -> Iterator[Item]:
    for item in sorted(candidates, key=lambda one: (one.used, one.path)):
        if keep is not None and total <= keep:
            return
        total -= item.size
        yield item


def prune(store: Store, tools: Tools, chosen: Chosen) -> tuple[Removed, ...]:
    """Remove what was chosen, but for what a build has begun to use meanwhile; return what is gone."""
    gone: list[tuple[str, int]] = []
    scratch = {build: size_of(store.root / "tmp" / build) for build in chosen.dead}
    here = storage_of(tools) is not None
    swept = sweep_builds(store, lambda: tools) if here else sweep(store, lambda _: None)
    left = {build for build in swept if os.path.lexists(store.root / "tmp" / build)}
    gone += [(SCRATCH, scratch.get(build, 0)) for build in swept if build not in left]
    lost = [(path, size_of(path)) for path in chosen.strays]
    gone += [(SCRATCH, size) for path, size in lost if _delete(path)]
    gone += [(IMAGES, one.size) for one in remove_leftovers(chosen.images, tools)]
    with ExitStack() as stack:
        wanted = {item.kind for item in chosen.items}
        busy = _APT if wanted & _APT and not _archives(store, stack) else frozenset()
        gone += [
            (item.kind, item.size) for item in chosen.items if item.kind not in busy and _remove(store, item)
        ]
    return summed(gone)


def _archives(store: Store, stack: ExitStack) -> bool:
    """Take the lock that apt steps hold while they look at archives and lists; False while one does."""
    try:
        stack.enter_context(store.lock("apt", "archives", timeout=0))
    except Timeout:
        return False
    return True


def _remove(store: Store, item: Item) -> bool:
    """Remove one thing unless it was used since it was chosen; return whether it is gone."""
    with store.uses.removing():
        if last_use(item.path, item.mark) > item.used:
            return False
        return _delete(item.path) and (item.mark == item.path or _delete(item.mark))


def _delete(path: Path) -> bool:
    """Delete a file or directory; return whether it is gone: one of another user's may not be."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink(missing_ok=True)
    return not os.path.lexists(path)


def summed(gone: Iterable[tuple[str, int]]) -> tuple[Removed, ...]:
    """Return how many of each kind, and their bytes."""
    sums: dict[str, Removed] = {}
    for kind, size in gone:
        before = sums.get(kind, Removed(kind, 0, 0))
        sums[kind] = Removed(kind, before.count + 1, before.size + size)
    return tuple(sums.values())


def planned(chosen: Chosen, store: Store) -> tuple[Removed, ...]:
    """Return what a dry run says."""
    scratch = [*(store.root / "tmp" / build for build in chosen.dead), *chosen.strays]
    gone = [(SCRATCH, size_of(path)) for path in scratch]
    gone += [(IMAGES, one.size) for one in chosen.images]
    return summed([*gone, *((item.kind, item.size) for item in chosen.items)])
