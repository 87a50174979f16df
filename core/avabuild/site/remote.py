"""What a registry holds: the only place of the site that asks one, through `ask`, which runs skopeo."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from avabuild import commands
from avabuild.errors import StepError, UnavailableError
from avabuild.registries.name import is_referrers_tag
from avabuild.site.values import Slice
from avabuild.value import Value

Ask = Callable[[Sequence[str]], str]
_AT_ONCE = 8
_ABSENT = ("name unknown", "repository name not known", "manifest unknown", "not found", "status 404")
_OURS = "org.avabuild.target"
_OURS_BY = "avabuild: "


class Held(Value):
    """An image of avabuild in a registry: its digest, its layers lowest first, and its labels."""

    name: str
    tag: str
    reference: str
    digest: str
    arch: str = ""
    slices: tuple[Slice, ...] = ()
    labels: tuple[tuple[str, str], ...] = ()
    ports: tuple[str, ...] = ()


def held(ask: Ask, namespace: str, names: Sequence[str]) -> tuple[Held, ...]:
    """Return the images of avabuild that the repositories `names` below `namespace` hold.

    Raises:
        UnavailableError: the registry does not answer, or refuses.
    """
    with ThreadPoolExecutor(_AT_ONCE, "registry") as pool:
        listed = pool.map(lambda name: _tags(ask, f"{namespace}/{name}"), names)
        pairs = [(name, tag) for name, tags in zip(names, listed, strict=True) for tag in tags]
        found = pool.map(lambda pair: _image(ask, namespace, *pair), pairs)
        return tuple(image for image in found if image)


def _tags(ask: Ask, repository: str) -> list[str]:
    try:
        answer = json.loads(ask(commands.list_tags(repository)))
    except StepError as error:
        if any(words in error.tail.lower() for words in _ABSENT):
            return []
        raise _refused(repository, error) from error
    return sorted(tag for tag in map(str, answer.get("Tags") or ()) if not is_referrers_tag(tag))


def _image(ask: Ask, namespace: str, name: str, tag: str) -> Held | None:
    """Return the image, or None when it is none of avabuild's or went away meanwhile."""
    reference = f"{namespace}/{name}:{tag}"
    try:
        config = json.loads(ask(commands.inspect_config(f"docker://{reference}")))
        inner = config.get("config") or {}
        labels = {str(key): str(text) for key, text in (inner.get("Labels") or {}).items()}
        if _OURS not in labels:
            return None
        raw = ask(commands.inspect_manifest(f"docker://{reference}"))
        manifest = json.loads(raw)
    except StepError as error:
        if any(words in error.tail.lower() for words in _ABSENT):
            return None
        raise _refused(reference, error) from error
    arch = str(config.get("architecture") or "")
    return Held(
        name=name,
        tag=tag,
        reference=reference,
        digest="sha256:" + hashlib.sha256(raw.encode()).hexdigest(),
        arch={"amd64": "x86_64", "arm64": "aarch64"}.get(arch, arch),
        slices=slices_of(manifest, config),
        labels=tuple(sorted(labels.items())),
        ports=tuple(sorted(inner.get("ExposedPorts") or ())),
    )


def slices_of(manifest: Mapping[str, Any], config: Mapping[str, Any]) -> tuple[Slice, ...]:
    """Return an image's layers with their sizes; the history names them where it has one for each.

    An index of several machines' images, which avabuild does not make, has none.
    """
    sizes = [int(layer["size"]) for layer in manifest.get("layers") or ()]
    history = [entry for entry in config.get("history") or () if not entry.get("empty_layer")]
    words = [str(entry.get("created_by") or "") for entry in history]
    if len(words) != len(sizes):
        words = [""] * len(sizes)
    return tuple(
        Slice(name=text.removeprefix(_OURS_BY) if text.startswith(_OURS_BY) else "base", size=size)
        for text, size in zip(words, sizes, strict=True)
    )


def _refused(name: str, error: StepError) -> UnavailableError:
    lines = error.tail.strip().splitlines()
    told = re.sub(r'^.*?msg="|"$', "", lines[-1]).replace('\\"', '"') if lines else error.message
    return UnavailableError(
        f"the registry does not say what it holds: {told}",
        place=name,
        hint="see whether it is up, and whether you are logged in; or leave --registry out",
    )
