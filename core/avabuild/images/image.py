"""An image that was found: what it is called, where it is, and its own documents."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from avabuild.common.errors import ImageError
from avabuild.images.description import Description, describe, labels_of, table_of
from avabuild.plan.labels import OFFER, POLICIES
from avabuild.resolve.lock import Distribution, Lock, lock_text
from avabuild.store import oci as image

FILES = ("oci:", "oci-archive:", "docker-archive:")
REGISTRY = "docker://"
LOCAL = "localhost/"  # before names of the local storage that have no registry


@dataclass(frozen=True)
class Image:
    """An image that was found.

    Attributes:
        reference: its name; an id for one without.
        where: `storage`, `file` or `registry`.
        source: how skopeo names it; of a local one its id.
        config: its config.
        manifest: the one that names compressed layers; None of a local image whose layers the cache lacks.
        digest: of that manifest, empty without one.
        id: hex digits of the config's digest.
        came: when it came into the local storage, in seconds since the epoch; None elsewhere.
        unpacked: sizes of tars by diff ID, as far as they are known.
        insecure: whether its registry may do without verified TLS.
        annotations: those of its manifest in the local storage, which may be none of compressed layers.
    """

    reference: str
    where: Literal["storage", "file", "registry"]
    source: str
    config: Mapping[str, Any]
    manifest: Mapping[str, Any] | None = None
    digest: str = ""
    id: str = ""
    came: float | None = None
    unpacked: Mapping[str, int] = field(default_factory=dict)
    insecure: bool = False
    annotations: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def description(self) -> Description:
        """What it says of itself."""
        return describe(self.config, self.manifest, self.unpacked, self.annotations)

    @cached_property
    def labels(self) -> Mapping[str, str]:
        """Its labels, those among them that are annotations of its manifest."""
        return labels_of(self.config, self.annotations or (self.manifest or {}).get("annotations"))

    @property
    def labelled_config(self) -> dict[str, Any]:
        """Its config with all of its labels."""
        return {**self.config, "config": {**(self.config.get("config") or {}), "Labels": dict(self.labels)}}

    @property
    def size(self) -> int | None:
        """Bytes of it as it is pushed; None where that is not known."""
        if self.manifest is None:
            return None
        own = int(self.manifest["config"]["size"]) + len(image.encode(self.manifest))
        return own + sum(int(layer["size"]) for layer in self.manifest["layers"])

    @property
    def unpacked_size(self) -> int | None:
        """Bytes of its layers' tars; None where one of them is not known."""
        sizes = [self.unpacked.get(diff_id) for diff_id in self.config["rootfs"]["diff_ids"]]
        return None if None in sizes else sum(size for size in sizes if size is not None)


# -- the lock file of a finished image: put beside its recipe, it makes the image again ----------------------


def lock_of(image: Image) -> str:
    """Return the text of the lock; ImageError when the image has none."""
    about = image.description
    if about.lock is None:
        hint = "an older avabuild made it; build it again" if about.own else "another tool made it"
        raise ImageError(f"{image.reference} has no lock", hint=hint)
    labels = image.labels
    used = [
        *(_distribution(text, framework=name) for name, text in about.plugins.items()),
        *(
            _distribution(text, base=name.partition(" ")[0])
            for name, text in table_of(labels.get(OFFER)).items()
        ),
        *(_distribution(text, policy=name) for name, text in table_of(labels.get(POLICIES)).items()),
    ]
    lock = Lock(recipe=str(about.recipe.get("name", "")), targets=(about.lock,))
    return lock_text(lock.with_plugins(tuple(used)))


def _distribution(text: str, **provided: str) -> Distribution:
    name, _, version = text.rpartition(" ")
    return Distribution(name=name, version=version, **provided)
