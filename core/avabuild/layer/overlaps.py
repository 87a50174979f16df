"""Overlaps: files that several wheels of an image have with different content, and which one is in the image.

The rule is that of wheels installed one after the other by name: the last name's file is there. Layers hold
wheels in another order, big ones by themselves, so what that gets wrong is put right by a layer above them.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

from avabuild.common.value import Value, digest_of
from avabuild.layer.blob import BlobWriter, Compression, Watch
from avabuild.layer.bytecode import FORMAT as BYTECODE
from avabuild.layer.bytecode import copy_modules
from avabuild.layer.grouping import FileLayer
from avabuild.layer.scheme import Scheme
from avabuild.layer.standing import Standing
from avabuild.layer.wheel import copy_files, overlapping
from avabuild.store import Store
from avabuild.store.blob import Blob

FORMAT = 2
_SHOWN = 10
TITLE = "files of several wheels"


class Overlap(Value):
    """A path and the packages whose wheels have it, by name: the last one's file is in the image."""

    path: str
    names: tuple[str, ...]

    def __str__(self) -> str:
        others, last = self.names[:-1], self.names[-1]
        return f"{', '.join(others)} and {last} all have {self.path}; the one of {last} is in the image"


def hashes_of(layers: Sequence[FileLayer]) -> dict[str, str]:
    """Return the sha256 of every package's wheel."""
    wheels = (layer for layer in layers if layer.kind == "wheels")
    return {p.name: dict(layer.parts)[p.name] for layer in wheels for p in layer.packages}


def known_overlaps(store: Store, layers: Sequence[FileLayer], scheme: Scheme) -> tuple[Overlap, ...] | None:
    """Return what is known of the wheels in `layers`, None when nobody has looked into them together yet."""
    hashes = hashes_of(layers)
    if len(hashes) < 2:
        return ()
    known = store.known("overlaps", _key(hashes, scheme))
    if not isinstance(known, list):
        return None
    with suppress(ValueError):
        return tuple(map(Overlap.model_validate, known))
    return None


def find_overlaps(
    store: Store, layers: Sequence[FileLayer], wheels: Mapping[str, Path], scheme: Scheme
) -> tuple[Overlap, ...]:
    """Look into all `wheels` of `layers`, by the names of their packages, and remember what is found."""
    hashes = hashes_of(layers)
    by_name = {name: wheels[name] for name in sorted(hashes)}
    found = tuple(Overlap(path=path, names=names) for path, names in overlapping(by_name, scheme))
    key, record = _key(hashes, scheme), [one.model_dump() for one in found]
    store.record("overlaps", key, record)
    store.offer("overlaps", key, record)
    return found


def _key(hashes: Mapping[str, str], scheme: Scheme) -> str:
    return digest_of(["overlaps", FORMAT, scheme.identity, sorted(hashes.items())])


def settling(
    layers: Sequence[FileLayer],
    overlaps: Sequence[Overlap],
    scheme: Scheme,
    compression: str,
    standing: Standing = Standing(),  # noqa: B008 - a frozen value
) -> FileLayer | None:
    """Return the layer that puts right what `layers` get wrong; None when that is nothing."""
    order = [p.name for layer in layers if layer.kind == "wheels" for p in layer.packages]
    places = {name: place for place, name in enumerate(order)}
    wrong = [one for one in overlaps if max(one.names, key=places.__getitem__) != one.names[-1]]
    if not wrong:
        return None
    hashes, packages = hashes_of(layers), {p.name: p for layer in layers for p in layer.packages}
    winners = sorted({one.names[-1] for one in wrong})
    compiled = any(layer.kind == "bytecode" for layer in layers)
    parts = (
        ("format", str(FORMAT)),
        ("scheme", digest_of(scheme.identity)),
        ("compression", compression),
        *standing.parts,
        *((one.path, hashes[one.names[-1]]) for one in wrong),
        *([("python", scheme.python), ("worker", str(BYTECODE))] if compiled else []),
    )
    return FileLayer(
        kind="wheels",
        name=TITLE,
        packages=tuple(packages[name] for name in winners),
        origins=("avabuild",),
        parts=parts,
        key=digest_of(["overlaps", parts]),
    )


def chosen(layer: FileLayer, overlaps: Sequence[Overlap]) -> dict[str, frozenset[str]]:
    """Return which paths the layer takes of each of its packages."""
    paths = {path for path, _ in layer.parts}
    return {
        package.name: frozenset(
            one.path for one in overlaps if one.names[-1] == package.name and one.path in paths
        )
        for package in layer.packages
    }


def write_settled(
    out: Path,
    wanted: Mapping[str, frozenset[str]],
    wheel: Callable[[str], Path],
    pack: Callable[[str], Path] | None,
    scheme: Scheme,
    compression: Compression,
    watch: Watch | None = None,
    standing: Standing | None = None,
) -> Blob:
    """Write the `wanted` files of wheels, and what was compiled of them, by the names of their packages."""
    with BlobWriter(out, compression, watch, standing) as writer:
        for name, paths in wanted.items():
            copy_files(wheel(name), writer, scheme, paths)
            if pack and any(path.endswith(".py") for path in paths):
                copy_modules(pack(name), writer, scheme, partial(_is_of, paths, scheme))
        return writer.finish()


def _is_of(paths: frozenset[str], scheme: Scheme, compiled: str) -> bool:
    return source_of(compiled, scheme) in paths


def source_of(compiled: str, scheme: Scheme) -> str:
    """Return the path of the module that `compiled` was made of."""
    if scheme.python == "2.7":
        return compiled.removesuffix("c")
    with suppress(ValueError):
        return importlib.util.source_from_cache(compiled)
    return ""


def told(overlaps: Sequence[Overlap]) -> tuple[str, ...]:
    """Return the lines that tell of `overlaps`: the first ones, and how many more there are."""
    more = len(overlaps) - _SHOWN
    lines = tuple(map(str, overlaps[:_SHOWN]))
    return (*lines, f"and {more} more files are in several wheels") if more > 0 else lines
