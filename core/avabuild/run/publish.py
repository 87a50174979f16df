"""Publishing what is built: what an image is called in a registry, and whether it is there already."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from avabuild.common.value import Value
from avabuild.engine.job import Built
from avabuild.engine.layout import Composed
from avabuild.engine.publication import Publication
from avabuild.layer.base import Base
from avabuild.plan.labels import KEY
from avabuild.plan.plan import Plan
from avabuild.registries.name import Remote
from avabuild.registries.pushed import Pushed
from avabuild.store import Store
from avabuild.store.blob import Blob
from avabuild.tools.cancellation import Cancellation
from avabuild.tools.events import Report

if TYPE_CHECKING:
    from avabuild.registries.connections import Registries
    from avabuild.registries.push import Push
    from avabuild.registries.repository import Repository


@dataclass(frozen=True, slots=True)
class Done:
    """One image that a run made.

    Attributes:
        seconds: what it took.
        pushed: what came of its push, if there was one.
        warnings: what holds of it as long as it is there.
    """

    plan: Plan
    built: Built
    seconds: float
    pushed: Pushed | None = None
    warnings: tuple[str, ...] = ()


class There(Value):
    """An image that a registry has."""

    name: Remote
    digest: str
    size: int
    layers: int


class Publisher:
    """Where the images of a run go, beside or instead of the local storage.

    Args:
        namespace: the repository below which each image has one by its name.
    """

    def __init__(self, registries: Registries, namespace: Remote) -> None:
        self._registries = registries
        self._namespace = namespace

    def name(self, plan: Plan) -> Remote:
        """Return what the image of `plan` is called there."""
        return self._namespace.below(plan.name, plan.tag)

    def repository(self, name: Remote) -> Repository:
        """Return the repository of an image there."""
        return self._registries.repository(name)

    def greet(self) -> None:
        """Be let in by the registry, or raise why not: before anything is built for it."""
        self._registries.registry(self._namespace.host, self._namespace.repository).greet()

    def there(self, plan: Plan, key: str) -> There | None:
        """Return the image when the registry has the one of this key by its name: one question, no blob."""
        name = self.name(plan)
        found = self.repository(name).manifest(name.tag)
        try:
            manifest = found.read() if found else {}
            if found is None or (manifest.get("annotations") or {}).get(KEY) != key:
                return None
            sizes = [int(one["size"]) for one in (manifest["config"], *manifest["layers"])]
        except (ValueError, LookupError, TypeError, AttributeError):
            return None  # an index, or nothing that is known here
        return There(name=name, digest=found.digest, size=sum(sizes) + len(found.data), layers=len(sizes) - 1)

    @contextmanager
    def push(
        self, plan: Plan, base: Base, store: Store, report: Report, stop: Cancellation
    ) -> Iterator[Publication]:
        """Begin with the base; yield what takes each layer as it is made, and the image in the end."""
        # httpx takes a tenth of a second to import, and most builds push nothing.
        from avabuild.registries.push import Push  # noqa: PLC0415

        name = self.name(plan)
        with Push(self._registries, name, store, report, stop) as push:
            publication = _Pushing(push)
            for blob in base.layers:
                publication.offer(blob, "base")
            yield publication


class _Pushing:
    """An image on its way to a registry."""

    def __init__(self, push: Push) -> None:
        self._push = push

    def offer(self, blob: Blob, words: str) -> None:
        """Have a layer sent."""
        self._push.offer(blob.digest, blob.size, words)

    def finish(self, image: Composed) -> Pushed:
        """Send what is left, and the image's name; wait for all of it."""
        return self._push.finish(image.digest, image.config, {blob.digest: blob.size for blob in image.blobs})
