"""Files layers: a recipe's own files, streamed into a layer; keyed by content, never by time or place."""

from __future__ import annotations

import fnmatch
import hashlib
import os
import stat
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from avabuild.common.errors import ChangedError, Problem, RecipeError
from avabuild.common.regular import kernels, special
from avabuild.common.sparse import too_sparse
from avabuild.common.value import digest_of
from avabuild.layer.blob import MTIME, BlobWriter, Compression
from avabuild.layer.ignore import Ignore, read_ignore
from avabuild.layer.tree import Tree
from avabuild.plugins.kinds import WHITEOUT, File
from avabuild.resolve.lock import is_lock
from avabuild.store import Store
from avabuild.store.blob import Blob
from avabuild.store.store import file_digest

FORMAT = 2
_NOTHING_BELOW = Tree()


@dataclass(frozen=True, slots=True)
class _Entry:
    """One thing to write: `name` in the image, from `source` or `text`, or a parent directory of one."""

    name: str
    source: Path | None
    text: bytes
    mode: int
    uid: int
    gid: int
    parent: bool = False


def files_key(
    store: Store,
    files: Sequence[File],
    directory: Path,
    compression: str,
    tree: Tree = _NOTHING_BELOW,
    output: Path | None = None,
) -> tuple[tuple[str, str], ...]:
    """Return the named inputs of the key: every path with its mode, owner and content's digest.

    Parents are among them, as `tree` has them below. The build's own `output` and cache are left out,
    and in a directory the locks of recipes: builds write them.
    """
    inputs = [("format", str(FORMAT)), ("compression", compression)]
    for entry in _placed(files, directory, tree, own_places(store, output)):
        inputs += [(f"/{entry.name}", _facts(entry, _content(store, entry)))]
    return tuple(inputs)


def _facts(entry: _Entry, content: str) -> str:
    return digest_of([entry.mode, entry.uid, entry.gid, content])


def write_files(
    out: Path,
    files: Sequence[File],
    directory: Path,
    compression: Compression,
    tree: Tree = _NOTHING_BELOW,
    own: Sequence[Path] = (),
    parts: Sequence[tuple[str, str]] | None = None,
) -> Blob:
    """Write the layer; sources are relative to `directory`, the recipe's, and `tree` is what is below.

    What is at the places `own` is left out.

    Raises:
        ChangedError: what was written is not what `parts`, the named inputs of its key, say.
    """
    written: list[tuple[str, str]] = []
    with BlobWriter(out, compression) as writer:
        for entry in _placed(files, directory, tree, own):
            info = tarfile.TarInfo(entry.name)
            info.mode, info.uid, info.gid, info.mtime = entry.mode, entry.uid, entry.gid, MTIME
            if entry.source and entry.source.is_symlink():
                info.type, info.linkname = tarfile.SYMTYPE, str(entry.source.readlink())
                content = f"-> {info.linkname}"
                writer.add(info, ())
            elif entry.parent or (entry.source and entry.source.is_dir()):
                info.type, content = tarfile.DIRTYPE, "directory"
                writer.add(info, ())
            elif entry.source:
                content = _copy(writer, info, entry.source)
            else:
                info.size, content = len(entry.text), hashlib.sha256(entry.text).hexdigest()
                writer.add(info, (entry.text,))
            written.append((f"/{entry.name}", _facts(entry, content)))
        if parts is not None:
            _hold(written, [part for part in parts if part[0].startswith("/")])
        return writer.finish()


def _copy(writer: BlobWriter, info: tarfile.TarInfo, source: Path) -> str:
    """Write the file, as many bytes as it has when it is opened; return the digest of what was written."""
    read = hashlib.sha256()
    with source.open("rb") as file:
        info.size = left = os.fstat(file.fileno()).st_size

        def chunks() -> Iterator[bytes]:
            nonlocal left
            while left:
                if not (chunk := file.read(min(left, 1 << 20))):
                    raise _changed(str(source))
                left -= len(chunk)
                read.update(chunk)
                yield chunk

        writer.add(info, chunks())
    return f"sha256:{read.hexdigest()}"


