"""Bringing a base into the store: bootstrapped, pulled, unpacked from an archive, or nothing at all."""

from __future__ import annotations

import os
import re
import shutil
import tarfile
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Literal

from packaging.version import Version

from avabuild.common.errors import (
    AvabuildError,
    ChangedError,
    HostError,
    ImageError,
    Problem,
    RecipeError,
    ResolveError,
    StepError,
    StoreError,
    TargetError,
    UnavailableError,
)
from avabuild.common.tars import Tar, opened
from avabuild.common.value import Value
from avabuild.engine.archives import choices, choose, unpack_chosen
from avabuild.engine.context import Context
from avabuild.engine.neutral import make_neutral
from avabuild.host.host import Host
from avabuild.host.means import Mode
from avabuild.layer.base import Base
from avabuild.layer.blob import BLOCK, MTIME, BlobWriter
from avabuild.layer.facts import assumed, read_facts
from avabuild.plugins.target import Target
from avabuild.recipe import ArchiveBase, DebianBase, ImageBase, ScratchBase
from avabuild.recipe import Base as BaseSpec
from avabuild.store import Kept, Scratch, Store, oci
from avabuild.store.blob import Blob
from avabuild.store.store import file_digest
from avabuild.tools import argv as commands
from avabuild.tools.buildah import Tools

EPOCH = str(MTIME)
Pull = Callable[[str, Path], None]
_FOREIGN = re.compile(r"no image found in (?:manifest list|image index) for architecture")
_OTHER_MACHINE = "name one for this kind of machine"
GONE = ("does not have a Release file", "no longer has a Release file")
_NO_ANSWER = ("temporary failure", "could not resolve", "connection refused", "timeout", "timed out",
              "no such host", "network is unreachable", "connection reset", "failed to fetch")  # fmt: skip


def _no_pull(ref: str, directory: Path) -> None:
    raise UnavailableError(f"nothing here pulls {ref} to {directory}")


def reference(spec: BaseSpec, directory: Path, arch: str, store: Store, mirror: str | None) -> str:
    """Return what names the base before it is obtained: equal names mean the same base until upgraded.

    An archive is relative to `directory`, the recipe's.
    """
    if isinstance(spec, DebianBase):
        return f"debian:{spec.debian}:{arch}:{spec.mirror or mirror or ''}"
    if isinstance(spec, ImageBase):
        return f"image:{spec.image}:{arch}"
    if isinstance(spec, ArchiveBase):
        return _archive(directory / spec.archive, store)
    return "scratch"


def _archive(path: Path, store: Store) -> str:
    return f"archive:{file_digest(store, path)}"


def obtained(spec: BaseSpec, store: Store, name: str, pinned: str = "") -> Base | None:
    """Return the base when the store has it whole: the `pinned` digest, else what `name` was last.

    A pinned digest counts only when `name` gave it: a recipe may have another base than its lock.
    """
    if isinstance(spec, ScratchBase):
        return Base()
    last = store.recall("base-name", name)
    digest = pinned if pinned == last or store.recall("base-of", _given(name, pinned)) else last
    if not isinstance(digest, str) or not digest:
        return None
    base = Base.recorded(store.recall("base", digest))
    if base is None or base.digest != digest:
        base = _recognized(store, digest)
    return base if base and base.is_whole(store) else None


def _recognized(store: Store, digest: str) -> Base | None:
    """Return the base whose manifest is here and nothing else is known of; None for what is no such."""
    if not store.has(digest):
        return None
    try:
        base = _described(store, digest)
    except (OSError, LookupError, TypeError, ValueError, StoreError):
        return None
    store.record("base", digest, base.model_dump(mode="json"))
    return base


def _described(store: Store, digest: str) -> Base:
    """Return the base that the manifest `digest` describes, with the facts that its layers give."""
    manifest = oci.decode(store.read(digest))
    name = manifest["config"]["digest"]
    config = oci.decode(store.read(name))
    layers = tuple(
        Blob(digest=d["digest"], diff_id=diff_id, size=d["size"], unpacked=0, media_type=d["mediaType"])
        for d, diff_id in zip(manifest["layers"], config["rootfs"]["diff_ids"], strict=True)
    )
    if not all(store.has(blob.digest, blob.size) for blob in layers):
        raise LookupError(digest)
    facts = read_facts(store.blob_path(blob.digest) for blob in layers)
    facts = facts.model_copy(update={"arch": str(config.get("architecture") or facts.arch)})
    return Base(digest=digest, config=name, layers=layers, facts=facts)


