"""Outputs: where a finished image goes: the local storage, an OCI layout, or an archive."""

from __future__ import annotations

import hashlib
import io
import json
import re
import shutil
import tarfile
from pathlib import Path
from typing import Literal

from avabuild.common import damage
from avabuild.common.errors import StoreError
from avabuild.common.tars import opened
from avabuild.common.value import Value
from avabuild.engine.context import Context
from avabuild.engine.layout import Composed, write_layout
from avabuild.layer.blob import BLOCK, MTIME
from avabuild.plan.labels import whole_labels
from avabuild.store import Store, oci
from avabuild.store.blob import Blob
from avabuild.store.store import disk_errors

Kind = Literal["storage", "nowhere", "oci", "oci-archive", "docker-archive"]
_OUTPUT = re.compile(r"(?P<kind>oci|oci-archive|docker-archive):(?P<path>[^:]+)")
_ELSEWHERE = "name another place with --output"


class Output(Value):
    """One destination; `path` is None for the local storage, and for `nowhere` but the registry.

    `shared` says that images of several recipes go there: in a layout each has its name before its tag then.
    """

    kind: Kind = "storage"
    path: Path | None = None
    shared: bool = False

    @classmethod
    def parse(cls, text: str) -> Output:
        """Read `storage`, `oci:DIR`, `oci-archive:FILE` or `docker-archive:FILE`; ValueError for others.

        A path with a colon is refused: the tools would take its end for a tag, which is the recipe's.
        """
        if text == "storage":
            return LOCAL
        found = _OUTPUT.fullmatch(text)
        if not found:
            raise ValueError(
                f'"{text}" is no output; write storage, oci:DIR, oci-archive:FILE or docker-archive:FILE'
            )
        return cls.model_validate({"kind": found["kind"], "path": Path(found["path"]).absolute()})

    def __str__(self) -> str:
        return f"{self.kind}:{self.path}" if self.path else "local storage"


LOCAL, NOWHERE = Output(), Output(kind="nowhere")


def write_output(context: Context, composed: Composed, output: Output, name: str) -> None:
    """Write the image to a directory or archive, under the tag of `name`; archives appear when complete."""
    if output.path is None:  # the local storage is the importer's
        return
    tag = name.partition("/")[2] if output.shared else name.rpartition(":")[2]
    with context.report.step(f"write {output}", "output"), disk_errors(output.path.parent, _ELSEWHERE):
        output.path.parent.mkdir(parents=True, exist_ok=True)
        if output.kind == "oci":
            with context.store.lock("layout", str(output.path)):
                write_layout(context.store, composed, output.path, tag)
            return
        partial = output.path.with_name(f".{output.path.name}.{context.scratch.build}")
        try:
            if output.kind == "oci-archive":
                write_oci_archive(context.store, composed, partial, tag)
            else:
                inflating = context.scratch.directory("inflating")
                write_docker_archive(context.store, composed, partial, name, inflating)
            partial.replace(output.path)
        finally:
            partial.unlink(missing_ok=True)


# -- archives of one image: an OCI layout as a tar, or what `docker load` reads; both the same bytes every tim
# Source: containers-transports(5), oci-archive and docker-archive; the Docker image specification 1.2.


def write_oci_archive(store: Store, composed: Composed, out: Path, tag: str) -> None:
    """Write the image as an OCI layout in a tar."""
    manifest = store.read(composed.digest)
    with tarfile.open(out, "w") as tar:
        _add(tar, "oci-layout", b'{"imageLayoutVersion":"1.0.0"}')
        _add(tar, "index.json", oci.encode(oci.index(manifest, tag)))
        for directory in ("blobs", "blobs/sha256"):  # skopeo gives those that it makes up to root
            info = tarfile.TarInfo(directory)
            info.type, info.mode, info.mtime = tarfile.DIRTYPE, 0o755, MTIME
            tar.addfile(info)
        for digest in dict.fromkeys((*composed.layers, composed.config, composed.digest)):
            _add(tar, f"blobs/sha256/{digest.removeprefix('sha256:')}", store.blob_path(digest))


def write_docker_archive(store: Store, composed: Composed, out: Path, name: str, directory: Path) -> None:
    """Write the image with inflated layers, which are put into `directory` one at a time.

    Such an archive has no annotations: what of them are labels is in its config, which then has another id.
    """
    layers = {blob.diff_id: f"{blob.diff_id.removeprefix('sha256:')}.tar" for blob in composed.blobs}
    settings = _labelled(store, composed)
    config = f"{hashlib.sha256(settings).hexdigest()}.json"
    names = [layers[blob.diff_id] for blob in composed.blobs]
    about = json.dumps([{"Config": config, "RepoTags": [name], "Layers": names}]).encode()
    with tarfile.open(out, "w") as tar:
        _add(tar, "manifest.json", about)
        _add(tar, config, settings)
        for blob in {blob.diff_id: blob for blob in composed.blobs}.values():
            inflated = directory / "layer.tar"
            _inflate(store, blob, inflated)
            _add(tar, layers[blob.diff_id], inflated)
            inflated.unlink()


def _labelled(store: Store, composed: Composed) -> bytes:
    """Return the image's config with all of its labels."""
    data = store.read(composed.config)
    annotations = oci.decode(store.read(composed.digest)).get("annotations") or {}
    config = oci.decode(data)
    labels = config["config"].get("Labels") or {}
    whole = whole_labels(labels, annotations)
    return (
        data if whole == labels else oci.encode({**config, "config": {**config["config"], "Labels": whole}})
    )


def _inflate(store: Store, blob: Blob, out: Path) -> None:
    path = store.blob_path(blob.digest)
    try:
        with opened(path) as source, out.open("wb") as target:
            shutil.copyfileobj(source, target, BLOCK)
    except damage.TAR as error:
        raise StoreError(
            f"a layer in the cache is damaged: {error}", hint=f"remove {path}; it is made again"
        ) from error


def _add(tar: tarfile.TarFile, name: str, content: bytes | Path) -> None:
    info = tarfile.TarInfo(name)
    info.mode, info.mtime = 0o644, MTIME
    if isinstance(content, bytes):
        info.size = len(content)
        tar.addfile(info, io.BytesIO(content))
        return
    info.size = content.stat().st_size
    with content.open("rb") as file:
        tar.addfile(info, file)
