"""Listing images: all that there are, or of a registry all tags below a path, several asked for at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from avabuild.buildah import Tools
from avabuild.errors import ImageError
from avabuild.images import remote
from avabuild.images.finding import Image, bare, local_images, registry_image, storage_of
from avabuild.registries.name import is_referrers_tag
from avabuild.store import Store

_AT_ONCE = 6


def listed(tools: Tools, store: Store, *, everything: bool = False) -> tuple[Image, ...]:
    """Return the named images of the local storage that avabuild made, by name; or `everything`."""
    storage = storage_of(tools)
    if storage is None:
        return ()
    found = local_images(storage, store)
    wanted = [one for one in found if everything or (one.description.own and ":" in one.reference)]
    return tuple(sorted(wanted, key=lambda one: one.reference))


def listed_remote(place: str, tools: Tools, *, everything: bool = False) -> tuple[Image, ...]:
    """Return the images of a registry below `place`, `host/path`, or of the repository that it names.

    Raises:
        ImageError: the registry refuses, or there is nothing.
        UnavailableError: it does not answer.
    """
    place = place.removeprefix("docker://").rstrip("/")
    place = bare(place) if "/" in place else place  # what follows the colon is a port otherwise
    names = _references(place, tools)
    with ThreadPoolExecutor(_AT_ONCE, "registry") as pool:
        found = tuple(pool.map(lambda name: registry_image(name, tools), names))
    wanted = [one for one in found if everything or one.description.own]
    return tuple(sorted(wanted, key=lambda one: one.reference))


def _references(place: str, tools: Tools) -> list[str]:
    """Return every tag of the repository `place`, or of those below it."""
    host, _, path = place.partition("/")
    try:
        below = remote.repositories(place, tools.host)
    except ImageError:
        if not path:
            raise
        below = ()  # not every registry tells what it has, but it may have this
    if path and not below:
        return _named(place, tools)
    own = (place,) if path and place in remote.repositories(host, tools.host) else ()
    return [reference for name in (*own, *below) for reference in _named(name, tools)]


def _named(repository: str, tools: Tools) -> list[str]:
    """Return the images of a repository by tag; a list of bills that belong to one has a tag as well."""
    return [f"{repository}:{tag}" for tag in remote.tags(repository, tools) if not is_referrers_tag(tag)]
