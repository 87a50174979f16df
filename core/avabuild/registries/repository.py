"""One repository of a registry: blobs and manifests, there and back.

Source: OCI distribution-spec 1.1, "Pull" and "Push".
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO, Literal

import httpx

from avabuild.common.errors import RegistryError
from avabuild.registries.client import Registry, Request, scopes
from avabuild.registries.name import is_digest, is_tag, referrers_tag
from avabuild.resolve.bounded import BoundError, raw
from avabuild.store import oci
from avabuild.tools.cancellation import Cancellation

ACCEPT = (
    f"{oci.MANIFEST}, {oci.INDEX}, application/vnd.docker.distribution.manifest.v2+json, "
    "application/vnd.docker.distribution.manifest.list.v2+json"
)
CHUNK = 1 << 18
_STEP = 1 << 20  # bytes between two words of progress

Came = Literal["there", "mounted", "sent"]
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Manifest:
    """A manifest or index as a registry has it."""

    digest: str
    media_type: str
    data: bytes

    def read(self) -> dict[str, Any]:
        """Return its JSON object; ValueError when it is none."""
        return oci.decode(self.data)

    def for_machine(self, arch: str) -> str | None:
        """Return the digest of the image for machines `arch` in an index; None where it has none."""
        listed = self.read().get("manifests")
        for entry in listed if isinstance(listed, list) else ():
            platform = entry.get("platform") if isinstance(entry, dict) else None
            if isinstance(platform, dict) and platform.get("architecture") == arch:
                return digest if is_digest(digest := str(entry.get("digest"))) else None
        return None


class Repository:
    """A repository, seen by one owner who may `stop` what is under way; safe to use from several threads."""

    def __init__(self, registry: Registry, name: str, stop: Cancellation | None = None) -> None:
        self.registry = registry
        self.name = name
        self.stop = stop or Cancellation()
        self._path = f"/v2/{name}"

    # -- manifests -----------------------------------------------------------------------------------------

    def manifest(self, reference: str) -> Manifest | None:
        """Return the manifest or index that a tag or digest names, None when there is none."""
        request = self._request(f"read {self.name}:{reference}", "GET", f"manifests/{reference}", ACCEPT)
        response = self.registry.send(request, self.stop)
        if self.registry.absent(request, response):
            return None
        digest = _digest(response.content)
        if reference.startswith("sha256:") and digest != reference:
            raise RegistryError(f"{self.registry.host} gave something else for {self.name}@{reference}")
        kind = response.headers.get("Content-Type", "").partition(";")[0]
        return Manifest(digest, kind, response.content)

    def digest(self, reference: str) -> str | None:
        """Return the digest that a tag names, None when there is no such tag or the registry doesn't say."""
        request = self._request(f"look for {self.name}:{reference}", "HEAD", f"manifests/{reference}", ACCEPT)
        response = self.registry.send(request, self.stop)
        named = response.headers.get("Docker-Content-Digest", "")
        return named if response.status_code == 200 and is_digest(named) else None

    def put_manifest(self, reference: str, data: bytes, media_type: str = oci.MANIFEST) -> str:
        """Give what is uploaded a name, and return the manifest's digest."""
        self._put(reference, data, media_type)
        return _digest(data)

    def put_referrer(self, data: bytes) -> bool:
        """Push the manifest of an artefact; return whether the registry lists it by its subject by itself."""
        return "OCI-Subject" in self._put(_digest(data), data, oci.MANIFEST).headers

    def _put(self, reference: str, data: bytes, media_type: str) -> httpx.Response:
        response = self.registry.send(
            Request(
                f"push {self.name}:{reference}",
                "PUT",
                f"{self._path}/manifests/{reference}",
                scopes("pull,push", self.name),
                (200, 201, 202),
                (("Content-Type", media_type), ("Content-Length", str(len(data)))),
                lambda: iter((data,)),
            ),
            self.stop,
        )
        digest = _digest(data)
        if (named := response.headers.get("Docker-Content-Digest", digest)) != digest:
            raise RegistryError(f"{self.registry.host} keeps {self.name} as {named}, not as {digest}")
        return response

    def referrers(self, digest: str) -> tuple[Mapping[str, Any], ...]:
        """Return the descriptors of what belongs to the manifest `digest`, none where nothing says so."""
        what = f"look for what belongs to {self.name}@{digest}"
        request = self._request(what, "GET", f"referrers/{digest}", oci.INDEX)
        response = self.registry.send(request, self.stop)
        return _entries(response.content) if response.status_code == 200 else self.tagged_referrers(digest)

    def tagged_referrers(self, digest: str) -> tuple[Mapping[str, Any], ...]:
        """Return the same from the list that clients keep where the registry keeps none."""
        found = self.manifest(referrers_tag(digest))
        return _entries(found.data) if found else ()

    def tags(self) -> tuple[str, ...]:
        """Return all tags of the repository, none when there is no such repository."""
        request = self._request(f"list {self.name}", "GET", "tags/list?n=1000")
        return tuple(tag for tag in self.registry.listed(request, "tags", self.stop) if is_tag(tag))

    # -- blobs ---------------------------------------------------------------------------------------------

    def has(self, digest: str) -> bool:
        """Whether the repository has the blob."""
        request = self._request("look for a blob", "HEAD", f"blobs/{digest}")
        return self.registry.send(request, self.stop).status_code == 200

    def read(self, digest: str) -> bytes:
        """Return a small blob (a config), held against its digest."""
        request = self._request(f"read {self.name}@{digest}", "GET", f"blobs/{digest}")
        response = self.registry.send(request, self.stop)
        if self.registry.absent(request, response):
            raise RegistryError(f"{self.registry.host} has no blob {digest} in {self.name}")
        data = response.content
        if _digest(data) != digest:
            raise RegistryError(f"{self.registry.host} gave a damaged blob for {self.name}@{digest}")
        return data

    def fetch(self, digest: str, size: int, path: Path, progress: Progress) -> None:
        """Download a blob to `path`, held against its digest; what breaks off is gone on with.

        Raises:
            RegistryError: what came is something else. UnavailableError: it didn't come whole.
        """
        what, url, rights = (
            f"read {self.name}@{digest}",
            f"{self._path}/blobs/{digest}",
            scopes("pull", self.name),
        )
        request = Request(what, "GET", url, rights, (200, 206))
        with path.open("wb") as file:
            arriving = _Arriving(file, size, progress)

            def attempt() -> httpx.Response:
                rest = (("Range", f"bytes={arriving.done}-"),) if arriving.done else ()
                response = self.registry.once(replace(request, headers=rest), self.stop, stream=True)
                if response.status_code in request.accepted:
                    with closing(response):
                        arriving.take(response, self.stop)
                return response

            self.registry.patiently(request, self.stop, attempt)
        if f"sha256:{arriving.hashed.hexdigest()}" != digest:
            raise RegistryError(f"{self.registry.host} gave a damaged blob for {self.name}@{digest}")
        progress(arriving.done, arriving.done)

    def upload(
        self, digest: str, size: int, path: Path, progress: Progress, source: str | None = None
    ) -> Came:
        """Have the blob `path` in the repository: it is there, mounted from `source`, or sent."""
        if self.has(digest):
            return "there"
        came: list[Came] = ["sent"]

        def attempt() -> httpx.Response:
            """A new place each time: what a broken attempt left in its place can't be gone on from."""
            began = self._begin(digest, source)
            if began.status_code == 201:
                came[0] = "mounted"
                return began
            where = httpx.URL(self.registry.location(began)).copy_merge_params({"digest": digest})
            answered = self.registry.once(replace(request, url=str(where)), self.stop)
            if answered.status_code == 404:  # the registry was started anew meanwhile
                raise httpx.RemoteProtocolError("it forgot an upload that was under way")
            return answered

        fields = {"Content-Type": "application/octet-stream", "Content-Length": str(size)}
        request = Request(
            f"push to {self.name}",
            "PUT",
            "",
            scopes("pull,push", self.name),
            (201, 202, 204),
            tuple(fields.items()),
            lambda: _chunks(path, size, progress, self.stop),
        )
        self.registry.patiently(request, self.stop, attempt)
        return came[0]

    def _begin(self, digest: str, source: str | None) -> httpx.Response:
        """Ask for a place to send a blob to, or for the blob of another repository."""
        url, what, none = f"{self._path}/blobs/uploads/", f"push to {self.name}", (("Content-Length", "0"),)
        if source:
            asked = Request(
                what,
                "POST",
                f"{url}?mount={digest}&from={source}",
                (*scopes("pull,push", self.name), *scopes("pull", source)),
                (201, 202, 401, 403, 404),
                none,
            )
            answered = self.registry.send(asked, self.stop)
            if answered.status_code in {201, 202}:
                return answered  # else we may not read there, or it is gone
        return self.registry.send(
            Request(what, "POST", url, scopes("pull,push", self.name), (202,), none), self.stop
        )

    def _request(self, what: str, method: str, path: str, accept: str = "*/*") -> Request:
        """Return a question to which 404 is an answer."""
        given = (("Accept", accept),)
        return Request(what, method, f"{self._path}/{path}", scopes("pull", self.name), (200, 404), given)


