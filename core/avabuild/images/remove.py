"""Removing one image from the local storage."""

from __future__ import annotations

import re
from dataclasses import dataclass

from avabuild.common.errors import ImageError, StepError
from avabuild.images.find import find_local
from avabuild.images.image import Image
from avabuild.store import Store
from avabuild.tools import argv
from avabuild.tools.buildah import Tools
from avabuild.tools.storage import LocalStorage

_USED = re.compile(
    r"(?:used by|in use by)(?: a container:?| container)?\s*\"?(?P<who>[\w.-]+)?", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Gone:
    """What became of an image: the name is gone; `kept` are its others; `freed` are bytes of the storage."""

    reference: str
    id: str
    freed: int
    kept: tuple[str, ...]


def remove(name: str, tools: Tools, store: Store) -> Gone:
    """Take the name from a local image of ours, and with its last name the image.

    Raises:
        ImageError: there is no such image, another tool made it, or a container uses it.
    """
    found = find_local(name, tools, store)
    if not found.description.own:
        raise ImageError(f"{found.reference} was not made by avabuild", hint=f"buildah rmi {found.reference}")
    before = _size(tools.storage)
    try:
        tools.buildah(argv.remove_images([found.reference]))
    except StepError as error:
        raise _explained(error, found) from error
    left = next((one.names for one in tools.storage.list_images() if one.id == found.id), ())
    return Gone(found.reference, found.id, before - _size(tools.storage), left)


def _size(storage: LocalStorage) -> int:
    return sum(layer.size for layer in storage.list_layers().values())


def _explained(error: StepError, image: Image) -> ImageError | StepError:
    found = _USED.search(error.tail)
    if not found:
        return error
    who = found["who"] or "CONTAINER"
    hint = f"remove the container first: buildah rm {who}  (or podman rm {who})"
    return ImageError(f"a container uses {image.reference}", hint=hint)
