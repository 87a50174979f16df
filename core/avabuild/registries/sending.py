"""Sending a blob of the store, once for all who want it there, and only when the registry lacks it."""

from __future__ import annotations

from avabuild.common.errors import StoreError
from avabuild.registries.repository import Came, Progress, Repository
from avabuild.store import Store

_SOURCES = 4  # repositories that are remembered for a blob


def send_blob(repository: Repository, store: Store, digest: str, size: int, progress: Progress) -> Came:
    """Have a blob in the repository, from another one of the registry where one is known to have it.

    Raises:
        StoreError: neither the repository nor the store has it.
    """
    place = f"{repository.registry.host} {digest}"
    with store.claims.hold(place):  # another image of this run may be sending it
        known = store.recall("registry", place) or []
        source = next((other for other in known if other != repository.name), None)
        if not store.has(digest, size) and not repository.has(digest):
            hint = "build the image again: what is missing is made anew"
            raise StoreError(f"the cache has no blob {digest} any more", hint=hint)
        came = repository.upload(digest, size, store.blob_path(digest), progress, source)
        note_place(store, repository, digest)
    return came


def note_place(store: Store, repository: Repository, digest: str) -> None:
    """Remember that the repository has a blob, which others of its registry may be given."""
    place = f"{repository.registry.host} {digest}"
    known = store.recall("registry", place) or []
    if repository.name not in known:
        store.record("registry", place, [repository.name, *known][:_SOURCES])
