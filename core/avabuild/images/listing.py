"""Listing images: all that there are, or of a registry all tags below a path."""

from __future__ import annotations

from avabuild.host.host import Host
from avabuild.images.find import bare, local_images, storage_of
from avabuild.images.image import Image
from avabuild.store import Store
from avabuild.tools.buildah import Tools


def listed(tools: Tools, store: Store, *, everything: bool = False) -> tuple[Image, ...]:
    """Return the named images of the local storage that avabuild made, by name; or `everything`."""
    storage = storage_of(tools)
    if storage is None:
        return ()
    found = local_images(storage, store)
    wanted = [one for one in found if everything or (one.description.own and ":" in one.reference)]
    return tuple(sorted(wanted, key=lambda one: one.reference))


def listed_remote(
    place: str, host: Host, *, everything: bool = False, insecure: bool = False
) -> tuple[Image, ...]:
    """Return the images of a registry below `place`, `host/path`, or of the repository that it names.

    Raises:
        ImageError: there is nothing.
        RegistryError: the registry refuses. UnavailableError: it does not answer.
    """
    from avabuild.images.remote import remote_images  # noqa: PLC0415 - httpx, which the local list does without

    place = place.removeprefix("docker://").rstrip("/")
    place = bare(place) if "/" in place else place  # what follows the colon is a port otherwise
    with remote_images(host, insecure=insecure) as images:
        found = images.below(place)
    wanted = [one for one in found if everything or one.description.own]
    return tuple(sorted(wanted, key=lambda one: one.reference))