def obtain(
    spec: BaseSpec,
    directory: Path,
    target: Target,
    store: Store,
    scratch: Scratch,
    tools: Tools,
    name: str,
    pinned: str = "",
    pull: Pull = _no_pull,
) -> Base:
    """Bring the base into the store under `name` and return it; one that is elsewhere is not made again.

    `pull` writes an image that skopeo can't name as a layout in a new directory.

    Raises:
        UnavailableError: the mirror or registry did not answer.
        ResolveError: the mirror does not have the release.
        RecipeError: the archive is no image and no root file system.
        TargetError: the image is for other machines.
        ImageError: it says of itself what can't be.
        ChangedError: the archive is not the one any more that `name` says.
        StepError: the tool failed otherwise.
    """
    with store.lock("base", name):
        if (base := obtained(spec, store, name)) is not None:
            return base
        if bring_base(store, name, pinned) and (base := obtained(spec, store, name, pinned)) is not None:
            return base
        if isinstance(spec, DebianBase):
            base = _bootstrap(spec, target, store, scratch, tools)
        elif isinstance(spec, ImageBase):
            base = _pull(spec.image, target, store, scratch, tools, pull)
        else:
            assert isinstance(spec, ArchiveBase)  # noqa: S101 - recipes are flattened, scratch is always there
            base = _unpack(directory / spec.archive, target, store, scratch, tools)
            if _archive(directory / spec.archive, store) != name:
                raise ChangedError(
                    f"{directory / spec.archive} changed while it was read: nothing of it is kept",
                    hint="build again when it is whole",
                )
        _keep(store, name, base)
        return base


def known_stage_base(store: Store, host: Host, suite: str) -> Base | None:
    """Return the base of a stage on another Debian release than the image's, when the store has it."""
    return obtained(DebianBase(debian=suite), store, _stage_name(store, host, suite))


def stage_base(context: Context, suite: str) -> Base:
    """Bring the base of a stage, a Debian release, into the store; raises as `obtain` does."""
    store, host = context.store, context.host
    if (base := known_stage_base(store, host, suite)) is not None:
        return base
    spec, target, name = DebianBase(debian=suite), Target.for_base(host.arch), _stage_name(store, host, suite)
    with context.report.step(f"base {suite}, to compile on", "base"):
        base = obtain(spec, Path(), target, store, context.scratch, context.tools, name)
    offer_base(store, name, base, anew=True)
    return base


def _stage_name(store: Store, host: Host, suite: str) -> str:
    return reference(DebianBase(debian=suite), Path(), host.arch, store, host.mirror)


def _keep(store: Store, name: str, base: Base, *, newest: bool = True) -> None:
    store.record("base", base.digest, base.model_dump(mode="json"))
    store.record("base-of", _given(name, base.digest), {"name": name})
    if newest:
        store.record("base-name", name, base.digest)


def offer_base(store: Store, name: str, base: Base, *, anew: bool) -> None:
    """Tell whoever is elsewhere what the base is; an image comes from a registry as it is.

    One that is here `anew` is what its name means from now on; another one is it where nobody says what is.
    """
    if base.digest and not name.startswith("image:"):
        config = Kept(digest=base.config, size=store.blob_path(base.config).stat().st_size)
        blobs = (config, *(Kept(digest=blob.digest, size=blob.size) for blob in base.layers))
        record = {"given": _plain(name), "base": base.model_dump(mode="json")}
        store.offer("whole-base", base.digest, record, blobs)
        if store.recall("base-name", name) == base.digest:  # what is asked for without a lock
            store.offer("base-name", _plain(name), base.digest, anew=anew)


def bring_base(store: Store, name: str, pinned: str) -> bool:
    """Bring the pinned base from elsewhere, else what `name` is there; nothing where a new one is wanted."""
    if store.elsewhere is None or store.recall("base-name", name) == "":
        return False
    digest = pinned or store.known("base-name", _plain(name))
    data = store.known("whole-base", digest) if digest and isinstance(digest, str) else None
    if not isinstance(data, dict) or data.get("given") != _plain(name):  # somebody else's words
        return False
    base = Base.recorded(data.get("base"))
    if base is None or base.digest != digest or not base.is_whole(store):
        return False
    _keep(store, name, base, newest=not pinned)  # a lock's may be an old one
    return True


def _plain(name: str) -> str:
    """Return a base's name without its mirror, which is the host's affair."""
    parts = name.split(":")
    return ":".join(parts[:3]) if parts[0] == "debian" else name


def _given(name: str, digest: str) -> str:
    """Return under what it is remembered that `name` gave `digest`; its mirror is no matter."""
    return f"{_plain(name)} {digest}"


