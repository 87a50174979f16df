"""Usage: what the cache and the local storage hold, by kind, and what of it a present image needs."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from avabuild.engine.exec.apt_run import file_name
from avabuild.images.description import labels_of
from avabuild.images.find import kept_manifest, local_images
from avabuild.images.image import Image
from avabuild.images.leftovers import is_of_build
from avabuild.layer.base import Base
from avabuild.plan.labels import BASE
from avabuild.store import Store
from avabuild.tools.storage import LocalStorage

# What an item of these holds may be looked at by a build that never asked for it by name.
SHARED = {
    "downloads": ("pip", "pip-cache", "uv-build", "uv-cache", "driver"),
    "package lists": ("apt-lists", "apt-names"),
}
KEPT = ("index", "stamps", "used", "locks", "leases")


@dataclass(frozen=True, slots=True)
class Item:
    """One thing of the cache that may be removed by itself.

    Attributes:
        kind: in a word or two: `layers`, `bases`, `wheels`.
        path: a file or a directory.
        size: bytes that are free when it is gone: none of a file that a layout of the user's has too.
        used: when it was last used, in nanoseconds since the epoch.
        needed: whether a present image needs it.
        mark: the file whose time tells of its use: the thing itself, what it holds, or one beside it.
    """

    kind: str
    path: Path
    size: int
    used: int
    needed: bool
    mark: Path


@dataclass(frozen=True, slots=True)
class Needs:
    """What present images need of the cache: names of blobs, of wheels by hash, and of archives.

    `bases` are the blobs of all bases, needed or not.
    """

    blobs: frozenset[str] = frozenset()
    wheels: frozenset[str] = frozenset()
    debs: frozenset[str] = frozenset()
    bases: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Usage:
    """The bytes of one kind, how many things they are, and how much of it present images need."""

    kind: str
    count: int
    size: int
    needed: int


@dataclass
class _Index:
    """What the store's index says of its blobs: those of bases, and by diff ID which blob a layer is.

    `built` are the wheels, by sha256, that were built of a source.
    """

    bases: dict[str, Base] = field(default_factory=dict)
    by_diff_id: dict[str, set[str]] = field(default_factory=dict)
    built: dict[str, set[str]] = field(default_factory=dict)


def needs_of(store: Store, images: Iterable[Image]) -> Needs:
    """Return what `images` need."""
    index = _index(store)
    blobs, wheels, debs = set[str](), set[str](), set[str]()
    for one in images:
        blobs |= _blobs(store, one, index)
        lock = one.description.lock
        if lock:
            wheels |= {package.sha256 for package in lock.python}
            wheels |= {wheel for package in lock.python for wheel in index.built.get(package.source, ())}
            debs |= {file_name(deb) for apt in lock.apt for deb in apt.debs}
    bases = [digest for base in index.bases.values() for digest in _of_base(base)]
    return Needs(_names(blobs), frozenset(wheels), frozenset(debs), _names(bases))


def _of_base(base: Base) -> tuple[str, ...]:
    return (base.digest, base.config, *(blob.digest for blob in base.layers))


def _names(digests: Iterable[str]) -> frozenset[str]:
    return frozenset(digest.removeprefix("sha256:") for digest in digests)


def _blobs(store: Store, one: Image, index: _Index) -> set[str]:
    config = f"sha256:{one.id}"
    manifest, digest = kept_manifest(store, config)
    found = {config}
    if manifest is not None:
        found |= {digest, *(str(layer["digest"]) for layer in manifest["layers"])}
    else:
        for diff_id in one.config["rootfs"]["diff_ids"]:
            found |= index.by_diff_id.get(diff_id, set())
    if base := index.bases.get(labels_of(one.config).get(BASE, "")):
        found |= set(_of_base(base))
    return found


def _index(store: Store) -> _Index:
    index = _Index()
    for data in store.entries("base"):
        try:
            base = Base.model_validate(data)
        except ValueError:
            continue
        index.bases[base.digest] = base
        for blob in base.layers:
            index.by_diff_id.setdefault(blob.diff_id, set()).add(blob.digest)
    for data in store.entries("layer"):
        if isinstance(data, Mapping) and {"diff_id", "digest"} <= data.keys():
            index.by_diff_id.setdefault(str(data["diff_id"]), set()).add(str(data["digest"]))
    for data in store.entries("built"):
        if isinstance(data, Mapping) and {"source", "sha256"} <= data.keys():
            index.built.setdefault(str(data["source"]), set()).add(str(data["sha256"]))
    return index


def items(store: Store, needs: Needs) -> Iterator[Item]:
    """Yield all that may be removed from the cache, and what of it is needed."""
    root = store.root
    for path in _below(store.blobs):
        kind = "bases" if path.name in needs.bases else "layers"
        yield _item(kind, path, needed=path.name in needs.blobs)
    for path in _below(root / "wheels", "*/*"):
        file = next((inner for inner in _below(path) if not inner.name.startswith(".")), None)
        kind = "wheels" if file else "downloads"  # one that was begun, and may still go on
        yield _item(kind, path, needed=path.name in needs.wheels, mark=file)
    for path in _below(root / "built"):
        mark = store.use_mark("built", path.name)
        yield _item("wheels", path, needed=path.name in needs.wheels, mark=mark)
    for path in _below(root / "pyc"):
        yield _item("bytecode", path)
    for path in _below(root / "debs", "*.deb"):
        mark = store.use_mark("debs", path.name)
        yield _item("Debian packages", path, needed=path.name in needs.debs, mark=mark)
    for kind, directories in SHARED.items():
        for path in (path for name in directories for path in _below(root / name)):
            yield _item(kind, path)
    for path in _below(root / "logs"):
        yield _item("logs", path)


def usage(store: Store, found: Collection[Item]) -> Iterator[Usage]:
    """Yield the sums of each kind; what a build has lying about and what the cache knows come last."""
    for kind in dict.fromkeys(item.kind for item in found):
        mine = [item for item in found if item.kind == kind]
        needed = sum(item.size for item in mine if item.needed)
        yield Usage(kind, len(mine), sum(item.size for item in mine), needed)
    scratch = list(_below(store.root / "tmp"))
    if size := sum(map(size_of, scratch)):
        yield Usage("scratch", sum(path.is_dir() for path in scratch), size, 0)
    kept = [store.root / name for name in KEPT]
    size = sum(map(size_of, kept))
    yield Usage("index", sum(1 for path in kept for _ in path.rglob("*")), size, size)


def _below(directory: Path, pattern: str = "*") -> list[Path]:
    return sorted(directory.glob(pattern)) if directory.is_dir() else []


def _item(kind: str, path: Path, *, needed: bool = False, mark: Path | None = None) -> Item:
    return Item(kind, path, size_of(path), last_use(path, mark or path), needed, mark or path)


def last_use(path: Path, mark: Path) -> int:
    """Return when `path` was last used, as its `mark` says; 0 for what is gone."""
    try:
        return mark.stat().st_mtime_ns
    except FileNotFoundError:
        pass
    try:
        return path.stat().st_ctime_ns  # APT gives an archive the date that its mirror has
    except FileNotFoundError:
        return 0


def size_of(path: Path) -> int:
    """Return the bytes on the disk that are free when the file or directory is gone."""
    try:
        if path.is_dir() and not path.is_symlink():
            return sum(size_of(inner) for inner in path.iterdir())
        state = path.lstat()
    except (FileNotFoundError, PermissionError):
        return 0
    return state.st_blocks * 512 if state.st_nlink == 1 else 0


# -- what the local storage holds: images of ours, leftovers of builds, and images of other tools ------------


_OURS, _UNNAMED, _BUILDS, _OTHERS, _NONE = (
    "images of avabuild",
    "images without a name",
    "images of builds",
    "images of other tools",
    "layers of no image",
)


def storage_usage(storage: LocalStorage, store: Store) -> Iterator[Usage]:
    """Yield the sums; a layer that several images share counts for the first of these kinds that has it."""
    layers = storage.list_layers()
    tops = {one.id: one.top for one in storage.list_images()}
    by_kind: dict[str, dict[str, str]] = {kind: {} for kind in (_OURS, _OTHERS, _BUILDS, _UNNAMED)}
    for one in local_images(storage, store):
        if is_of_build(one.reference):
            kind = _BUILDS
        elif not one.description.own:
            kind = _OTHERS
        else:
            kind = _OURS if ":" in one.reference else _UNNAMED
        by_kind[kind][one.id] = tops[one.id]
    counted: set[str] = set()
    for kind, images in by_kind.items():
        size = 0
        for top in images.values():
            layer = top
            while layer in layers and layer not in counted:
                counted.add(layer)
                size += layers[layer].size
                layer = layers[layer].parent
        if images:
            yield Usage(kind, len(images), size, size if kind in {_OURS, _OTHERS} else 0)
    if left := [layer for name, layer in layers.items() if name not in counted and layer.size]:
        yield Usage(_NONE, len(left), sum(layer.size for layer in left), 0)
