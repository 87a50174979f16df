"""Exporting an image: as an archive, or as what another builder makes it from."""

from __future__ import annotations

import io
import os
import shutil
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import IO, Any, Literal

from isal import igzip

from avabuild.common.errors import ImageError
from avabuild.common.tars import passing
from avabuild.engine.layout import Composed, write_layout
from avabuild.images.description import labels_of
from avabuild.images.export.apptainer import BASE, definition
from avabuild.images.export.containerfile import containerfile
from avabuild.images.export.rebuild import Rebuild, Unpack, file_words, rebuild
from avabuild.images.image import Image
from avabuild.images.layers import fetch, is_kept, layers_of
from avabuild.images.writing import write_file
from avabuild.layer.blob import OPAQUE
from avabuild.layer.merged import is_whiteout
from avabuild.layer.packages import Layer
from avabuild.plugins.kinds import WHITEOUT
from avabuild.store import Scratch, Store, oci
from avabuild.store.blob import Blob
from avabuild.store.store import disk_errors
from avabuild.tools.buildah import Tools

Format = Literal["containerfile", "oci-archive", "docker-archive", "def", "oci"]
_MAIN: Mapping[Format, str] = {"containerfile": "Containerfile", "def": "image.def"}


def export(one: Image, kind: Format, output: Path, tools: Tools, store: Store) -> Path:
    """Write the image to `output`, a new directory or for archives a file; return what was written.

    A layout, `oci`, may be there already: the image is added to it.

    Raises:
        ImageError: the directory holds something, or the image doesn't say what it was made of.
    """
    if kind in {"oci-archive", "docker-archive"}:
        return _archive(one, kind, output, tools, store)
    if kind == "oci":
        return _layout(one, output, tools, store)
    made = rebuild(one.description, one.reference, one.config)
    if kind == "def" and not made.base and not made.root:
        raise ImageError(
            f"{one.reference} stands on nothing, and a definition needs a shell to unpack its layers",
            hint="export it as an archive: --format oci-archive",
        )
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise ImageError(f"{output} is there already", hint="name an empty or new directory with --output")
    partial = output.with_name(f".{output.name}.{os.getpid()}")
    try:
        with disk_errors(output.parent, "name another place with --output"):
            partial.mkdir(parents=True)
            with layers_of(one, tools, store) as layers:
                _write(one, made, kind, partial, layers)
            if output.exists():
                output.rmdir()
            partial.replace(output)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return output / _MAIN[kind]


def _write(one: Image, made: Rebuild, kind: Format, directory: Path, layers: Sequence[Layer]) -> None:
    title = one.reference.removeprefix("localhost/")
    taken = [step.index for step in (*made.below, *made.above) if isinstance(step, Unpack)]
    if kind == "containerfile" and not made.base:
        taken = [*made.root, *taken]
    files = {index: _place(layers[index], directory, _file(one, index)) for index in taken}
    for name, text in made.wheels.requirements if made.wheels else ():
        write_file(directory / "requirements" / name, text.encode())
    text, steps = (containerfile if kind == "containerfile" else definition)(
        made, one.labelled_config, files, title
    )
    for name, step in steps.items():
        write_file(directory / name, step.encode())
    if kind == "def" and not made.base:
        _write_base(directory / BASE, [layers[index] for index in made.root], one.config)
    write_file(directory / _MAIN[kind], text.encode())


def _file(one: Image, index: int) -> str:
    return f"layers/{index + 1:02}-{file_words(one.description.layers[index].name)}.tar"


def _place(layer: Layer, directory: Path, name: str) -> tuple[str, list[str]]:
    """Write a layer as a tar that any builder unpacks; return its name and what it removes of those below.

    Removals are entries of their own in a layer, which only images know.
    """
    removed = _removed(layer)
    out = directory / f"{name}.gz"
    out.parent.mkdir(parents=True, exist_ok=True)
    if not removed and _compression(layer.path) == "+gzip":
        shutil.copyfile(layer.path, out)
        return f"{name}.gz", []
    packed: Any = igzip.open(out, "wb", 1)  # type: ignore[no-untyped-call]
    with packed, tarfile.open(fileobj=packed, mode="w|", format=tarfile.PAX_FORMAT) as target:
        for member, content in _members(layer):
            if not is_whiteout(member.name):
                target.addfile(member, content)
    return f"{name}.gz", removed


def _removed(layer: Layer) -> list[str]:
    found = []
    for member, _ in _members(layer):
        if is_whiteout(member.name):
            head, _slash, last = member.name.removeprefix("./").strip("/").rpartition("/")
            gone = head if last == OPAQUE else f"{head}/{last.removeprefix(WHITEOUT)}"
            found.append(f"/{gone.lstrip('/')}")
    return found


def _members(layer: Layer) -> Iterator[tuple[tarfile.TarInfo, IO[bytes] | None]]:
    with passing(layer.path) as tar:
        for member in tar:
            yield member, tar.extractfile(member) if member.isreg() else None


