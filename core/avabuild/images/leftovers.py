"""Leftovers in the local storage: what killed builds left there, and images of ours that lost their names."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass

from avabuild.common.errors import StepError
from avabuild.engine.feed import recorded
from avabuild.images.description import is_ours
from avabuild.images.find import local_images, storage_of
from avabuild.images.image import Image
from avabuild.store import Store
from avabuild.store.scratch import is_alive, sweep, unfinished
from avabuild.tools import argv
from avabuild.tools.buildah import Tools
from avabuild.tools.storage import LocalStorage

_OF_BUILD = re.compile(r"(?:localhost/)?avabuild-(?P<build>[0-9a-f]{12})-\d+(?::latest)?")
DAY = 86400.0


@dataclass(frozen=True, slots=True)
class Leftover:
    """An image in the local storage that nobody will ask for: what removes it, what it is, its size."""

    name: str
    words: str
    size: int


def is_of_build(reference: str) -> bool:
    """Whether an image's name is one that builds give for as long as they run."""
    return _OF_BUILD.fullmatch(reference) is not None


def leftovers(tools: Tools, store: Store) -> tuple[Leftover, ...]:
    """Return images that killed builds left, and unnamed ones of ours.

    A build of another cache may run on the same storage: what none of this cache's builds made is left alone
    for a day.
    """
    storage = storage_of(tools)
    if storage is None:
        return ()
    sizes = _own_sizes(storage)
    return tuple(
        Leftover(one.reference, words, sizes.get(one.id, 0))
        for one in local_images(storage, store)
        if (words := _words(one, store))
    )


def _words(one: Image, store: Store) -> str:
    found = _OF_BUILD.fullmatch(one.reference)
    old = time.time() - (one.came or 0.0) > DAY
    if found:
        build = found["build"]
        dead = build in unfinished(store) and not is_alive(store, build)
        return "left by a killed build" if dead or (old and not is_alive(store, build)) else ""
    named = ":" in one.reference
    return "" if named or not is_ours(one.config) else "its name now belongs to a newer image"


def _own_sizes(storage: LocalStorage) -> dict[str, int]:
    """Return by image id the bytes of the layers that no other image stands on."""
    layers, images = storage.list_layers(), storage.list_images()
    users: dict[str, set[str]] = {}
    for one in images:
        top = one.top
        while top in layers:
            users.setdefault(top, set()).add(one.id)
            top = layers[top].parent
    sizes: dict[str, int] = {}
    for layer, by in users.items():
        if len(by) == 1:
            (only,) = by
            sizes[only] = sizes.get(only, 0) + layers[layer].size
    return sizes


def sweep_builds(store: Store, tools: Callable[[], Tools]) -> tuple[str, ...]:
    """Remove what killed builds left: scratch, working containers, images and layers; return their ids."""
    fed = recorded(store)  # it is in the scratch, which goes first: a full disk may stop all else

    def clear(build: str) -> bool:
        found, mark = tools(), f"avabuild-{build}-"
        for name in found.container_names():
            if name.startswith(mark):
                found.remove(name)
        for name in _named(found, mark):
            found.remove_image(name, force=True)
        if build in fed:
            found.drop_layers(fed[build])
        return not _named(found, mark)

    return sweep(store, lambda path: tools().remove_tree(path), clear)


def _named(tools: Tools, mark: str) -> list[str]:
    return [name for name in tools.image_ids() if name.removeprefix("localhost/").startswith(mark)]


def remove_leftovers(found: tuple[Leftover, ...], tools: Tools) -> Iterator[Leftover]:
    """Remove them; yield those that are gone: one that a container uses stays."""
    for one in found:
        with suppress(StepError):
            tools.buildah(argv.remove_images([one.name]))
            yield one
