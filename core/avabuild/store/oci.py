"""The OCI image as pure functions: config, manifest and index from layers and settings.

Source: OCI image-spec 1.1, config.md, manifest.md, image-index.md, annotations.md.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from avabuild.common.value import Value, canonical
from avabuild.store.blob import Blob

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
TAR = "application/vnd.oci.image.layer.v1.tar"
INDEX = "application/vnd.oci.image.index.v1+json"
CREATED = "1980-01-01T00:00:00Z"  # no clock reaches an image: the same lock gives the same digest
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Piece(Value):
    """One layer of an image: its blob, and the words that `history` and `inspect` show for it."""

    blob: Blob
    created_by: str


class HealthCheck(Value):
    """How a runtime asks whether a container is well; times in seconds, None where the runtime's own holds.

    Source: Docker Image Specification 1.2, `Healthcheck`. OCI's has none; builders write the same there.
    """

    command: tuple[str, ...]
    interval: float | None = None
    timeout: float | None = None
    start_period: float | None = None
    retries: int | None = None

    @property
    def config(self) -> dict[str, Any]:
        """It as configs have it: times in nanoseconds."""
        shell = self.command[:2] == ("/bin/sh", "-c") and len(self.command) == 3
        test = ["CMD-SHELL", self.command[2]] if shell else ["CMD", *self.command]
        times = {"Interval": self.interval, "Timeout": self.timeout, "StartPeriod": self.start_period}
        found = {name: round(seconds * 1e9) for name, seconds in times.items() if seconds is not None}
        return {"Test": test, **found, **({"Retries": self.retries} if self.retries else {})}


class Settings(Value):
    """What an image's config says beside its layers; every field None or empty means "as the base has it"."""

    env: tuple[tuple[str, str], ...] = ()
    path: tuple[str, ...] = ()  # directories put in front of the base's PATH
    library_path: tuple[str, ...] = ()  # and of its LD_LIBRARY_PATH
    labels: tuple[tuple[str, str], ...] = ()
    annotations: tuple[tuple[str, str], ...] = ()
    entrypoint: tuple[str, ...] | None = None
    cmd: tuple[str, ...] | None = None
    workdir: str | None = None
    user: str | None = None
    ports: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()
    healthcheck: HealthCheck | None = None
    created: str = ""  # RFC 3339; empty for CREATED

    @property
    def surroundings(self) -> Settings:
        """What of them a command in a container sees: its environment and its directory."""
        return Settings(env=self.env, path=self.path, library_path=self.library_path, workdir=self.workdir)


def config(base: Mapping[str, Any], pieces: Sequence[Piece], settings: Settings, arch: str) -> dict[str, Any]:
    """Return the image config: the base's own with our layers on top and the settings applied.

    `base` is the base's config (empty for scratch). A changed entrypoint drops the base's cmd, as every
    builder does, since the two are one command line.
    """
    inner: dict[str, Any] = dict(base.get("config") or {})
    env = dict(entry.split("=", 1) for entry in inner.get("Env") or [] if "=" in entry)
    path = (env.get("PATH") or PATH).split(":")
    env["PATH"] = ":".join((*settings.path, *(entry for entry in path if entry not in settings.path)))
    if settings.library_path:
        held = [entry for entry in env.get("LD_LIBRARY_PATH", "").split(":") if entry]
        others = (entry for entry in held if entry not in settings.library_path)
        env["LD_LIBRARY_PATH"] = ":".join((*settings.library_path, *others))
    env.update(settings.env)
    inner["Env"] = [f"{name}={value}" for name, value in env.items()]
    if settings.entrypoint is not None:
        inner["Entrypoint"] = list(settings.entrypoint)
        inner.pop("Cmd", None)
    if settings.cmd is not None:
        inner["Cmd"] = list(settings.cmd)
    if settings.workdir is not None:
        inner["WorkingDir"] = settings.workdir
    if settings.user is not None:
        inner["User"] = settings.user
    if settings.ports:
        ports = (port if "/" in port else f"{port}/tcp" for port in settings.ports)
        inner["ExposedPorts"] = {**(inner.get("ExposedPorts") or {}), **{port: {} for port in ports}}
    if settings.volumes:
        inner["Volumes"] = {**(inner.get("Volumes") or {}), **{path: {} for path in settings.volumes}}
    if settings.healthcheck is not None:
        inner["Healthcheck"] = settings.healthcheck.config
    if settings.labels:
        inner["Labels"] = {**(inner.get("Labels") or {}), **dict(settings.labels)}
    below = (base.get("rootfs") or {}).get("diff_ids") or []
    history = _history(base, len(below))
    history += [{"created": CREATED, "created_by": piece.created_by} for piece in pieces]
    return {
        "created": settings.created or CREATED,
        "architecture": arch,
        "os": "linux",
        "config": inner,
        "rootfs": {
            "type": "layers",
            "diff_ids": [*below, *(piece.blob.diff_id for piece in pieces)],
        },
        "history": history,
    }


def _history(base: Mapping[str, Any], layers: int) -> list[dict[str, Any]]:
    """The base's history, which must have an entry for each of its layers; some tools write fewer or none."""
    history = list(base.get("history") or [])
    if sum(not entry.get("empty_layer") for entry in history) == layers:
        return history
    return [{"created": CREATED, "created_by": "base"}] * layers


def manifest(
    config_data: bytes, layers: Sequence[Mapping[str, Any]], annotations: Mapping[str, str]
) -> dict[str, Any]:
    """Return the image manifest over an encoded config and the layers' descriptors."""
    made: dict[str, Any] = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": descriptor(CONFIG, config_data),
        "layers": [dict(layer) for layer in layers],
    }
    if annotations:
        made["annotations"] = dict(sorted(annotations.items()))
    return made


def index(manifest_data: bytes, name: str | None = None) -> dict[str, Any]:
    """Return the `index.json` of a layout with one image, named `name` when given."""
    entry = descriptor(MANIFEST, manifest_data)
    if name:
        entry["annotations"] = {"org.opencontainers.image.ref.name": name}
    return {"schemaVersion": 2, "mediaType": INDEX, "manifests": [entry]}


def descriptor(media_type: str, data: bytes) -> dict[str, Any]:
    """Return the content descriptor of `data` (image-spec, descriptor.md)."""
    digest = "sha256:" + hashlib.sha256(data).hexdigest()
    return {"mediaType": media_type, "digest": digest, "size": len(data)}


def layer_descriptor(blob: Blob) -> dict[str, Any]:
    """Return the content descriptor of a layer's blob."""
    return {"mediaType": blob.media_type, "digest": blob.digest, "size": blob.size}


def plain_descriptor(blob: Blob, size: int) -> dict[str, Any]:
    """Return the content descriptor of a layer uncompressed: a tar of `size` bytes, named by its diff ID."""
    return {"mediaType": TAR, "digest": blob.diff_id, "size": size}


def encode(data: Mapping[str, Any]) -> bytes:
    """Return the one byte form of a config, manifest or index."""
    return canonical(data)


def decode(data: bytes) -> dict[str, Any]:
    """Read a config, manifest or index; raise ValueError when it is no JSON object."""
    try:
        read = json.loads(data)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    if not isinstance(read, dict):
        raise ValueError("not a JSON object")  # noqa: TRY004 - as json raises for what is no JSON at all
    return read