class _Arriving:
    """A blob on its way into a file, through as many answers as it takes."""

    def __init__(self, file: BinaryIO, size: int, progress: Progress) -> None:
        self._file = file
        self._size = size
        self._progress = progress
        self.hashed = hashlib.sha256()
        self.done = 0

    def take(self, response: httpx.Response, stop: Cancellation) -> None:
        """Take what an answer has: the rest, else all of it from the start."""
        if response.status_code != 206 and self.done:
            self._file.seek(0)
            self._file.truncate()
            self.hashed, self.done = hashlib.sha256(), 0
        told = self.done
        for chunk in raw(response):
            stop.check()
            self.done += len(chunk)
            if self.done > self._size:
                raise BoundError(f"sends more than the {self._size} bytes of the blob")
            self._file.write(chunk)
            self.hashed.update(chunk)
            if self.done - told >= _STEP:
                self._progress(self.done, self._size)
                told = self.done


def _digest(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def _entries(data: bytes) -> tuple[Mapping[str, Any], ...]:
    """Return the descriptors of an index, none of what is no index."""
    try:
        listed = oci.decode(data).get("manifests")
    except ValueError:
        return ()
    return tuple(entry for entry in listed if isinstance(entry, dict)) if isinstance(listed, list) else ()


def _chunks(path: Path, size: int, progress: Progress, stop: Cancellation) -> Iterator[bytes]:
    done = told = 0
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            stop.check()
            yield chunk
            done += len(chunk)
            if done - told >= _STEP or done == size:
                progress(done, size)
                told = done
