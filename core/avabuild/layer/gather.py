"""What a compile put below `$OUT`, written as a layer: checked, owned by root, dated alike, in a fixed order.

Run as a program inside the stage's user namespace it prints the layer's blob as JSON, or what is wrong.
"""

from __future__ import annotations

import json
import os
import stat
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from avabuild.layer.blob import MTIME, BlobWriter, Compression
from avabuild.layer.diff import content
from avabuild.layer.tree import Node, Tree
from avabuild.store.blob import Blob

STAGE = "/stage"  # all that a compile is given is below it, and nothing in an image may lead there
_MOUNTED = ("dev", "proc", "sys", "run")  # a container's own: what a layer holds there is never seen


class GatherError(Exception):
    """What was put below `$OUT` can't be a layer; the message says why."""


def gather(root: Path, out: Path, tree: Tree, compression: Compression) -> Blob:
    """Write all that is below `root` to the layer `out`; `tree` is what it is put on.

    Parents are as the tree has them, and links among them are followed, so that `lib/x` below `$OUT` comes
    to `/usr/lib/x` where the image's `/lib` is a link.

    Raises:
        GatherError: nothing is there, or something that has no place in an image.
    """
    with BlobWriter(out, compression) as writer:
        _Gathering(root, tree, writer).walk("")
        return writer.finish()


class _Gathering:
    def __init__(self, root: Path, tree: Tree, writer: BlobWriter) -> None:
        self.root = root
        self.tree = tree
        self.writer = writer
        self.directories = {"", "."}
        self.files: set[str] = set()
        self.links: dict[tuple[int, int], str] = {}

    def walk(self, directory: str) -> None:
        entries = sorted(os.scandir(self.root / directory), key=lambda entry: entry.name)
        if not directory and not entries:
            raise GatherError("it left nothing below $OUT")
        for entry in entries:
            name = f"{directory}/{entry.name}" if directory else entry.name
            _check_name(name)
            if entry.is_dir(follow_symlinks=False):
                self._directory(name)
                self.walk(name)
            else:
                self._file(name)

    def _directory(self, name: str) -> None:
        place = self.tree.place(name, follow=True)
        self._parents(place)
        if place in self.directories:
            return
        if place in self.files:
            raise GatherError(f"$OUT/{name} and another file come to the same place")
        self.directories.add(place)
        known = self.tree.nodes.get(place)
        mode = stat.S_IMODE((self.root / name).lstat().st_mode)
        self._write_directory(place, known or Node(mode=mode))

    def _parents(self, place: str) -> None:
        for parent in [parent.as_posix() for parent in reversed(PurePosixPath(place).parents)]:
            if parent not in self.directories:
                self.directories.add(parent)
                self._write_directory(parent, self.tree.directory(parent))

    def _write_directory(self, place: str, node: Node) -> None:
        self.writer.directory(place, node.mode, uid=node.uid, gid=node.gid)

    def _file(self, name: str) -> None:
        path = self.root / name
        state = path.lstat()
        place = self.tree.place(name)
        self._parents(place)
        below = self.tree.nodes.get(place)
        if place in self.directories or (below is not None and not below.link):
            raise GatherError(f"$OUT/{name} is no directory, and the image has one there")
        if place in self.files:
            raise GatherError(f"$OUT/{name} and another file come to the same place")
        self.files.add(place)
        info = tarfile.TarInfo(place)
        info.mtime, info.mode = MTIME, stat.S_IMODE(state.st_mode)
        if stat.S_ISLNK(state.st_mode):
            info.type, info.linkname = tarfile.SYMTYPE, _checked_link(name, str(path.readlink()))
            self.writer.add(info, ())
        elif stat.S_ISREG(state.st_mode):
            first = self.links.setdefault((state.st_dev, state.st_ino), place)
            if first != place:
                info.type, info.linkname = tarfile.LNKTYPE, first
                self.writer.add(info, ())
            else:
                info.size = state.st_size
                self.writer.add(info, _chunks(path, name))
        else:
            raise GatherError(f"$OUT/{name} is neither a file, a directory nor a link: no image may bring it")


def _check_name(name: str) -> None:
    if name in _MOUNTED:
        raise GatherError(f"$OUT/{name} is mounted in every container: what an image has there is not seen")
    if PurePosixPath(name).name.startswith(".wh."):
        raise GatherError(f"$OUT/{name} has the name of a whiteout, which would remove files of the image")


def _checked_link(name: str, text: str) -> str:
    """Return the link's text, where it leads to something that an image can have."""
    if text == STAGE or text.startswith(f"{STAGE}/"):
        raise GatherError(f"$OUT/{name} is a link to {text}, which is in the stage; link to the image's path")
    depth = 0 if text.startswith("/") else name.count("/")
    for part in text.split("/"):
        depth += -1 if part == ".." else 0 if part in {"", "."} else 1
        if depth < 0:
            raise GatherError(f"$OUT/{name} is a link to {text}, which leads out of the image")
    return text


def _chunks(path: Path, name: str) -> Iterator[bytes]:
    with path.open("rb") as file:
        for number, chunk in enumerate(content(file, name, 0)):
            if number == 0 and chunk.startswith(f"#!{STAGE}/".encode()):
                line = chunk.split(b"\n", 1)[0].decode(errors="replace")
                raise GatherError(f"$OUT/{name} begins with {line}, which is in the stage and no image")
            yield chunk


def main(argv: list[str]) -> int:
    """`ROOT OUT TREE COMPRESSION`, TREE a JSON file: write the layer, print its blob or what is wrong."""
    root, out, nodes, packed = argv
    compression: Compression = "zstd" if packed == "zstd" else "gzip"
    listed = json.loads(Path(nodes).read_text())
    tree = Tree({name: Node(*fields) for name, fields in listed.items()})
    try:
        sys.stdout.write(gather(Path(root), Path(out), tree, compression).model_dump_json())
    except GatherError as error:
        sys.stdout.write(json.dumps({"problem": str(error)}))
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