def forget(store: Store, name: str) -> None:
    """Make the next `obtain` of `name` fetch anew: for `--upgrade`."""
    store.record("base-name", name, "")


def _bootstrap(spec: DebianBase, target: Target, store: Store, scratch: Scratch, tools: Tools) -> Base:
    tarball = scratch.path / "base.tar"
    mirror = spec.mirror or tools.host.mirror
    own = tools.host.environment
    there = [name for name in PROGRAMS if shutil.which(name, path=own.get("PATH"))]
    way = way_of(tools.mode, there, older=is_older(assumed(spec.debian).glibc))
    argv = commands.bootstrap(spec.debian, tarball, mirror, target.oci_arch, way.mode, inside=way.inside)
    if mirror and not spec.mirror:
        # The mirror is the host's affair, not the image's: apt layers are given it by mount.
        argv[4:4] = ['--customize-hook=: > "$1/etc/apt/sources.list"']
    env = {"SOURCE_DATE_EPOCH": EPOCH}
    if way.inside:
        tools.warn(way.warning)
        env = {**own, **env}
    elif way.mode != "fakechroot":
        # In its user namespace the user's own directories are nobody's: it needs a public place to work in.
        env["TMPDIR"] = own.get("TMPDIR", "/tmp")  # noqa: S108
    try:
        tools.call("mmdebstrap", argv, env=env, place=f"base {spec.debian}", inside=way.inside)
    except StepError as error:
        raise _unreachable(error, f"debian {spec.debian} can't be bootstrapped") from error
    neutral = scratch.path / "base-neutral.tar"
    make_neutral(tarball, neutral)
    tarball.unlink()
    return _single(neutral, store, scratch, target)


def _pull(ref: str, target: Target, store: Store, scratch: Scratch, tools: Tools, pull: Pull) -> Base:
    layout = scratch.directory("base-image")
    here = tools.contain and ref in tools.image_ids()
    source = f"containers-storage:{ref}" if here else f"docker://{_one_of_tag_and_digest(ref)}"
    if ref.startswith("[") and not here:
        raw = scratch.path / "base-raw"
        pull(ref, raw)
        source = f"oci:{raw}"
    argv = commands.copy(source, f"oci:{layout}:base", verify=not tools.insecure or here)
    try:
        tools.skopeo(argv, place=f"base {ref}", storage=here)
    except StepError as error:
        if _FOREIGN.search(error.tail):
            raise TargetError(f"image {ref} is not for {target.arch}", hint=_OTHER_MACHINE) from error
        raise _unreachable(error, f"image {ref} is not available") from error
    return _adopt(layout, store, ref)


def _one_of_tag_and_digest(ref: str) -> str:
    """Return the reference without its tag where a digest follows: skopeo takes one of both."""
    name, at, digest = ref.partition("@")
    head, colon, tail = name.rpartition(":")
    return f"{head}{at}{digest}" if at and colon and "/" not in tail else ref


def _unpack(path: Path, target: Target, store: Store, scratch: Scratch, tools: Tools) -> Base:
    kind = archive_kind(path)
    if kind == "rootfs":
        return _single(path, store, scratch, target)
    layout, source = scratch.directory("base-image"), f"{kind}:{path}"
    chosen = choose(path, choices(path, kind), target.oci_arch)
    if chosen and kind == "oci-archive":
        raw = scratch.path / "base-raw"
        unpack_chosen(path, chosen, raw)
        source = f"oci:{raw}:base"
    elif chosen:
        source = f"{source}:@{chosen.index}"
    try:
        tools.skopeo(commands.copy(source, f"oci:{layout}:base"), place=f"base {path.name}")
    except StepError as error:
        if not _FOREIGN.search(error.tail):
            raise
        raise TargetError(f"{path.name} is not for {target.arch}", hint=_OTHER_MACHINE) from error
    return _adopt(layout, store, path.name)


def archive_kind(path: Path) -> str:
    """Return `oci-archive`, `docker-archive` or `rootfs`, by what the tar holds.

    Raises:
        RecipeError: it is no tar at all.
    """
    try:
        with Tar.open(path) as tar:
            for count, member in enumerate(tar):
                name = member.name.removeprefix("./")
                if name == "oci-layout":
                    return "oci-archive"
                if name == "manifest.json":
                    return "docker-archive"
                if name.startswith(("usr", "etc", "bin", "lib")) and not name.endswith(".tar"):
                    return "rootfs"
                if count > 10_000:
                    break
    except (tarfile.TarError, OSError, EOFError) as error:
        message = f"is no archive of an image or of a root file system: {error}"
        raise RecipeError((Problem(str(path), "", message),)) from error
    return "rootfs"


