"""Outgoing: local images get names, and go to registries as the compressed blobs that the store has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from avabuild.common.errors import StoreError
from avabuild.images.find import find_local
from avabuild.images.image import LOCAL, Image
from avabuild.images.layers import fetch
from avabuild.registries.name import Remote, is_remote
from avabuild.registries.pushed import Pushed
from avabuild.store import Scratch, Store, oci
from avabuild.tools.buildah import Tools
from avabuild.tools.cancellation import Cancellation
from avabuild.tools.events import Report

if TYPE_CHECKING:
    from avabuild.registries.connections import Registries


class Outgoing:
    """What can be done with images of the local storage.

    Args:
        store: has the layers compressed, of images that were built here.
        tools: with the local storage.
        report: where it tells what it does.
    """

    def __init__(self, store: Store, tools: Tools, report: Report) -> None:
        self._report = report
        self._store = store
        self._tools = tools

    def tag(self, name: str, other: str) -> str:
        """Give an image one more name, with its own tag where `other` has none; return the name.

        Raises ImageError for an unknown image, ValueError for what is no name.
        """
        wanted = _nameable(other if is_remote(other) else f"{LOCAL}{other}")
        found = find_local(name, self._tools, self._store)
        whole = str(_tagged(wanted, found))
        self._tools.tag(found.source, whole)
        return whole

    def push(self, name: str, destination: str | None, registries: Registries) -> Pushed:
        """Push an image to `destination`, or to the registry that its own name says.

        A destination with a tag is the whole name; one without is a namespace, as of `recipe --push`, unless
        it ends in the image's own name.

        Raises:
            ImageError: there is no such image. ValueError: nothing says where to.
            RegistryError, UnavailableError, DiskFullError: as the registry has it.
        """
        wanted = _nameable(destination) if destination else None
        found = find_local(name, self._tools, self._store)
        remote = _destination(wanted, found) if wanted else _tagged(_nameable(_own(found)), found)
        if found.manifest is not None:
            try:
                return self._sent(remote, found.digest, found.manifest, registries)
            except StoreError:
                self._report.note("the cache lacks layers of the image: they are compressed anew")
        registries.registry(remote.host, remote.repository).greet()  # compressing takes its time
        digest, manifest = self._compressed(found)
        return self._sent(remote, digest, manifest, registries)

    def _sent(
        self, remote: Remote, digest: str, manifest: Mapping[str, Any], registries: Registries
    ) -> Pushed:
        from avabuild.registries.push import Push  # noqa: PLC0415 - brings httpx, which a tag doesn't need

        layers = {str(layer["digest"]): int(layer["size"]) for layer in manifest["layers"]}
        with Push(registries, remote, self._store, self._report, Cancellation()) as push:
            return push.finish(digest, str(manifest["config"]["digest"]), layers)

    def _compressed(self, found: Image) -> tuple[str, dict[str, Any]]:
        """Have the local storage, which keeps no layer compressed, write the image into the store.

        Return its manifest's digest and the manifest, which the store knows from now on where it knew none.
        """
        with Scratch(self._store) as scratch, self._report.step(f"compress {found.reference}", "push"):
            self._tools.temporary = scratch.directory("tmp")
            layout = scratch.path / "image"
            fetch(found, f"oci:{layout}:image", self._tools)
            (listed,) = oci.decode((layout / "index.json").read_bytes())["manifests"]
            digest, blobs = str(listed["digest"]), layout / "blobs" / "sha256"
            manifest = oci.decode((blobs / digest.removeprefix("sha256:")).read_bytes())
            for path in blobs.iterdir():
                self._store.adopt(path, f"sha256:{path.name}")
        if found.manifest is None and manifest["config"]["digest"] == f"sha256:{found.id}":
            self._store.record("manifest", f"sha256:{found.id}", digest)
        return digest, manifest


def _own(found: Image) -> str:
    """Return an image's name when it is one in a registry; raise ValueError when it is none."""
    if is_remote(found.reference) and not found.reference.startswith(LOCAL):
        return found.reference
    raise ValueError(
        f"{found.reference} names no registry; say where to: "
        f"avabuild push {found.reference} registry.example.com/{found.reference.removeprefix(LOCAL)}"
    )


def _nameable(text: str) -> Remote:
    """Return the name that an image is to get; ValueError for a digest, which only its content gives."""
    name = Remote.parse(text)
    if name.digest:
        raise ValueError(f'"{text}" names a digest, which comes of the content alone; give it a tag instead')
    return name


def _destination(wanted: Remote, found: Image) -> Remote:
    """Return what the image is called at `wanted`."""
    own = found.reference.removeprefix(LOCAL).rpartition(":")[0]
    own = own.rpartition("/")[2] if is_remote(own) else own
    if wanted.tag or not own or f"/{wanted.repository}".endswith(f"/{own}"):
        return _tagged(wanted, found)
    return _tagged(wanted.below(own), found)


def _tagged(name: Remote, found: Image) -> Remote:
    """Return the name, with the image's own tag where it has none."""
    return name if name.tag else name.tagged(found.reference.rpartition("/")[2].partition(":")[2] or "latest")
