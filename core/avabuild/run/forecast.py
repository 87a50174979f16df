"""Forecast: what a build of a plan would make, what it would find, and why. Changes nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from avabuild.common.errors import HostError
from avabuild.common.value import Value, digest_of
from avabuild.engine import directories
from avabuild.engine.bases import known_stage_base
from avabuild.engine.build import arrange_plan
from avabuild.engine.exec.apt import recalled_debs
from avabuild.engine.exec.run_step import run_inputs
from avabuild.engine.output import Output
from avabuild.engine.python.fetching import find_file
from avabuild.engine.stages.compile import ground_of, interpreter_of, known_layer, stage_interpreter
from avabuild.engine.stages.workshop import built_key, built_wheel, classic_key, is_wheel
from avabuild.host.host import Host
from avabuild.layer.base import Base
from avabuild.layer.compiled import Ground, asked
from avabuild.layer.files import files_key, files_size, own_places
from avabuild.layer.grouping import FileLayer
from avabuild.layer.keys import Stack, changed_parts, flat
from avabuild.layer.overlaps import Overlap, find_overlaps, known_overlaps, settling
from avabuild.layer.scheme import Scheme, scheme_of
from avabuild.layer.standing import Standing
from avabuild.layer.tree import read_tree, standing_of
from avabuild.plan.plan import Plan, Step
from avabuild.plugins.kinds import Apt, Compile, Files, Run
from avabuild.resolve.lock import AptLock, Package
from avabuild.store import Store
from avabuild.store.blob import Blob

Parts = Sequence[tuple[str, str]]
RUN, INSTALLED, COMPILED = "its command runs", "packages are installed", "it is compiled"
State = Literal["cached", "build", "unknown"]
Kind = Literal["run", "apt", "venv", "wheels", "bytecode", "compile", "directories", "files"]


class Row(Value):
    """One layer of the image to be.

    Attributes:
        name: what it is.
        kind: of the layer.
        origins: who asked for it.
        state: `cached`, `build`, or `unknown`: only a build can tell whether the layer is there.
        why: the reason of a rebuild, empty for a first build.
        holds: packages with versions, where known.
        download: bytes to fetch.
        container: what a container is needed for, to make it; empty where none is.
        modules: whether Python compiles modules for it, here or in a container.
        size: compressed bytes of the layer where it is cached.
        unpacked: bytes of the files that it takes or, of a command, that it wrote, now or the last time.
    """

    name: str
    kind: Kind
    origins: tuple[str, ...]
    state: State
    why: tuple[str, ...] = ()
    holds: tuple[str, ...] = ()
    download: int = 0
    container: str = ""
    modules: bool = False
    size: int = 0
    unpacked: int = 0


class Forecast:
    """Walks a plan as a build would, with keys alone.

    Args:
        store: where layers may be.
        host: whose environment steps get.
        plan: what is walked.
        base: the base when the store has it, else None.
        parts: the named inputs of every layer's key at the last build, by layer name.
        apt: what the lock knows of apt layers.
        directory: the recipe's.
        output: where the image would be written, which no layer takes.
        unpacked: the bytes of every layer at the last build, by its name.
    """

    def __init__(
        self,
        store: Store,
        host: Host,
        plan: Plan,
        base: Base | None,
        parts: dict[str, Any],
        apt: Sequence[AptLock],
        directory: Path,
        output: Path | None = None,
        unpacked: Mapping[str, int] | None = None,
    ) -> None:
        self._store = store
        self._host = host
        self._plan = plan
        self._base = base
        self._before = parts
        self._apt = apt
        self._directory = directory
        self._output = output
        self._unpacked = {_place_of(name): size for name, size in (unpacked or {}).items()}
        self._stack = Stack(base.digest, plan.compression, plan.keep_secrets) if base else None
        self._visible: list[Blob] | None = list(base.layers) if base else None
        self.kept: Sequence[Package] = ()  # of packages that only a build can tell, those a lock below has
        self.added: Sequence[str] = ()  # and what is asked for beside them
        self.overlaps: tuple[Overlap, ...] = ()  # of the wheels, as far as that is known
        self._nobodys = False  # whether no layer so far has the image's user

    def rows(self, packages: Sequence[Package] | None, interpreter: str) -> tuple[Row, ...]:
        """Return the rows of the plan, lowest first; `packages` is None where only a build can tell."""
        plan = self._plan
        made = [self._run(step) for step in plan.system]
        system, visible = self._stack.digest if self._stack else None, self._visible
        made += [self._aptitude(plan.apt)] if plan.apt else []
        keys: list[str | None] = []
        if plan.target.python:
            files, found = self._python(packages, interpreter, system, visible)
            made += files
            keys += found
        for step in plan.compiled:
            row, key = self._compiled(step, system)
            made.append(row)
            keys.append(key)
        made += [self._aptitude(plan.apt_extra)] if plan.apt_extra else []
        self._join(keys)
        made += self._directories()
        made += [self._files(step) for step in plan.files]
        if self._stack:
            self._stack.seen = plan.settings.surroundings
        made += [self._run(step) for step in plan.last]
        return (*made, *(self._directories() if self._nobodys else ()))

    def _join(self, keys: Sequence[str | None]) -> None:
        """Put the layers beside the exec layers on the stack; above one without a key nothing is known."""
        known = [key for key in keys if key]
        if self._stack and len(known) == len(keys):
            self._stack.join(known)
        else:
            self._stack = None

    def _python(
        self,
        packages: Sequence[Package] | None,
        interpreter: str,
        system: str | None,
        visible: Sequence[Blob] | None,
    ) -> tuple[list[Row], list[str | None]]:
        plan = self._plan
        origins = tuple(dict.fromkeys([*(plan.python.origins if plan.python else ())]))
        if packages is None:
            told = ("pip finds them in a container",) if plan.target.is_classic else ()
            what = "pip resolves them" if told else "one comes only as source, which has to be looked into"
            kept = tuple(f"{package.name} {package.version}" for package in self.kept)
            rest = Row(
                kind="wheels",
                name="python packages added" if kept else "python packages",
                origins=origins,
                state="unknown",
                holds=(*self.added, *told),
                container=what,
            )
            mine = Row(kind="wheels", name="python packages", origins=origins, state="unknown", holds=kept)
            return [mine, rest] if kept else [rest], [None]
        built = {p.name: self._built(p, interpreter, system) for p in packages if not is_wheel(p)}
        hashes = {name: path.parent.name for name, path in built.items() if path}
        standing, scheme = Standing(), scheme_of(plan.target.python or "3.0", interpreter)
        if visible is not None:
            standing = standing_of(read_tree(self._store, visible), scheme, plan.apt_names)
        layers = arrange_plan(
            plan, packages, hashes, interpreter, self._base or Base(), system or "", standing
        )
        rows = []
        for layer in layers:
            row = self._row(layer.kind, layer.name, layer.origins or origins, layer.key, layer.parts)
            missing = (
                () if layer.kind != "wheels" else [p for p in layer.packages if not find_file(self._store, p)]
            )
            fetched = sum(package.size // layer.part[1] for package in missing)
            holds = tuple(f"{p.name} {p.version}" for p in layer.packages) if layer.kind == "wheels" else ()
            download = 0 if row.state == "cached" else fetched
            sources = [p.name for p in layer.packages if p.name in built and p.name not in hashes]
            what = f"{', '.join(sources)} is built from source" if sources and layer.kind == "wheels" else ""
            modules = layer.kind == "bytecode"
            update = {"holds": holds, "download": download, "container": what, "modules": modules}
            rows.append(row.model_copy(update=update))
        keys: list[str | None] = [layer.key for layer in layers]
        if not self._look_for_overlaps(layers, packages, scheme, interpreter, system):
            return rows, [*keys, None]
        settled = settling(layers, self.overlaps, scheme, plan.compression, standing)
        if settled is None:
            return rows, keys
        row = self._row(settled.kind, settled.name, settled.origins, settled.key, settled.parts)
        holds = tuple(f"{p.name} {p.version}" for p in settled.packages)
        return [*rows, row.model_copy(update={"holds": holds})], [*keys, settled.key]

    def _look_for_overlaps(
        self,
        layers: Sequence[FileLayer],
        packages: Sequence[Package],
        scheme: Scheme,
        interpreter: str,
        system: str | None,
    ) -> bool:
        """Find which wheels have files in common; return whether that is known."""
        overlaps = known_overlaps(self._store, layers, scheme)
        if overlaps is None:
            paths = {package.name: self._wheel(package, interpreter, system) for package in packages}
            wheels = {name: path for name, path in paths.items() if path}
            if len(wheels) < len(paths):
                return False
            overlaps = find_overlaps(self._store, layers, wheels, scheme)
        self.overlaps = overlaps
        return True

    def _wheel(self, package: Package, interpreter: str, system: str | None) -> Path | None:
        """Return the wheel of a package, None where it is not here."""
        if not is_wheel(package):
            return self._built(package, interpreter, system)
        if package.kind == "file":
            path = self._directory / package.path
            return path if path.is_file() else None
        return find_file(self._store, package)

    def _built(self, package: Package, interpreter: str, system: str | None) -> Path | None:
        """Return the wheel that was built of a source before; `system` is the chain after system steps."""
        if system is None:
            return None
        key = built_key(package, interpreter, system, networked=package.name in self._plan.build_network)
        return built_wheel(self._store, classic_key(key) if self._plan.target.is_classic else key)

    def _compiled(self, step: Step[Compile], system: str | None) -> tuple[Row, str | None]:
        """Return the row of a compile and its key, which is not known until it was compiled once."""
        holds = tuple(source.words for source in step.layer.sources) or (step.layer.name,)
        ground, compression = self._ground(step.layer, system), self._plan.compression
        layer = known_layer(self._store, step, ground, compression)[0] if ground else None
        if layer:
            self._see(layer.key)
            row = self._row("compile", step.name, step.origins, layer.key, layer.parts)
        else:
            self._visible = None
            why = self._why(step.name, asked(step.layer, ground, compression)) if ground else ()
            row = Row(name=step.name, kind="compile", origins=step.origins, state="build", why=why)
        return row.model_copy(update={"holds": holds, "container": COMPILED}), layer.key if layer else None

    def _ground(self, compiled: Compile, system: str | None) -> Ground | None:
        """Return what a compile stands on, None until that is here."""
        base, target = self._base, self._plan.target
        if system is None or base is None:
            return None
        if compiled.distribution is None or compiled.distribution == target.distribution:
            return ground_of(system, system, interpreter_of(base, target.python), target)
        stage = known_stage_base(self._store, self._host, compiled.distribution)
        if stage is None:
            return None
        return ground_of(system, stage.digest, stage_interpreter(stage, target), target)

    def _aptitude(self, step: Step[Apt]) -> Row:
        debs = None
        if self._stack:
            debs = self._stack.locked(step.layer, self._apt)
            debs = recalled_debs(self._store, self._stack, step.layer) if debs is None else debs
        if self._stack is None or debs is None:
            self._stack = self._visible = None
            return Row(
                name=step.name,
                kind="apt",
                origins=step.origins,
                state="unknown",
                holds=step.layer.packages,
                container=INSTALLED,
            )
        layer = self._stack.apt(step.name, step.layer, debs)
        holds = tuple(f"{deb.name} {deb.version}" for deb in debs)
        row = self._row("apt", step.name, step.origins, layer.key, layer.parts)
        if debs:
            self._stack.put(layer.key, own=not step.layer.repositories)
            self._see(layer.key)
        missing = sum(deb.size for deb in debs) if row.state == "build" else 0
        return row.model_copy(update={"holds": holds, "download": missing, "container": INSTALLED})

    def _see(self, key: str) -> None:
        """Count the layer of `key` among those that files are put between, when it is there to be read."""
        blob = self._store.layer(key) or self._store.layer(flat(key))
        self._visible = [*self._visible, blob] if self._visible is not None and blob else None

    def _directories(self) -> list[Row]:
        """Return the row of the workdir and the volumes, none where they are there; see build."""
        self._nobodys = False
        settings, name, origins = self._plan.settings, directories.NAME, ("recipe",)
        paths = directories.wanted(settings)
        if not paths:
            return []
        if self._visible is None or self._base is None:
            self._stack = self._visible = None
            return [Row(name=name, kind="directories", origins=origins, state="unknown")]
        user = directories.user_of(settings, self._base.read_config(self._store))
        ids = directories.owner(self._store, self._visible, user)
        if ids is None:
            self._nobodys = True
            return []
        found = directories.missing(read_tree(self._store, self._visible), paths, ids)
        if not found:
            return []
        parts, key = directories.directories_parts(found, self._plan.compression)
        self._put(key)
        return [self._row("directories", name, origins, key, parts)]

    def _files(self, step: Step[Files]) -> Row:
        sources = [self._directory / file.source for file in step.layer.files if file.source]
        if self._visible is None or not all(source.exists() for source in sources):
            # What a plugin takes of a host may be on the one that builds: a plan needs none of it.
            self._stack = self._visible = None
            return Row(name=step.name, kind="files", origins=step.origins, state="unknown")
        tree, compression = read_tree(self._store, self._visible), self._plan.compression
        parts = files_key(self._store, step.layer.files, self._directory, compression, tree, self._output)
        key = digest_of(["files", parts])
        self._put(key)
        size = files_size(step.layer.files, self._directory, own_places(self._store, self._output))
        row = self._row("files", step.name, step.origins, key, parts)
        return row.model_copy(update={"unpacked": size})

    def _run(self, step: Step[Run]) -> Row:
        if self._stack is None:
            return Row(name=step.name, kind="run", origins=step.origins, state="unknown", container=RUN)
        inputs = run_inputs(self._store, step.layer, self._host.environment, self._directory, step.name)
        layer = self._stack.run(step.name, step.layer, inputs)
        self._put(layer.key)
        row = self._row("run", step.name, step.origins, layer.key, layer.parts)
        blob = self._store.layer(layer.key) or self._store.layer(flat(layer.key))
        size = blob.unpacked if blob else self._unpacked.get(_place_of(step.name), 0)
        return row.model_copy(update={"container": RUN, "unpacked": size})

    def _put(self, key: str) -> None:
        self._see(key)
        if self._stack:
            self._stack.put(key)

    def _row(self, kind: Kind, name: str, origins: tuple[str, ...], key: str, parts: Parts) -> Row:
        if blob := self._store.layer(key) or self._store.layer(flat(key)):
            return Row(name=name, kind=kind, origins=origins, state="cached", size=blob.size)
        return Row(name=name, kind=kind, origins=origins, state="build", why=self._why(name, parts))

    def _why(self, name: str, parts: Parts) -> tuple[str, ...]:
        """Return why the layer is made anew, nothing for a first one."""
        before = self._before.get(name)
        return changed_parts(before, parts) if before else ()


def _place_of(name: str) -> str:
    """Return which step of the image a layer is, whatever its text says now: `run 2 (last)`."""
    return name.partition(":")[0] if name.startswith("run ") else name


# -- needs: what of an image can't be made without a container, known before anything is made. Pure ----------


class Need(Value):
    """Something that needs a container, or the local storage, and what for."""

    name: str
    why: str

    def __str__(self) -> str:
        return f"{self.name}: {self.why}"


def needs(
    plan: Plan, rows: Sequence[Row], output: Output, *, checks: bool, interpreter: bool
) -> tuple[Need, ...]:
    """Return what needs a container; layers that are there already need none.

    Args:
        plan: of the image.
        rows: the forecast of `plan`.
        output: where the image goes.
        checks: whether it is checked.
        interpreter: whether this host has a Python of the image's version, to compile modules with.
    """
    missing = [row for row in rows if row.state != "cached"]
    found = [Need(name=row.name, why=row.container) for row in missing if row.container]
    if not interpreter:
        why = f"there is no python{plan.target.python} here to compile modules"
        found += [Need(name=row.name, why=why) for row in missing if row.modules]
    if output.kind == "storage":
        found.append(Need(name="local storage", why="the image is put there; --output oci:DIR needs none"))
    elif checks and plan.checks:
        found.append(Need(name="--check", why="checks run in the image"))
    return tuple(found)


def refusal(why: str, needed: Mapping[str, Sequence[Need]]) -> HostError:
    """Return the error that tells all that is needed where no container can be started; `needed` by image."""
    lines = [f"  {name}: {need}" for name, every in needed.items() for need in every]
    hint = (
        "avabuild doctor says what is missing; or build where containers can be started, into a cache that "
        "is seen here: what AVABUILD_CACHE or AVABUILD_SHARED_CACHE has needs no container"
    )
    return HostError(
        "\n".join([f"no container can be started here, and these need one; {why}:", *lines]), hint=hint
    )