def _single(tarball: Path, store: Store, scratch: Scratch, target: Target) -> Base:
    """Make a base of one layer out of a root file system's tar."""
    out = scratch.path / "base.layer"
    blob = _compressed(tarball, out)
    path = store.adopt(out, blob.digest)
    settings = oci.config({}, [oci.Piece(blob=blob, created_by="base")], oci.Settings(), target.oci_arch)
    config = store.put(oci.encode(settings))
    manifest = oci.manifest(oci.encode(settings), [oci.layer_descriptor(blob)], {})
    digest = store.put(oci.encode(manifest))
    return Base(digest=digest, config=config, layers=(blob,), facts=read_facts([path]))


def _compressed(tarball: Path, out: Path) -> Blob:
    """Write the layer of a root file system's tar, which may be compressed itself."""
    with opened(tarball) as file, BlobWriter(out) as writer:
        writer.raw(iter(lambda: file.read(BLOCK), b""))
        return writer.finish()


def _adopt(layout: Path, store: Store, what: str) -> Base:
    """Move an OCI layout's one image into the store; ImageError where its config is not one of its layers."""
    listed = oci.decode((layout / "index.json").read_bytes())["manifests"][0]
    blobs = layout / "blobs" / "sha256"
    for path in blobs.iterdir():
        store.adopt(path, f"sha256:{path.name}")
    shutil.rmtree(layout)
    try:
        return _described(store, str(listed["digest"]))
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        message = f"{what} is not an image to build on: its config does not say which layers it has"
        raise ImageError(message, hint="build or save it again") from error


def _unreachable(error: StepError, message: str) -> AvabuildError:
    if any(words in error.tail for words in GONE):
        return ResolveError(
            f"{message}: the mirror does not have it, or not any more",
            hint="name a mirror that keeps old releases with AVABUILD_DEBIAN_MIRROR, or build on an archive "
            f'of the base, base = {{ archive = "..." }}; full log: {error.log}',
        )
    if any(words in error.tail.lower() for words in _NO_ANSWER):
        last = error.tail.strip().splitlines()[-1:] or [""]
        return UnavailableError(f"{message}: {last[0]}", hint=f"try again later; full log: {error.log}")
    return error


# -- how a Debian is bootstrapped here: a pure choice among the ways that mmdebstrap has of being root -------


PROGRAMS = ("fakechroot", "fakeroot")
_MADE = (
    'take a base that is made already: an image, base = { archive = "..." }, or that of a shared cache, '
    "AVABUILD_SHARED_CACHE=DIR"
)


class Way(Value):
    """A way to bootstrap.

    Attributes:
        mode: mmdebstrap's.
        inside: whether it runs in the build's namespace, where one id is mapped: all files are root's then.
            Every other way keeps their owners, and comes to the same bytes.
        warning: what the user is told of it.
    """

    mode: Literal["root", "unshare", "fakechroot"]
    inside: bool = False
    warning: str = ""


def way_of(mode: Mode, programs: Collection[str], *, older: bool = False) -> Way:
    """Return the way for a user of `mode`; `programs` are those of PROGRAMS that are there.

    `older` says that the release has an older C library than this host: fakechroot has the release's own
    programs load the host's library of fakeroot, which needs this one.

    Raises:
        HostError: there is none; says what would make one.
    """
    if mode == "root":
        return Way(mode="root")
    if mode == "subuid":
        return Way(mode="unshare")
    missing = [name for name in PROGRAMS if name not in programs]
    if not missing and not older:
        return Way(mode="fakechroot")
    if mode == "single":
        better = "a host that is no newer" if older else f"the packages {' and '.join(PROGRAMS)}"
        warning = (
            "all files of the Debian base are owned by root: this user has one id here; "
            f"{better} would keep owners"
        )
        return Way(mode="root", inside=True, warning=warning)
    if older:
        raise HostError(
            "a Debian that is older than this host can't be made where there are no user namespaces",
            hint=_MADE,
        )
    raise HostError(
        f"a Debian base needs {' and '.join(missing)} where there are no user namespaces",
        hint=f"apt-get install {' '.join(missing)}; or {_MADE}",
    )


def is_older(glibc: str, host: str | None = None) -> bool:
    """Whether a release's C library is older than this host's; `host` is what confstr(3) says of that."""
    here = (host or os.confstr("CS_GNU_LIBC_VERSION") or "").removeprefix("glibc ")
    return bool(here) and Version(glibc) < Version(here)