def _hold(written: Sequence[tuple[str, str]], wanted: Sequence[tuple[str, str]]) -> None:
    """Raise ChangedError when what was `written` is not what is `wanted`."""
    if written != wanted:
        names = sorted({name for name, _ in {*written} ^ {*wanted}})
        raise _changed(", ".join(names[:3]) + (" and others" if names[3:] else ""))


def _changed(name: str) -> ChangedError:
    return ChangedError(
        f"{name} changed while it was put into the image: nothing of it is kept",
        hint="build again when nothing changes it any more",
    )


def own_places(store: Store, output: Path | None = None) -> tuple[Path, ...]:
    """Return where a build itself writes: no image holds its own blobs."""
    return (store.root.resolve(), *([output.resolve()] if output else []))


def files_size(files: Sequence[File], directory: Path, own: Sequence[Path] = ()) -> int:
    """Return the bytes of all files that a layer takes."""
    entries = [entry for entry in _entries(files, directory, own) if not _is_tree(entry)]
    sources = [entry.source for entry in entries if entry.source and not entry.source.is_symlink()]
    return sum(source.stat().st_size for source in sources) + sum(len(entry.text) for entry in entries)


def _placed(files: Sequence[File], directory: Path, tree: Tree, own: Sequence[Path] = ()) -> Iterator[_Entry]:
    """Yield what to write, where it goes among what is below, each directory once and before its content."""
    written = {"", "."}
    for name, entry in _last(tuple(_entries(files, directory, own)), tree).items():
        is_directory = _is_tree(entry)
        parents = [parent.as_posix() for parent in reversed(PurePosixPath(name).parents)]
        for parent in [*parents, *([name] if is_directory and name in tree.nodes else [])]:
            if parent not in written:
                written.add(parent)
                node = tree.directory(parent)
                yield _Entry(parent, None, b"", node.mode, node.uid, node.gid, parent=True)
        if name not in written:
            if is_directory:
                written.add(name)
            yield replace(entry, name=name)


def _last(entries: Sequence[_Entry], tree: Tree) -> dict[str, _Entry]:
    """Return what comes to each place, of several files the last one.

    Raises RecipeError for one that is below a file, or that stands where a directory is.
    """
    found: dict[str, _Entry] = {}
    for entry in entries:
        name = tree.place(entry.name, follow=_is_tree(entry))
        before, below = found.get(name), tree.nodes.get(name)
        there = (before is not None and _is_tree(before)) or (below is not None and not below.link)
        if not _is_tree(entry) and there:
            raise _refused(
                f"/{name}", "is put into the image as a file, and there is a directory of that name"
            )
        if before is not None and _is_tree(entry) and not _is_tree(before):
            raise _refused(f"/{name}", "is put into the image both as a file and as a directory")
        if before is None or not _is_tree(entry):
            found[name] = entry
    for name in found:
        for parent in PurePosixPath(name).parents:
            above = found.get(parent.as_posix())
            if above is not None and not _is_tree(above):
                raise _refused(f"/{name}", f"is below /{parent}, which is put into the image as a file")
    return found


def _is_tree(entry: _Entry) -> bool:
    return entry.source is not None and _is_directory(entry.source)


def _refused(place: str, message: str) -> RecipeError:
    return RecipeError((Problem(place, "", message),))


def _entries(files: Sequence[File], directory: Path, own: Sequence[Path] = ()) -> Iterator[_Entry]:
    ignored = read_ignore(directory)
    for file in files:
        uid, _, gid = file.owner.partition(":")
        owner = (int(uid), int(gid or uid))
        source = _source(directory / file.source) if file.source is not None else None
        name = file.target.lstrip("/").rstrip("/")
        if source is not None and not source.is_dir() and (file.target.endswith("/") or not name):
            _check_name(source)
            name = str(PurePosixPath(name) / source.name)
        if source is None or not source.is_dir():
            yield _Entry(name, source, (file.content or "").encode(), _mode(source, file.mode), *owner)
            continue
        if name:
            yield _Entry(name, source, b"", 0o755, *owner)
        choice = _Choice(source, Ignore.of(file.exclude), directory, ignored, frozenset(own))
        below = ((path, path.relative_to(source).as_posix()) for path in _below(source, choice))
        for path, way in chosen(source, file.only) if file.only else below:
            inner = str(PurePosixPath(name) / way)
            yield _Entry(inner, path, b"", 0o755 if _is_directory(path) else _mode(path, file.mode), *owner)


