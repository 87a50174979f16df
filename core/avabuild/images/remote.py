"""Images of registries, of which nothing but manifest and config is read, by the client that pushes too."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from avabuild.common.errors import ImageError, RegistryError
from avabuild.host.host import Host
from avabuild.images.image import REGISTRY, Image
from avabuild.plugins.target import Target
from avabuild.registries.connections import BRIEF, Registries
from avabuild.registries.credentials import DOCKER_HUB
from avabuild.registries.name import Remote, is_digest, is_host, is_referrers_tag
from avabuild.registries.repository import Manifest, Repository
from avabuild.store import oci

_CONFIGS = frozenset({oci.CONFIG, "application/vnd.docker.container.image.v1+json"})
_AT_ONCE = 8


@contextmanager
def remote_images(host: Host, *, insecure: bool = False) -> Iterator[RemoteImages]:
    """Yield the images of registries for machines like `host`, for as long as connections are open."""
    with Registries(host, insecure=insecure, policy=BRIEF) as registries:
        yield RemoteImages(registries, Target.for_base(host.arch).oci_arch, insecure=insecure)


class RemoteImages:
    """The images of registries for machines of one kind.

    What is asked raises UnavailableError where a registry doesn't answer, RegistryError where it refuses.

    Args:
        arch: the kind, as configs name it.
        insecure: whether the registries may do without verified TLS.
    """

    def __init__(self, registries: Registries, arch: str, *, insecure: bool) -> None:
        self._registries = registries
        self._arch = arch
        self._insecure = insecure

    def find(self, name: str) -> Image:
        """Return the image of a name; ImageError when there is none, or only for other machines."""
        try:
            remote = Remote.parse(name)
        except ValueError as error:
            raise ImageError(str(error)) from error
        if remote.host == DOCKER_HUB and "/" not in remote.repository:
            remote = remote.model_copy(update={"repository": f"library/{remote.repository}"})
        repository = self._registries.repository(remote)
        found = repository.manifest(remote.reference)
        if found is None:
            hint = f"avabuild images --registry {remote.bare.rpartition('/')[0]} lists those there are"
            raise ImageError(f"{remote.host} has no image {name}", hint=hint)
        one = self._read(repository, found, name)
        if one is None:
            raise ImageError(f"{name} is no image for {self._arch}")
        return one

    def below(self, place: str) -> tuple[Image, ...]:
        """Return the images of a registry below `place`, `host/path`, or of the repository that it names.

        Raises ImageError when there is no such repository, nor one below.
        """
        host, _, path = place.partition("/")
        if not is_host(host):
            raise ImageError(f"{host} is no registry", hint="write it as host.example.com/path")
        return self._images(self._repositories(host, path))

    def within(self, namespace: str, names: Sequence[str]) -> tuple[Image, ...]:
        """Return the images of the repositories `names` below `namespace`, `host/path`; one may be absent."""
        host, _, path = namespace.partition("/")
        return self._images([self._repository(host, f"{path}/{name}" if path else name) for name in names])

    def _repositories(self, host: str, path: str) -> list[Repository]:
        refusal: RegistryError | None = None
        names: tuple[str, ...] = ()
        try:
            names = self._registries.registry(host, path).repositories()
        except RegistryError as error:  # not every registry tells what it has, but it may have this
            if not path:
                raise
            refusal = error
        found = [name for name in names if not path or name == path or name.startswith(f"{path}/")]
        if path and not found:
            if not self._repository(host, path).tags():
                raise refusal or ImageError(f"{host} has no repository {path}, and none below it")
            found = [path]
        return [self._repository(host, name) for name in found]

    def _repository(self, host: str, name: str) -> Repository:
        return self._registries.repository(Remote(host=host, repository=name))

    def _images(self, repositories: Sequence[Repository]) -> tuple[Image, ...]:
        """Return what the tags of repositories name; what is no image, or is gone by now, is left out."""
        with ThreadPoolExecutor(_AT_ONCE, "registry") as pool:
            tags = pool.map(Repository.tags, repositories)
            named = [(one, tag) for one, some in zip(repositories, tags, strict=True) for tag in sorted(some)]
            named = [(one, tag) for one, tag in named if not is_referrers_tag(tag)]
            found = pool.map(lambda pair: self._tagged(*pair), named)
            return tuple(one for one in found if one)

    def _tagged(self, repository: Repository, tag: str) -> Image | None:
        found = repository.manifest(tag)
        name = f"{repository.registry.host}/{repository.name}:{tag}"
        return self._read(repository, found, name) if found else None

    def _read(self, repository: Repository, found: Manifest, name: str) -> Image | None:
        """Return the image of a manifest, or of an index for this machine; None where it is none."""
        manifest = _decoded(found)
        if "manifests" in manifest:
            digest = found.for_machine(self._arch)
            inner = repository.manifest(digest) if digest else None
            if inner is None:
                return None
            found, manifest = inner, _decoded(inner)
        config = manifest.get("config")
        if not isinstance(config, dict) or config.get("mediaType") not in tuple(_CONFIGS):
            return None  # a bill of materials, a layer of a cache, or whatever else registries keep
        if not is_digest(str(config.get("digest"))):
            return None
        try:
            known = oci.decode(repository.read(str(config["digest"])))
            if len(known["rootfs"]["diff_ids"]) != len(manifest["layers"]):
                return None
        except (ValueError, LookupError, TypeError):
            return None
        return Image(
            reference=name,
            where="registry",
            source=f"{REGISTRY}{repository.registry.host}/{repository.name}@{found.digest}",
            config=known,
            manifest=manifest,
            digest=found.digest,
            id=str(config["digest"]).removeprefix("sha256:"),
            insecure=self._insecure,
        )


def _decoded(found: Manifest) -> dict[str, Any]:
    try:
        return found.read()
    except ValueError:
        return {}
