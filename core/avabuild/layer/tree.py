"""Tree: the directories and links of the layers below, so that a file put among them leaves them as they are.

A layer that holds `tmp/x` but no entry for `tmp` makes the storage invent one, with other rights; one that
holds `bin/x` where `bin` is a link replaces the link. So parents are written with the attributes they have,
and links on the way are followed, never out of the image.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from avabuild.common.errors import Problem, RecipeError
from avabuild.common.tars import passing
from avabuild.layer.merged import Merged, is_whiteout, plain
from avabuild.layer.scheme import Scheme
from avabuild.layer.standing import ORDINARY, Directory, Standing, on_the_way
from avabuild.store import Store
from avabuild.store.blob import Blob

_HOPS = 40  # links on one path, as Linux allows (path_resolution(7))


@dataclass(frozen=True, slots=True)
class Node:
    """A directory (`link` is empty) with its mode and owner, or a link with its text."""

    mode: int = 0o755
    uid: int = 0
    gid: int = 0
    link: str = ""


@dataclass(frozen=True, slots=True)
class Tree:
    """Directories and links by name, without the leading slash."""

    nodes: Mapping[str, Node] = field(default_factory=dict)

    def directory(self, name: str) -> Node:
        """Return what the directory `name` is, or will be where there is none: root's, 0755."""
        node = self.nodes.get(name)
        return node if node and not node.link else Node()

    def place(self, name: str, *, follow: bool = False) -> str:
        """Return `name` with the links among its parents followed, and its own too when `follow`.

        Raises RecipeError for links that go in a circle.
        """
        left, done = name.split("/"), list[str]()
        for _ in range(_HOPS + len(left) * _HOPS):
            if not left:
                return "/".join(done)
            part = left.pop(0)
            if part in {"", "."}:
                continue
            if part == "..":
                done = done[:-1]
                continue
            node = self.nodes.get("/".join([*done, part]))
            if node is None or not node.link or (not left and not follow):
                done.append(part)
                continue
            done = [] if node.link.startswith("/") else done
            left = [*node.link.split("/"), *left]
        raise RecipeError((Problem(f"/{name}", "", "links below it in the image go in a circle"),))


def standing_of(tree: Tree, scheme: Scheme, packages: Iterable[str]) -> Standing:
    """Return how the directories stand that an environment's layers name; `packages` are those for APT."""
    moved: dict[str, str] = {}
    uncommon: dict[str, Directory] = {}
    for name in on_the_way([scheme.scripts, scheme.purelib, "/etc/profile.d", "/etc/sudoers.d"]):
        place = tree.place(name, follow=True)
        if place != name:
            moved[name] = place
        for directory in on_the_way([place]):
            node = tree.directory(directory)
            known = node.mode & 0o7777, node.uid, node.gid
            if known != ORDINARY and directory:
                uncommon[directory] = Directory(name=directory, mode=known[0], uid=known[1], gid=known[2])
    sudo = "etc/sudoers.d" in tree.nodes or any(re.match(r"sudo(-ldap)?\b(?!-)", one) for one in packages)
    return Standing(moved=tuple(moved.items()), directories=tuple(uncommon.values()), sudo=sudo)


def read_tree(store: Store, blobs: Sequence[Blob]) -> Tree:
    """Return the tree of layers, lowest first; each blob is read once, ever."""
    merged: Merged[Node] = Merged(lambda node: not node.link)
    for blob in blobs:
        merged.add((name, Node(*fields)) for name, fields in _nodes(store, blob))
    return Tree(dict(merged.items()))


def _nodes(store: Store, blob: Blob) -> list[tuple[str, tuple[int, int, int, str]]]:
    with suppress(TypeError, ValueError):  # none yet, or what somebody else took for one
        return _read_nodes(store.recall("tree", blob.digest))
    known = []
    with passing(store.blob_path(blob.digest)) as tar:
        for member in tar:
            name = plain(member.name)
            if name and (member.isdir() or member.issym() or is_whiteout(name)):
                link = member.linkname if member.issym() else ""
                known.append([name, [member.mode, member.uid, member.gid, link]])
    store.record("tree", blob.digest, known)
    return _read_nodes(known)


def _read_nodes(known: Any) -> list[tuple[str, tuple[int, int, int, str]]]:
    return [(str(name), (int(mode), int(uid), int(gid), str(link))) for name, (mode, uid, gid, link) in known]
