"""What the local storage's own files say of it: asked often, and buildah takes 30 ms for each answer.

Source: containers/storage, docs/containers-storage.md and the JSON that its layer stores write. All of it is
a hint: whoever reads it must go on when the storage turns out to be otherwise.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from avabuild.common.value import Value


class LocalImage(Value):
    """One image of the local storage.

    Attributes:
        id: hex digits; those of the digest of its config.
        names: its references, none for an image that lost its last one.
        digest: of the manifest that the storage keeps, which names uncompressed layers.
        top: the storage's id of its topmost layer.
        came: when it came into the storage, in seconds since the epoch.
    """

    id: str
    names: tuple[str, ...]
    digest: str
    top: str
    came: float


class LocalLayer(Value):
    """One layer of the local storage.

    Attributes:
        parent: the id of what is below it, if anything.
        diff_id: of its tar, which has `size` bytes.
        whole: whether it was extracted to its end.
    """

    parent: str = ""
    diff_id: str = ""
    size: int = 0
    whole: bool = True


def layer_ids(diff_ids: Sequence[str]) -> tuple[str, ...]:
    """Return the ids that an import gives to layers that stand on each other, lowest first.

    Source: containers/image, storage/storage_dest.go. They are no chain IDs (OCI image-spec, config.md).
    """
    ids: list[str] = []
    for diff_id in diff_ids:
        own = diff_id.removeprefix("sha256:")
        ids.append(hashlib.sha256(f"{ids[-1]}+{own}".encode()).hexdigest() if ids else own)
    return tuple(ids)


class LocalStorage(Value):
    """Where containers-storage keeps its lists: its root, and its driver's name."""

    root: Path
    driver: str

    @classmethod
    def of(cls, info: Mapping[str, Any]) -> LocalStorage:
        """Return the storage that `buildah info` describes."""
        return cls(root=Path(info["store"]["GraphRoot"]), driver=info["store"]["GraphDriverName"])

    @property
    def images(self) -> Path:
        """The list of images."""
        return self.root / f"{self.driver}-images" / "images.json"

    def whole_layers(self) -> dict[str, LocalLayer] | None:
        """Return the layers that were extracted to their end, by the storage's own ids; see `layers`."""
        try:
            return {name: one for name, one in self.list_layers().items() if one.whole}
        except (OSError, ValueError, LookupError, TypeError, AttributeError):
            return None

    def layers(self) -> dict[str, int] | None:
        """Return the diff IDs of whole layers with their tars' sizes; None for a list that is no such."""
        whole = self.whole_layers()
        if whole is None:
            return None
        return {one.diff_id: one.size for one in whole.values() if one.diff_id and one.size}

    def list_images(self) -> tuple[LocalImage, ...]:
        """Return all images, in the storage's order; none where there is no list."""
        try:
            listed = json.loads(self.images.read_bytes())
        except FileNotFoundError:
            return ()
        return tuple(
            LocalImage(
                id=one["id"],
                names=tuple(one.get("names") or ()),
                digest=str(one.get("digest", "")),
                top=str(one.get("layer", "")),
                came=self._came(one["id"]),
            )
            for one in listed
        )

    def _came(self, identity: str) -> float:
        """When an image was stored: the time in the list is the config's, which no clock reaches."""
        try:
            return (self.images.parent / identity / "manifest").stat().st_mtime
        except OSError:
            return 0.0

    def config(self, image: LocalImage) -> bytes:
        """Return an image's config; OSError where the storage has none."""
        name = "=" + base64.b64encode(f"sha256:{image.id}".encode()).decode()
        return (self.images.parent / image.id / name).read_bytes()

    def annotations(self, image: LocalImage) -> dict[str, str]:
        """Return the annotations of the manifest that the storage keeps for an image; none without one."""
        try:
            read = json.loads((self.images.parent / image.id / "manifest").read_bytes())
            return {str(name): str(text) for name, text in (read.get("annotations") or {}).items()}
        except (OSError, ValueError, AttributeError):
            return {}

    def list_layers(self) -> dict[str, LocalLayer]:
        """Return all layers by the storage's own ids."""
        try:
            listed = json.loads((self.root / f"{self.driver}-layers" / "layers.json").read_bytes())
        except FileNotFoundError:
            return {}
        return {
            one["id"]: LocalLayer(
                parent=str(one.get("parent", "")),
                diff_id=str(one.get("diff-digest", "")),
                size=int(one.get("diff-size", 0)),
                whole=not (one.get("flags") or {}).get("incomplete"),
            )
            for one in listed
        }

    def loose(self, layers: Collection[str]) -> tuple[str, ...]:
        """Return those of `layers` on which no image and no container stands, upper ones first."""
        listed = self.list_layers()
        tops = [one.top for one in self.list_images()]
        for name in ("containers.json", "volatile-containers.json"):
            with suppress(FileNotFoundError):
                known = json.loads((self.root / f"{self.driver}-containers" / name).read_bytes())
                tops += [str(one.get("layer", "")) for one in known]
        used: set[str] = set()
        for top in tops:
            layer = top
            while layer in listed and layer not in used:
                used.add(layer)
                layer = listed[layer].parent
        own = [layer for layer in layers if layer in listed and layer not in used]
        return tuple(sorted(own, key=lambda layer: _height(listed, layer), reverse=True))


def _height(layers: Mapping[str, LocalLayer], layer: str) -> int:
    """How many layers are below it."""
    count = 0
    while (layer := layers[layer].parent) in layers:
        count += 1
    return count