def _write_base(path: Path, layers: Sequence[Layer], config: Mapping[str, Any]) -> None:
    """Write what the image stands on as an OCI archive (image-spec, image-layout.md)."""
    own = oci.encode(
        {
            "architecture": config.get("architecture"),
            "os": "linux",
            "config": {},
            "rootfs": {"type": "layers", "diff_ids": [layer.diff_id for layer in layers]},
        }
    )
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
        descriptors = []
        for layer in layers:
            digest = f"sha256:{layer.path.name}"
            tar.add(layer.path, f"blobs/sha256/{layer.path.name}", filter=_plain)
            kind = oci.TAR + _compression(layer.path)
            descriptors.append({"mediaType": kind, "digest": digest, "size": layer.path.stat().st_size})
        manifest = oci.encode(oci.manifest(own, descriptors, {}))
        files = {
            "oci-layout": b'{"imageLayoutVersion":"1.0.0"}',
            "index.json": oci.encode(oci.index(manifest)),
        }
        for data in (own, manifest):
            files[f"blobs/sha256/{oci.descriptor('', data)['digest'].removeprefix('sha256:')}"] = data
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))


def _plain(info: tarfile.TarInfo) -> tarfile.TarInfo:
    info.uid = info.gid = 0
    info.uname = info.gname = ""
    info.mtime = 0
    return info


def _compression(path: Path) -> str:
    with path.open("rb") as file:
        magic = file.read(4)
    return "+gzip" if magic[:2] == b"\x1f\x8b" else "+zstd" if magic == b"\x28\xb5\x2f\xfd" else ""


def _archive(one: Image, kind: str, output: Path, tools: Tools, store: Store) -> Path:
    """Write an archive, with the image's own digest where its compressed layers are at hand."""
    partial = output.with_name(f".{output.name}.{os.getpid()}")
    name = one.reference if one.where != "file" and ":" in one.reference else "image:latest"
    target = f"{kind}:{partial}:{name if kind == 'docker-archive' else name.rpartition(':')[2]}"
    try:
        with disk_errors(output.parent, "name another place with --output"), Scratch(store) as scratch:
            output.parent.mkdir(parents=True, exist_ok=True)
            tools.temporary = scratch.directory("tmp")
            source = _from_cache(one, scratch, store)
            if kind == "docker-archive" and one.labels != labels_of(one.config):
                source = _labelled(source, scratch, tools)
            fetch(source, target, tools)
            partial.replace(output)
    finally:
        partial.unlink(missing_ok=True)
    return output


def _layout(one: Image, output: Path, tools: Tools, store: Store) -> Path:
    """Write an OCI layout, or add to the one that is there, under the image's tag."""
    name = one.reference if one.where != "file" and ":" in one.reference else "image:latest"
    with disk_errors(output.parent, "name another place with --output"), Scratch(store) as scratch:
        output.parent.mkdir(parents=True, exist_ok=True)
        tools.temporary = scratch.directory("tmp")
        with store.lock("layout", str(output)):
            target = f"oci:{output}:{name.rpartition(':')[2]}"
            fetch(_from_cache(one, scratch, store), target, tools)
    return output


def _labelled(one: Image, scratch: Scratch, tools: Tools) -> Image:
    """Return the image as a layout whose config has all labels: a Docker archive has no annotations."""
    layout = scratch.path / "labelled"
    fetch(one, f"oci:{layout}:image", tools)
    index = oci.decode((layout / "index.json").read_bytes())
    blobs = layout / "blobs" / "sha256"
    manifest = oci.decode((blobs / index["manifests"][0]["digest"].removeprefix("sha256:")).read_bytes())
    config = oci.encode(one.labelled_config)
    data = oci.encode({**manifest, "config": oci.descriptor(oci.CONFIG, config)})
    listed = oci.index(data, "image")
    for blob in (config, data):
        (blobs / oci.descriptor("", blob)["digest"].removeprefix("sha256:")).write_bytes(blob)
    (layout / "index.json").write_bytes(oci.encode(listed))
    return replace(one, where="file", source=f"oci:{layout}:image")


def _from_cache(one: Image, scratch: Scratch, store: Store) -> Image:
    """Return the image as a layout of the cache's own blobs, which no tool has to compress again."""
    if one.where != "storage" or one.manifest is None or not is_kept(one, store):
        return one
    blobs = tuple(
        Blob(digest=d["digest"], diff_id=diff_id, size=d["size"], unpacked=0, media_type=d["mediaType"])
        for d, diff_id in zip(one.manifest["layers"], one.config["rootfs"]["diff_ids"], strict=True)
    )
    composed = Composed(digest=one.digest, config=f"sha256:{one.id}", blobs=blobs, size=0)
    layout = scratch.path / "image"
    write_layout(store, composed, layout, "image")
    return replace(one, where="file", source=f"oci:{layout}:image")
