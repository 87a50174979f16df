"""Archives of one image: an OCI layout as a tar, or what `docker load` reads; both the same bytes every time.

Source: containers-transports(5), oci-archive and docker-archive; the Docker image specification 1.2.
"""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import tarfile
from pathlib import Path

from avabuild.common import damage
from avabuild.common.errors import StoreError
from avabuild.common.tars import opened
from avabuild.engine.layout import Composed
from avabuild.layer.blob import BLOCK, MTIME
from avabuild.plan.labels import whole_labels
from avabuild.store import Store
from avabuild.store import oci as image
from avabuild.store.blob import Blob


def write_oci_archive(store: Store, composed: Composed, out: Path, tag: str) -> None:
    """Write the image as an OCI layout in a tar."""
    manifest = store.read(composed.digest)
    with tarfile.open(out, "w") as tar:
        _add(tar, "oci-layout", b'{"imageLayoutVersion":"1.0.0"}')
        _add(tar, "index.json", image.encode(image.index(manifest, tag)))
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
    annotations = image.decode(store.read(composed.digest)).get("annotations") or {}
    config = image.decode(data)
    labels = config["config"].get("Labels") or {}
    whole = whole_labels(labels, annotations)
    return (
        data if whole == labels else image.encode({**config, "config": {**config["config"], "Labels": whole}})
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
