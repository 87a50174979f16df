"""Archives: which image of an OCI or Docker archive is this machine's.

Source: containers-transports(5), oci-archive and docker-archive; OCI image-spec, image-layout.md and
image-index.md (an entry's `platform`).
"""

from __future__ import annotations

import json
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from avabuild.common.errors import Problem, RecipeError
from avabuild.common.tars import Tar
from avabuild.common.value import Value
from avabuild.store import oci

_MOST = 4 << 20  # bytes of an index, a manifest or a config (OCI distribution-spec: "Pushing Manifests")
_NAME = "org.opencontainers.image.ref.name"
_DAMAGE = (
    *(tarfile.TarError, OSError, EOFError, ValueError, LookupError, TypeError, AttributeError),
    RecursionError,
)


class Choice(Value):
    """One image of an archive: its place among the archive's own, its machine, what it is called."""

    index: int
    arch: str
    name: str = ""
    digest: str = ""


def choices(path: Path, kind: str) -> tuple[Choice, ...]:
    """Return the images of an archive of a `kind`: `oci-archive` or `docker-archive`.

    Raises RecipeError for a damaged archive.
    """
    try:
        with Tar.open(path) as tar:
            return tuple(_of_layout(tar) if kind == "oci-archive" else _of_docker(tar))
    except _DAMAGE as error:
        raise RecipeError((Problem(str(path), "", f"is a damaged archive of images: {error}"),)) from error


def choose(path: Path, found: Sequence[Choice], arch: str) -> Choice | None:
    """Return this machine's image where an archive has several; None where it has one, or says no machine.

    Raises RecipeError where none of several fits, or more than one.
    """
    if len(found) < 2:
        return None
    fitting = [one for one in found if one.arch == arch]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        names = ", ".join(one.name or "one without a name" for one in fitting)
        message = f"holds {len(fitting)} images for {arch}: {names}; save the one that is meant alone"
    else:
        archs = ", ".join(sorted({one.arch or "an unknown machine" for one in found}))
        message = f"holds images for {archs}, and none for {arch}"
    raise RecipeError((Problem(str(path), "", message),))


def unpack_chosen(path: Path, chosen: Choice, directory: Path) -> None:
    """Write an OCI archive as a layout in the new `directory`, which lists the chosen image alone.

    Nothing of the archive but blobs is written, each under its digest.
    """
    blobs = directory / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    with Tar.open(path) as tar:
        listed = _json(tar, _members(tar), "index.json")
        for name, member in _members(tar).items():
            digest = name.removeprefix("blobs/sha256/")
            if digest != name and len(digest) == 64 and digest.isalnum() and member.isreg():
                tar.makefile(member, blobs / digest)
    entry = {**listed["manifests"][chosen.index], "annotations": {_NAME: "base"}}
    (directory / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    (directory / "index.json").write_bytes(oci.encode({**listed, "manifests": [entry]}))


def _of_layout(tar: tarfile.TarFile) -> list[Choice]:
    members = _members(tar)
    found = []
    for index, entry in enumerate(_json(tar, members, "index.json")["manifests"]):
        digest = str(entry["digest"])
        manifest = _json(tar, members, f"blobs/sha256/{digest.removeprefix('sha256:')}")
        if "artifactType" in entry or "subject" in manifest:
            continue  # a bill of materials, a signature
        arch = str((entry.get("platform") or {}).get("architecture") or "")
        if not arch and "config" in manifest:
            config = str(manifest["config"]["digest"]).removeprefix("sha256:")
            arch = str(_json(tar, members, f"blobs/sha256/{config}").get("architecture") or "")
        if arch != "unknown":  # an attestation's
            name = str((entry.get("annotations") or {}).get(_NAME) or "")
            found.append(Choice(index=index, arch=arch, name=name, digest=digest))
    return found


def _of_docker(tar: tarfile.TarFile) -> list[Choice]:
    members = _members(tar)
    found = []
    for index, entry in enumerate(_json(tar, members, "manifest.json")):
        config = _json(tar, members, str(entry["Config"]))
        name = ", ".join(map(str, entry.get("RepoTags") or ()))
        found.append(Choice(index=index, arch=str(config.get("architecture") or ""), name=name))
    return found


def _members(tar: tarfile.TarFile) -> Mapping[str, tarfile.TarInfo]:
    return {member.name.removeprefix("./"): member for member in tar.getmembers()}


def _json(tar: tarfile.TarFile, members: Mapping[str, tarfile.TarInfo], name: str) -> Any:
    file = tar.extractfile(members[name])
    if file is None:
        raise LookupError(name)
    data = file.read(_MOST + 1)
    if len(data) > _MOST:
        raise ValueError(f"{name} has more than {_MOST >> 20} MB")
    return json.loads(data)
