"""The Python layers of a build: files are fetched, made into layers and compiled as they arrive."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from avabuild.common.errors import HostError, StoreError
from avabuild.common.value import digest_of
from avabuild.engine.context import Context
from avabuild.engine.python.pool import Pool
from avabuild.engine.python.workers import Crew
from avabuild.engine.stages.workshop import PACKS, Workshop
from avabuild.layer.blob import Compression
from avabuild.layer.bytecode import FORMAT, Start, compile_wheels, on_this_host, write_bytecode
from avabuild.layer.grouping import FileLayer
from avabuild.layer.inventory import Collector, keep_inventory
from avabuild.layer.overlaps import chosen, find_overlaps, known_overlaps, settling, told, write_settled
from avabuild.layer.scheme import Scheme
from avabuild.layer.standing import Standing
from avabuild.layer.venv import write_venv
from avabuild.layer.wheel import write_wheels
from avabuild.resolve import Fetcher
from avabuild.resolve.lock import Package
from avabuild.store.blob import Blob
from avabuild.store.store import file_digest
from avabuild.tools.events import Report

_BATCH = 8_000_000  # bytes of wheels whose modules one interpreter compiles
_LOOKS = 8  # layers that are looked for elsewhere at once


class StoppedError(Exception):
    """Another part of the build failed; its error is the one to show."""


def cause_of(error: BaseException, *parts: Future[Any]) -> BaseException:
    """Return what went wrong first: a part that fails has the others stop, each with an error of its own."""
    for part in parts:
        found = part.exception() if part.done() and not part.cancelled() else None
        if isinstance(error, StoppedError) and isinstance(found, Exception):
            return found
    return error


@dataclass(frozen=True, slots=True)
class Sources:
    """Where the wheels of a build come from.

    Attributes:
        fetcher: downloads files.
        urls: sha256 -> where the resolver last saw the file.
        workshop: builds what has no wheel.
        directory: the recipe's, for its own files.
    """

    fetcher: Fetcher
    urls: Mapping[str, str]
    workshop: Workshop
    directory: Path

    def wheels(self, packages: Sequence[Package]) -> Iterator[tuple[Package, Path]]:
        """Yield every package with its wheel, as soon as it is there; what must be built comes last."""
        later: list[tuple[Package, Path | None]] = [(p, None) for p in packages if p.kind == "git"]
        for package in packages:
            if package.kind == "file":
                path = self.fetcher.keep(package, self.directory / package.path)
                if path.suffix == ".whl":
                    yield package, path
                else:
                    later.append((package, path))
        fetched = [p for p in packages if p.kind in {"wheel", "sdist"}]
        fresh = [p for p in fetched if p.kind == "wheel" or self.workshop.built(p) is None]
        later += [(p, None) for p in fetched if p not in fresh]
        for package, path in self.fetcher.fetch(fresh, self.urls):
            if package.kind == "wheel":
                yield package, path
            else:
                later.append((package, path))
        for package, source in later:
            yield package, self.workshop.build(package, source)


@dataclass(frozen=True, slots=True)
class Python:
    """What Python layers are made with: the scheme, the image's interpreter, and how to compile.

    Attributes:
        scheme: where the wheels go.
        interpreter: the interpreter's path in the image.
        compiler: the interpreter that compiles, once it is known.
        below: done when it is.
        compression: of the layers.
        standing: how the directories of the base are.
    """

    scheme: Scheme
    interpreter: str
    compiler: Callable[[], Compiler]
    below: Future[Any]
    compression: Compression
    standing: Standing = field(default_factory=Standing)


class Layers:
    """Makes the blobs of file layers; what the store has is not made, and nothing is fetched for it."""

    def __init__(self, context: Context, python: Python, sources: Sources) -> None:
        self._context = context
        self._python = python
        self._sources = sources
        self._paths: dict[str, Path] = {}
        self._hashes: dict[Path, str] = {}

    def make(self, layers: Sequence[FileLayer], ready: Callable[[FileLayer, Blob, bool], None]) -> None:
        """Make every layer and hand each to `ready` (from any thread) with whether it was made now."""
        missing = self._missing(layers, ready)
        if not missing:
            return
        with Pool(max(2, self._context.host.cores), "layers") as pool:
            for future in as_completed(self._begin(missing, pool, ready)):
                future.result()

    def _missing(
        self, layers: Sequence[FileLayer], ready: Callable[[FileLayer, Blob, bool], None]
    ) -> list[FileLayer]:
        """Return the layers that have to be made, after all others were handed to `ready`."""
        store, missing = self._context.store, []

        def look(layer: FileLayer) -> None:
            if blob := store.layer(layer.key):
                ready(layer, blob, False)  # noqa: FBT003 - `made`, of a callback
            else:
                missing.append(layer)

        if store.elsewhere is None:
            for layer in layers:
                look(layer)
            return missing
        with ThreadPoolExecutor(_LOOKS, "look") as pool:  # a registry's answers take their time
            list(pool.map(look, layers))
        return [layer for layer in layers if layer in missing]

    def _begin(
        self,
        missing: Sequence[FileLayer],
        pool: Pool,
        ready: Callable[[FileLayer, Blob, bool], None],
    ) -> list[Future[None]]:
        """Submit each layer's work when its last wheel is there, and each wheel's bytecode before that.

        What is lowest is to be ready early, so that the image below the rest can be imported: bytecode is
        compiled in batches of its own layer, and of what could begin the work of the lowest layer does.
        """
        places = {layer.key: place for place, layer in enumerate(missing)}
        waiting = {layer.key: {p.name for p in layer.packages} for layer in missing}
        homes = {p.name: layer for layer in missing if layer.kind == "bytecode" for p in layer.packages}
        packages = tuple({p.name: p for layer in missing for p in layer.packages}.values())
        crew = Crew(pool, self._context.store.claims)
        running: list[Future[None]] = []
        compiling: dict[str, list[Future[None]]] = {layer.key: [] for layer in missing}
        batches: dict[str, list[Path]] = {layer.key: [] for layer in missing}

        def start(layer: FileLayer) -> None:
            compile_batch(layer)
            before = tuple(compiling[layer.key])
            place = places[layer.key]
            running.append(crew.submit([layer.key], lambda _: self._layer(layer, ready), before, place))

        def compile_batch(layer: FileLayer) -> None:
            by_name = {str(path): path for path in batches[layer.key]}
            batches[layer.key].clear()

            def work(names: Sequence[str]) -> None:
                self._compile([by_name[name] for name in names])

            if by_name:
                below, place = (self._python.below,), places[layer.key]
                compiling[layer.key].append(crew.submit(tuple(by_name), work, below, place))

        for layer in missing:
            if not layer.packages:
                start(layer)
        for package, path in self._sources.wheels(packages):
            if self._context.failed.is_set():
                raise StoppedError
            self._take(package, path)
            if home := homes.get(package.name):
                batch = batches[home.key]
                batch.append(path)
                if sum(p.stat().st_size for p in batch) > _BATCH:
                    compile_batch(home)
            for layer in missing:
                names = waiting[layer.key]
                if package.name in names:
                    names.discard(package.name)
                    if not names:
                        start(layer)
        return running

    def _layer(self, layer: FileLayer, ready: Callable[[FileLayer, Blob, bool], None]) -> None:
        if self._context.failed.is_set():
            raise StoppedError
        if blob := self._context.store.layer(layer.key):
            ready(layer, blob, False)  # noqa: FBT003 - `made`, of a callback
            return
        python, context = self._python, self._context
        paths = [self._paths[package.name] for package in layer.packages]
        seen = Collector()

        def write(out: Path) -> Blob:
            if layer.kind == "venv":
                return write_venv(out, python.scheme, python.interpreter, python.compression, python.standing)
            if layer.kind == "bytecode":
                return write_bytecode(
                    [self._packed(p) for p in paths], out, python.scheme, python.compression, python.standing
                )
            return write_wheels(
                paths,
                out,
                python.scheme,
                requested=frozenset(package.name for package in layer.packages if package.direct),
                direct={self._paths[p.name]: p.direct for p in layer.packages},
                compression=python.compression,
                part=layer.part,
                watch=seen,
                standing=python.standing,
            )

        with context.report.step(f"layer {layer.name}", "layers") as said:
            blob, made = context.store.make_layer(layer.key, context.scratch.path, write)
            said.append(f"{blob.size / 1e6:.1f} MB" if made else "made by another build")
        if made and layer.kind == "wheels":
            keep_inventory(context.store, blob, seen)
        ready(layer, blob, made)

    def _pack_name(self, wheel: Path) -> str:
        """Return where the store keeps the compiled modules of `wheel`."""
        by = self._python.compiler()
        own_key = [by.identity] if by.identity else []
        key = digest_of([FORMAT, by.version, self._hashes[wheel], self._python.scheme.identity, *own_key])
        return f"pyc/{key.removeprefix('sha256:')}.zip"

    def _pack(self, wheel: Path) -> Path | None:
        """Return the compiled modules of `wheel`, when they are kept and as they were compiled."""
        store, name = self._context.store, self._pack_name(wheel)
        digest = store.recall("pack", name)
        return store.find(name, digest) if isinstance(digest, str) else None

    def _packed(self, wheel: Path) -> Path:
        """Return the compiled modules of `wheel`, which were compiled before."""
        if (pack := self._pack(wheel)) is None:
            name = self._pack_name(wheel)
            raise StoreError(f"{name} was damaged after it was written", hint="build again")
        return pack

    def _compile(self, wheels: Sequence[Path]) -> None:
        if self._context.failed.is_set():
            raise StoppedError
        wanted = {wheel: self._pack_name(wheel) for wheel in wheels if self._pack(wheel) is None}
        if wanted:
            with self._context.report.step(f"compile {_named(list(wanted))}", "bytecode"):
                compiler = self._python.compiler()
                place = self._context.scratch.directory(PACKS)
                partial = {wheel: place / name.removeprefix("pyc/") for wheel, name in wanted.items()}
                cores = self._context.host.cores
                compile_wheels(partial, self._python.scheme, compiler.argv, jobs=cores, start=compiler.start)
                for wheel, name in wanted.items():
                    digest = file_digest(self._context.store, partial[wheel])
                    self._context.store.keep(partial[wheel], name, digest)
                    self._context.store.record("pack", name, digest)

    def settle(self, layers: Sequence[FileLayer]) -> tuple[FileLayer, Blob, bool] | None:
        """Tell of files that several wheels have; return the layer that puts the right ones on top.

        None where `layers`, which were made, have them right.
        """
        store, python = self._context.store, self._python
        overlaps = known_overlaps(store, layers, python.scheme)
        if overlaps is None:
            self._have([p for layer in layers if layer.kind == "wheels" for p in layer.packages])
            overlaps = find_overlaps(store, layers, self._paths, python.scheme)
        for text in told(overlaps):
            self._context.report.warn(text, lasting=True)
        layer = settling(layers, overlaps, python.scheme, python.compression, python.standing)
        if layer is None:
            return None
        if blob := store.layer(layer.key):
            return layer, blob, False
        self._have(layer.packages)
        wanted, seen = chosen(layer, overlaps), Collector()
        compiled = any(one.kind == "bytecode" for one in layers)
        if compiled:
            self._compile([self._paths[name] for name in wanted])

        def pack(name: str) -> Path:
            return self._packed(self._paths[name])

        def write(out: Path) -> Blob:
            packs = pack if compiled else None
            wheel = self._paths.__getitem__
            return write_settled(
                out, wanted, wheel, packs, python.scheme, python.compression, seen, python.standing
            )

        with self._context.report.step(f"layer {layer.name}", "layers") as said:
            blob, made = store.make_layer(layer.key, self._context.scratch.path, write)
            said.append(f"{blob.size / 1e6:.1f} MB" if made else "made by another build")
        if made:
            keep_inventory(store, blob, seen)
        return layer, blob, made

    def _have(self, packages: Sequence[Package]) -> None:
        """Have the wheels of `packages` here, those too whose layers the store had."""
        wanted = {p.name: p for p in packages if p.name not in self._paths}
        for package, path in self._sources.wheels(tuple(wanted.values())):
            self._take(package, path)

    def _take(self, package: Package, path: Path) -> None:
        self._paths[package.name] = path
        self._hashes[path] = package.sha256 if path.name == package.filename else path.parent.name


def _named(wheels: Sequence[Path]) -> str:
    first = wheels[0].name.split("-")[0]
    return first if len(wheels) == 1 else f"{first} and {len(wheels) - 1} more"


# -- which interpreter compiles an image's modules: one of exactly its version, for equal bytes on any host --
# Two patch releases may compile a module differently (8 of 6,493 differ between 3.11.2 and 3.11.7). An
# interpreter of this host is used when it is of the very version; else the image's own, in a container.


_ASK = "import platform; print(platform.python_version())"


@dataclass(frozen=True, slots=True)
class Compiler:
    """An interpreter: its command, its whole version, and what starts it.

    Attributes:
        identity: what tells it from others that claim its version; empty for one that is trusted.
    """

    argv: tuple[str, ...]
    version: str
    start: Start = on_this_host
    identity: str = ""


def choose_compiler(
    python: str, exact: str | None, workshop: Workshop, report: Report, identity: str
) -> Compiler:
    """Return what compiles for an image with Python `python`, of the version `exact` where that is known.

    `identity` tells the image's own interpreter from others that claim this version.

    Raises:
        HostError: no interpreter of the minor version is here, and no container can be started.
    """
    here = tuple(_here(python))
    for candidate in here:
        if candidate.version == exact or exact is None:
            return candidate
    try:
        return Compiler(workshop.interpreter(), exact or python, workshop.compile, identity)
    except HostError:
        if not here:
            raise
        report.warn(
            f"bytecode is compiled by Python {here[0].version}, not the image's {exact}: "
            "its layer may differ from the one that other hosts make"
        )
        return here[0]


def is_here(python: str) -> bool:
    """Whether this host has an interpreter of the minor version `python`."""
    return any(True for _ in _here(python))


def _here(python: str) -> Iterator[Compiler]:
    """Yield the interpreters of version `python` on this host."""
    own = f"{sys.version_info[0]}.{sys.version_info[1]}"
    if own == python:
        yield Compiler((sys.executable,), ".".join(map(str, sys.version_info[:3])))
    named = f"python{python}"
    for path in dict.fromkeys(found for found in (f"/usr/bin/{named}", shutil.which(named)) if found):
        try:
            done = subprocess.run([path, "-I", "-S", "-c", _ASK], capture_output=True, text=True, check=True)
        except (OSError, subprocess.CalledProcessError):
            continue
        yield Compiler((path,), done.stdout.strip())
