"""What the local storage holds: images of ours, leftovers of builds, and images of other tools."""

from __future__ import annotations

from collections.abc import Iterator

from avabuild.images.find import local_images
from avabuild.images.leftovers import is_of_build
from avabuild.images.usage import Usage
from avabuild.store import Store
from avabuild.tools.storage import LocalStorage

_OURS, _UNNAMED, _BUILDS, _OTHERS, _NONE = (
    "images of avabuild",
    "images without a name",
    "images of builds",
    "images of other tools",
    "layers of no image",
)


def storage_usage(storage: LocalStorage, store: Store) -> Iterator[Usage]:
    """Yield the sums; a layer that several images share counts for the first of these kinds that has it."""
    layers = storage.list_layers()
    tops = {one.id: one.top for one in storage.list_images()}
    by_kind: dict[str, dict[str, str]] = {kind: {} for kind in (_OURS, _OTHERS, _BUILDS, _UNNAMED)}
    for one in local_images(storage, store):
        if is_of_build(one.reference):
            kind = _BUILDS
        elif not one.description.own:
            kind = _OTHERS
        else:
            kind = _OURS if ":" in one.reference else _UNNAMED
        by_kind[kind][one.id] = tops[one.id]
    counted: set[str] = set()
    for kind, images in by_kind.items():
        size = 0
        for top in images.values():
            layer = top
            while layer in layers and layer not in counted:
                counted.add(layer)
                size += layers[layer].size
                layer = layers[layer].parent
        if images:
            yield Usage(kind, len(images), size, size if kind in {_OURS, _OTHERS} else 0)
    if left := [layer for name, layer in layers.items() if name not in counted and layer.size]:
        yield Usage(_NONE, len(left), sum(layer.size for layer in left), 0)