def _source(path: Path) -> Path:
    """Return the directory that a link leads to, for what is in it is wanted; another path as it is."""
    return path.resolve() if path.is_symlink() and path.is_dir() else path


def chosen(source: Path, patterns: Sequence[str]) -> Iterator[tuple[Path, str]]:
    """Yield the directory's own files and links whose names match one of `patterns`, with these names.

    A link out of the directory would lead nowhere in the image: the file that it leads to is taken.
    """
    top = source.resolve()
    for path in sorted(source.iterdir()):
        if not any(fnmatch.fnmatchcase(path.name, pattern) for pattern in patterns) or not path.is_file():
            continue
        _check_name(path)
        inside = not path.is_symlink() or (top / path.readlink()).parent == top
        yield path if inside else path.resolve(), path.name


@dataclass(frozen=True, slots=True)
class _Choice:
    """What is taken of a directory: not what `exclude` names in it, nor the ignore file of the recipe's."""

    source: Path
    exclude: Ignore
    directory: Path
    ignored: Ignore
    own: frozenset[Path]

    def leaves_out(self, path: Path) -> bool:
        if self.is_own(path):
            return True
        if self.exclude.patterns and self.exclude.leaves_out(path.relative_to(self.source).as_posix()):
            return True
        if not self.ignored.patterns:
            return False
        way = os.path.relpath(path, self.directory)
        return not way.startswith("../") and self.ignored.leaves_out(way)

    def is_own(self, path: Path) -> bool:
        named = any(path.name == place.name for place in self.own)  # few are, and resolving takes its time
        return (named and not path.is_symlink() and path.resolve() in self.own) or is_lock(path)

    @property
    def takes_back(self) -> bool:
        return self.exclude.takes_back or self.ignored.takes_back


def _below(source: Path, choice: _Choice) -> Iterator[Path]:
    for entry in sorted(os.scandir(source), key=lambda entry: entry.name):
        path = Path(entry.path)
        state = entry.stat(follow_symlinks=False)
        if choice.leaves_out(path):
            if stat.S_ISDIR(state.st_mode) and choice.takes_back and not choice.is_own(path):
                yield from _below(path, choice)
            continue
        if special(state):
            raise _refused(str(path), "is neither a file, a directory nor a link: it can't be in an image")
        if found := kernels(state):
            raise _refused(str(path), f"is {found}: it can't be in an image")
        _check_name(path)
        yield path
        if stat.S_ISDIR(state.st_mode):
            yield from _below(path, choice)


def _check_name(path: Path) -> None:
    if path.name.startswith(WHITEOUT):
        problem = "has the name of a whiteout, which would remove files of the image: rename it"
        raise _refused(str(path), problem)


def _is_directory(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def _mode(source: Path | None, mode: str | None) -> int:
    """The recipe's bits, else 0644 and the source's executable bit: a checkout's umask must not show."""
    if mode is not None:
        return int(mode, 8)
    if source is not None and source.is_symlink():
        return 0o777
    return 0o755 if source is not None and source.stat().st_mode & stat.S_IXUSR else 0o644


def _content(store: Store, entry: _Entry) -> str:
    if entry.parent:
        return "directory"
    if entry.source is None:
        return hashlib.sha256(entry.text).hexdigest()
    if entry.source.is_symlink():
        return f"-> {entry.source.readlink()}"
    if entry.source.is_dir():
        return "directory"
    if problem := too_sparse(entry.source):
        raise _refused(str(entry.source), problem)
    return file_digest(store, entry.source)
