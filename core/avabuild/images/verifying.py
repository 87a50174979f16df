"""Verifying: all of the cache held against what it should be, read from its first byte to its last."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from avabuild.layer.base import Base
from avabuild.store import Store
from avabuild.store.entry import decode_entry

AGAIN = {
    "bases": "fetched or bootstrapped again by the next build on that base",
    "layers": "made again by the next build that has it",
    "wheels": "downloaded again by the next build that needs it",
    "built wheels": "built from its source again by the next build that needs it",
    "bytecode": "compiled again by the next build that needs it",
    "Debian packages": "downloaded again by the next build that needs it",
    "index": "found out again by the next build that asks",
}


@dataclass(frozen=True, slots=True)
class Damage:
    """A file that is not what it should be: of which kind it is, and what makes it again."""

    kind: str
    path: Path
    again: str


@dataclass(frozen=True, slots=True)
class _Held:
    """A file of the cache, by its name below it, with the digest that it should have; empty for an entry."""

    kind: str
    name: str
    digest: str


def verify(store: Store) -> tuple[int, tuple[Damage, ...]]:
    """Return how many files were read, and those that are damaged; builds don't believe in these any more."""
    found, count = list[Damage](), 0
    for held in _everything(store):
        count += 1
        path = store.root / held.name
        if not _is_whole(path, held):
            store.forget(held.name)
            found.append(Damage(held.kind, path, AGAIN[held.kind]))
    return count, tuple(found)


def _everything(store: Store) -> Iterator[_Held]:
    bases = set[str]()
    for data in store.entries("base"):
        try:
            base = Base.model_validate(data)
        except ValueError:  # of another version
            continue
        bases |= {base.digest, base.config, *(blob.digest for blob in base.layers)}
    for path in _below(store.blobs, "*"):
        digest = f"sha256:{path.name}"
        yield _Held("bases" if digest in bases else "layers", f"blobs/sha256/{path.name}", digest)
    for kind, top, pattern in (("wheels", "wheels", "*/*/*"), ("built wheels", "built", "*/*")):
        for path in _below(store.root / top, pattern):
            if not path.name.startswith("."):
                yield _Held(kind, str(path.relative_to(store.root)), f"sha256:{path.parent.name}")
    for kind, top, pattern in (("bytecode", "pyc", "*.zip"), ("Debian packages", "debs", "*.deb")):
        for path in _below(store.root / top, pattern):
            name = f"{top}/{path.name}"
            known = store.recall("pack", name) if top == "pyc" else store.noted(name)
            if known:
                yield _Held(kind, name, str(known))
    for path in _below(store.root / "index", "*/*.json"):
        yield _Held("index", str(path.relative_to(store.root)), "")


def _below(directory: Path, pattern: str) -> list[Path]:
    return sorted(directory.glob(pattern)) if directory.is_dir() else []


def _is_whole(path: Path, held: _Held) -> bool:
    try:
        if not held.digest:
            return decode_entry(held.name, path.read_bytes()) is not None
        with path.open("rb") as file:
            return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}" == held.digest
    except FileNotFoundError:  # it was pruned just now
        return True
    except OSError:
        return False
