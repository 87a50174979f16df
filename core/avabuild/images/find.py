"""Finding an image by what a person calls it: a local name or id, a layout or archive, or a registry's."""

from __future__ import annotations

import difflib
import hashlib
import re
from collections.abc import Iterator, Mapping
from typing import Any

from avabuild.common.errors import HostError, ImageError, StepError, StoreError
from avabuild.host.host import Host
from avabuild.images.image import FILES, LOCAL, REGISTRY, Image
from avabuild.registries.name import is_remote
from avabuild.store import Store, oci
from avabuild.tools import argv as commands
from avabuild.tools.buildah import Tools
from avabuild.tools.storage import LocalImage, LocalStorage

_ID = re.compile(r"(sha256:)?(?P<hex>[0-9a-f]{7,64})")


def storage_of(tools: Tools) -> LocalStorage | None:
    """Return the local storage; None where this user can have none.

    Raises HostError where there may be one that nothing can look into: buildah is missing, or too old.
    """
    return tools.storage if tools.mode != "none" else None


def local_images(storage: LocalStorage, store: Store) -> Iterator[Image]:
    """Yield every image of the local storage, once for each of its names; ours and others."""
    layers = storage.list_layers()
    sizes = {layer.diff_id: layer.size for layer in layers.values() if layer.diff_id}
    for one in storage.list_images():
        try:
            config = oci.decode(storage.config(one))
        except (OSError, ValueError):  # no image of one machine, or one that is just being removed
            continue
        if not (config.get("rootfs") or {}).get("diff_ids") and one.top:
            continue
        yield from _named(one, config, storage.annotations(one), sizes, store)


def _named(
    one: LocalImage,
    config: Mapping[str, Any],
    annotations: Mapping[str, str],
    sizes: Mapping[str, int],
    store: Store,
) -> Iterator[Image]:
    manifest, digest = kept_manifest(store, f"sha256:{one.id}")
    for name in one.names or (one.id[:12],):
        yield Image(
            reference=name,
            where="storage",
            source=one.id,
            config=config,
            manifest=manifest,
            digest=digest,
            id=one.id,
            came=one.came,
            unpacked=sizes,
            annotations=annotations,
        )


def kept_manifest(store: Store, config: str) -> tuple[dict[str, Any] | None, str]:
    """Return the manifest that the cache has for an image by the digest of its config, and its digest."""
    digest = store.recall("manifest", config)
    if not isinstance(digest, str):
        return None, ""
    try:
        return oci.decode(store.read(digest)), digest
    except (OSError, StoreError, ValueError):
        return None, ""


def kept_image(store: Store, reference: str, digest: str) -> Image:
    """Return the image whose manifest, config and layers the cache has, as a build left them."""
    manifest = oci.decode(store.read(digest))
    config = str(manifest["config"]["digest"])
    return Image(
        reference=reference,
        where="storage",
        source=config,
        config=oci.decode(store.read(config)),
        manifest=manifest,
        digest=digest,
        id=config.removeprefix("sha256:"),
    )


def find(name: str, tools: Tools, store: Store, *, insecure: bool = False) -> Image:
    """Return the image that `name` means; a registry may be `insecure`.

    Raises:
        ImageError: there is none.
        RegistryError: the registry does not let this user see it. UnavailableError: it does not answer.
    """
    if name.startswith(FILES):
        return _file(name, tools)
    if name.startswith(REGISTRY):
        return _away(name.removeprefix(REGISTRY), tools, insecure=insecure)
    away = is_remote(name) and not name.startswith(LOCAL)
    local = _local(tools, store, needed=not away)
    if found := _matching(name, local):
        return found
    if away:
        return _away(name, tools, insecure=insecure)
    raise unknown(name, [one.reference for one in local])


def _local(tools: Tools, store: Store, *, needed: bool = True) -> list[Image]:
    """Return the local images; none of a storage that nothing can look into, unless it is `needed`."""
    try:
        storage = storage_of(tools)
    except HostError:
        if needed:
            raise
        return []
    return list(local_images(storage, store)) if storage else []


def _away(name: str, tools: Tools, *, insecure: bool) -> Image:
    # httpx takes a tenth of a second to import, and most commands ask no registry.
    from avabuild.images.remote import remote_images  # noqa: PLC0415

    with remote_images(tools.host, insecure=insecure) as images:
        return images.find(name)


def find_local(name: str, tools: Tools, store: Store) -> Image:
    """Return the local image that `name` means; ImageError when there is none."""
    local = _local(tools, store)
    found = _matching(name, local)
    if found is None:
        raise unknown(name, [one.reference for one in local])
    return found


def unknown(name: str, others: list[str]) -> ImageError:
    """Return the error for a name that no local image has."""
    short = {other.removeprefix(LOCAL): other for other in others}
    near = difflib.get_close_matches(name.removeprefix(LOCAL), list(short), 1)
    hint = f"did you mean {short[near[0]]}?" if near else "avabuild images lists those there are"
    return ImageError(f"there is no image {name} in the local storage", hint=hint)


def _matching(name: str, images: list[Image]) -> Image | None:
    """Return the one that has the name, with or without `localhost/` and `:latest`, else the id."""
    tagged = name if ":" in name.rpartition("/")[2] else f"{name}:latest"
    for wanted in (name, f"{LOCAL}{name}", tagged, f"{LOCAL}{tagged}"):
        for one in images:
            if one.reference == wanted:
                return one
    found = _ID.fullmatch(name)
    by_id = {one.id: one for one in images if found and one.id.startswith(found["hex"])}
    if len(by_id) > 1:
        raise ImageError(f"{name} begins the ids of {len(by_id)} images", hint="give more of its digits")
    return next(iter(by_id.values()), None)


def _file(name: str, tools: Tools) -> Image:
    try:
        data = tools.skopeo(commands.inspect_manifest(name), place=name).encode()
        config = oci.decode(tools.skopeo(commands.inspect_config(name), place=name).encode())
    except StepError as error:
        lines = error.tail.strip().splitlines()[-1:] or [error.message]
        why = re.sub(r'^.*msg="?|"$', "", lines[0])
        raise ImageError(
            f"{name} is no image: {why}", hint="a layout of several needs a tag: oci:DIR:TAG"
        ) from error
    manifest = oci.decode(data)
    if "manifests" in manifest:
        raise ImageError(f"{name} is for several kinds of machines", hint="copy out the one that you mean")
    return Image(
        reference=name,
        where="file",
        source=name,
        config=config,
        manifest=manifest,
        digest="sha256:" + hashlib.sha256(data).hexdigest(),
        id=str(manifest["config"]["digest"]).removeprefix("sha256:"),
    )


def bare(name: str) -> str:
    """Return a name without its tag and digest."""
    name = name.partition("@")[0]
    head, colon, tail = name.rpartition(":")
    return head if colon and "/" not in tail else name


# -- listing images: all that there are, or of a registry all tags below a path ------------------------------


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
