"""build: a Plan and its lock become an image. The imperative shell around everything else."""

from __future__ import annotations

import functools
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from avabuild.common.errors import ChangedError
from avabuild.common.value import digest_of
from avabuild.engine import directories
from avabuild.engine.check.check import prove_image
from avabuild.engine.check.linkage import base_ahead, require_libraries
from avabuild.engine.context import Context
from avabuild.engine.exec.apt import add_apt
from avabuild.engine.exec.apt_run import UnknownPackageError
from avabuild.engine.exec.run_step import add_run, after_runs
from avabuild.engine.exec.stack import MADE, Chain
from avabuild.engine.import_ahead import Importer
from avabuild.engine.job import Built, Job
from avabuild.engine.key import Contents, contents, described
from avabuild.engine.layout import compose_image
from avabuild.engine.names import looked_up, names_for, refuse_unknown
from avabuild.engine.output import write_output
from avabuild.engine.publication import Publication
from avabuild.engine.python.fetching import fetcher_for, package_files
from avabuild.engine.python.wheels import Compiler, Layers, Python, Sources, cause_of, choose_compiler
from avabuild.engine.stages.compile import Yard, add_compiled, interpreter_of
from avabuild.engine.stages.workshop import ClassicWorkshop, Workshop, is_wheel, supply_of
from avabuild.layer.base import Base
from avabuild.layer.facts import is_debian
from avabuild.layer.files import files_key, own_places, write_files
from avabuild.layer.grouping import MOST_LAYERS, FileLayer, arrange
from avabuild.layer.keys import ExecLayer, Stack, interpreters_of
from avabuild.layer.scheme import scheme_of
from avabuild.layer.standing import Standing
from avabuild.layer.tree import read_tree, standing_of
from avabuild.plan.agreement import disagreement
from avabuild.plan.plan import Plan, Step
from avabuild.plugins.cuda import driver_minimum
from avabuild.plugins.kinds import Apt, Files
from avabuild.recipe import DebianBase
from avabuild.resolve.lock import AptLock, Package, TargetLock
from avabuild.store.blob import Blob
from avabuild.store.oci import Piece


class _Build:
    """One build: exec layers in one thread, Python layers in others, the import behind both."""

    def __init__(self, context: Context, job: Job, publication: Publication) -> None:
        self.context = context
        self.job = job
        self.publication = publication
        self.plan = job.plan
        self.made: list[str] = []
        self.reused: list[str] = []
        self.parts: dict[str, list[list[str]]] = {}
        self.apt: list[AptLock] = []
        self.system: Future[Chain] | None = None
        self.keys: list[str] = []
        self.compiled_keys: list[str] = []
        self.contents: Contents | None = None  # of what it is given, as it was when the build began
        self.visible: list[Blob] = []  # the layers among which files are put: all but the wheels'
        workdir, files = context.scratch.directory("resolve"), package_files(context.store)
        self.resolution = job.inquiry.resolution(workdir, files, context.downloads)
        self.fetcher = fetcher_for(context, job.indexes, self.resolution.resolver.locate)

    def run(self) -> Built:
        job, plan = self.job, self.plan
        require_libraries(self.context, plan, job.base, job.directory)
        self._look_up()
        environ, output = self.context.host.environment, job.output.path
        self.contents = contents(self.context.store, plan, job.directory, environ, output)
        if words := job.base.packed_otherwise(plan.compression):
            self.context.report.warn(f'build.compression = "{plan.compression}": {words}', lasting=True)
        lower = Chain(self.context, job.base, plan.target, plan.compression, plan.keep_secrets)
        with (
            Importer(self.context, job.base, plan.target.oci_arch) as importer,
            ThreadPoolExecutor(1, "exec") as pool,
            ThreadPoolExecutor(1, "compile") as yard,
            base_ahead(self.context, plan, job.base),
        ):
            try:
                if job.imported and job.base.layers and not (plan.system or plan.apt):
                    importer.begin()
                system: Future[Chain] = pool.submit(self._system, lower)
                self.system = system
                below = pool.submit(self._below, system)
                above = pool.submit(self._packages, below)
                compiled = yard.submit(self._compiled, system)
                for part in (system, below, above, compiled):
                    part.add_done_callback(self._note_failure)
                packages, pieces = self._python(below, system, importer if job.imported else None)
                chain = above.result()
                made = compiled.result()
                importer.settle()
            except BaseException as error:  # noqa: BLE001 - Ctrl-C too: what runs is stopped, then it goes on
                self.context.failed.set()
                self.context.tools.stop()
                raise cause_of(error, system, below, above, compiled) from None
        place = len(below.result().pieces)
        chain.pieces[place:place] = made
        self.visible = [*job.base.layers, *(piece.blob for piece in chain.pieces)]
        chain.pieces[place:place] = pieces
        chain.stack.join([*self.keys, *self.compiled_keys])
        owned = self._directories(chain)
        for step in plan.files:
            self._files(chain, step)
        chain.see(plan.settings)
        count = len(chain.pieces)
        for last in plan.last:
            self._say(last.name, made=add_run(chain, last, job.directory))
        self.visible += [piece.blob for piece in chain.pieces[count:]]
        if not owned and not self._directories(chain):
            words = f"image.user: no layer of the image has a user {plan.settings.user}"
            self.context.report.warn(words, lasting=True)
        lock = TargetLock(
            target=plan.target.tag,
            request=plan.request_digest,
            base=job.base.digest,
            python=packages,
            apt=tuple(self.apt),
            without=plan.without,
        )
        return self._finish(chain, lock)

    def _look_up(self) -> None:
        """Raise ResolveError for apt packages that the distribution does not have, before all else."""
        plan, context, lock = self.plan, self.context, self.job.lock
        mirror = (context.host.mirror if is_debian(plan.target.distribution) else None) or ""
        for apt in looked_up(plan, lock.apt if lock else ()):
            names = names_for(context.store, context.host, self.job.base, plan.target, apt, mirror)
            if names and not names.old:
                refuse_unknown(names, apt.packages, plan.target.distribution)

    def _note_failure(self, part: Future[Any]) -> None:
        if part.cancelled() or part.exception():
            self.context.failed.set()

    # -- exec layers ---------------------------------------------------------------------------------------

    def _system(self, chain: Chain) -> Chain:
        for step in self.plan.system:
            self._say(step.name, made=add_run(chain, step, self.job.directory))
        return chain.fork()

    def _below(self, system: Future[Chain]) -> Chain:
        """The frameworks' packages on the system steps: what Python itself may come from."""
        chain = system.result().fork()  # what is compiled stands on that one
        if self.plan.apt:
            self._add_apt(chain, self.plan.apt)
        return chain.fork()

    def _packages(self, below: Future[Chain]) -> Chain:
        """The recipe's own packages: made without the wheels, which they don't see."""
        chain = below.result().fork()
        if self.plan.apt_extra:
            self._add_apt(chain, self.plan.apt_extra)
        return chain

    def _compiled(self, system: Future[Chain]) -> list[Piece]:
        """What is compiled: on the system steps alone, so that other frameworks' packages move nothing."""
        if not self.plan.compiled:
            return []
        image, job = system.result().fork(), self.job
        workdir = self.context.scratch.directory("resolve-compile")
        locate = job.inquiry.resolution(workdir, package_files(self.context.store)).resolver.locate
        fetcher = replace(self.fetcher, locate=locate)  # beside the image's, which asks at the same time
        yard = Yard(image, fetcher, job.indexes, job.directory, workdir, job.inquiry.upgrade)
        pieces = []
        for step in self.plan.compiled:
            layer, blob, made = add_compiled(yard, step)
            self.compiled_keys.append(layer.key)
            self.parts[layer.name] = [list(part) for part in layer.parts]
            pieces.append(Piece(blob=blob, created_by=f"{MADE}{layer.name}"))
            self._say(layer.name, made=made)
        return pieces

    def _add_apt(self, chain: Chain, step: Step[Apt]) -> None:
        locks = self.job.lock.apt if self.job.lock else ()
        try:
            lock, made = add_apt(chain, step.name, step.layer, locks, locked=self.job.locked)
        except UnknownPackageError:
            self._look_up()  # in what APT has fetched now: it says what could be meant
            raise
        self.apt.append(lock)
        if lock.debs:
            self._say(step.name, made=made)

    # -- file layers ---------------------------------------------------------------------------------------

    def _python(
        self, below: Future[Chain], system: Future[Chain], importer: Importer | None
    ) -> tuple[tuple[Package, ...], list[Piece]]:
        plan, job = self.plan, self.job
        if plan.target.python is None:
            return (), []
        interpreter = job.base.facts.interpreter(plan.target.python)
        assert interpreter  # noqa: S101 - the target was held against the base before
        with self._workshop(below, system, interpreter) as workshop:
            if job.lock and job.lock.request == plan.request_digest:
                packages, urls = job.lock.python, dict[str, str]()
            else:
                with self.context.report.step("resolve Python packages", "resolve") as said:
                    packages, urls = self.resolution.with_workshop(workshop, self.context.report)
                    _hold(plan, packages)
                    said.append(f"{len(packages)} packages, {sum(p.size for p in packages) / 1e6:.0f} MB")
            if words := disagreement(plan.target.device, packages):
                self.context.report.warn(words, lasting=True)
            scheme = scheme_of(plan.target.python, interpreter)
            compiler, standing = self._compiler(below, workshop), self._standing(interpreter)
            python = Python(scheme, interpreter, compiler, below, plan.compression, standing)
            sources = Sources(self.fetcher, urls, workshop, job.directory)
            layers = arrange_plan(
                plan, packages, workshop.hashes(packages), interpreter, job.base, self.after_system, standing
            )
            pieces: list[Piece | None] = [None] * len(layers)
            self._expect(below, importer, len(layers))
            if not workshop.all_built(packages):
                layers = self._build_sources(workshop, sources, packages, interpreter)

            def ready(layer: FileLayer, blob: Blob, made: bool) -> None:
                index = layers.index(layer)
                pieces[index] = Piece(blob=blob, created_by=f"{MADE}{layer.name}")
                self.publication.offer(blob, layer.name)
                self._say(layer.name, made=made)
                if importer:
                    importer.fill(index + 1, pieces[index])

            making = Layers(self.context, python, sources)
            making.make(layers, ready)
            if settled := making.settle(layers):
                layer, blob, made = settled
                layers = (*layers, layer)
                pieces.append(Piece(blob=blob, created_by=f"{MADE}{layer.name}"))
                self.publication.offer(blob, layer.name)
                self._say(layer.name, made=made)
        self.keys = [layer.key for layer in layers]
        self.parts |= {layer.name: [list(part) for part in layer.parts] for layer in layers}
        return packages, [piece for piece in pieces if piece]

    def _workshop(self, below: Future[Chain], system: Future[Chain], interpreter: str) -> Workshop:
        target, job = self.plan.target, self.job
        there = interpreter_of(job.base, target.python)
        packages = there.packages if there else ()
        workdir = self.context.scratch.directory("resolve-build")
        supply = supply_of(self.plan, self.fetcher, job.indexes, job.directory, workdir)
        if target.is_classic:
            return ClassicWorkshop(below, system, interpreter, packages, supply, job.indexes)
        return Workshop(below, system, interpreter, packages, supply)

    def _expect(self, below: Future[Chain], importer: Importer | None, count: int) -> None:
        """Slot 0 stands for all exec layers below the wheels: an import waits until they are there."""
        if importer:
            importer.expect(count + 1)
            below.add_done_callback(
                lambda done: importer.lower(done.result().pieces) if not done.exception() else None
            )

    def _build_sources(
        self, workshop: Workshop, sources: Sources, packages: Sequence[Package], interpreter: str
    ) -> tuple[FileLayer, ...]:
        """Build what has no wheel first: its wheel's hash is part of its layer's key."""
        for _ in sources.wheels([p for p in packages if not is_wheel(p)]):
            pass
        hashes, base = workshop.hashes(packages), self.job.base
        return arrange_plan(
            self.plan, packages, hashes, interpreter, base, self.after_system, self._standing(interpreter)
        )

    def _compiler(self, below: Future[Chain], workshop: Workshop) -> Callable[[], Compiler]:
        """Return how the compiler is chosen, once: when it is known which Python the image has."""
        python, lock = self.plan.target.python or "", threading.Lock()

        @functools.cache
        def choose() -> Compiler:
            below.result()
            brought = {deb.name: deb.version for apt in self.apt for deb in apt.debs}
            packaged = brought.get(f"python{python}-minimal", "").partition("-")[0]
            exact = packaged or dict(self.job.base.facts.patches).get(python)
            identity = compiled_by(self.plan, self.job.base.digest, self.after_system)
            return choose_compiler(python, exact, workshop, self.context.report, identity)

        def choose_alone() -> Compiler:
            with lock:
                return choose()

        return choose_alone

    def _directories(self, chain: Chain) -> bool:
        """Have the workdir and the volumes there; return whether it is known whose they are.

        A user may be made by the last steps: then they come on top of these.
        """
        store, settings = self.context.store, self.plan.settings
        paths = directories.wanted(settings)
        if not paths:
            return True
        user = directories.user_of(settings, self.job.base.read_config(store))
        ids = directories.owner(store, self.visible, user)
        if ids is None:
            return False
        found = directories.missing(read_tree(store, self.visible), paths, ids)
        if found:
            parts, key = directories.directories_parts(found, chain.compression)
            blob, made = store.make_layer(
                key,
                self.context.scratch.path,
                lambda out: directories.write_directories(out, found, chain.compression),
            )
            chain.add(ExecLayer(name=directories.NAME, parts=parts, key=key), blob)
            self.visible.append(blob)
            self._say(directories.NAME, made=made)
        return True

    @functools.cached_property
    def after_system(self) -> str:
        """The chain's state after the system steps, whether or not they ran yet."""
        job, context, plan = self.job, self.context, self.plan
        stack = Stack(job.base.digest, plan.compression, plan.keep_secrets)
        return after_runs(context.store, plan.system, stack, context.host.environment, job.directory)

    def _standing(self, interpreter: str) -> Standing:
        """Return how the directories are below the environment; system steps may have moved them."""
        plan, blobs = self.plan, self.job.base.layers
        if plan.system and self.system:
            blobs = (*blobs, *(piece.blob for piece in self.system.result().pieces))
        tree = read_tree(self.context.store, blobs)
        return standing_of(tree, scheme_of(plan.target.python or "3.0", interpreter), plan.apt_names)

    def _files(self, chain: Chain, step: Step[Files]) -> None:
        files, store = step.layer.files, self.context.store
        tree = read_tree(store, self.visible)
        output = self.job.output.path
        own = own_places(store, output)
        parts = files_key(store, files, self.job.directory, chain.compression, tree, output)
        key = digest_of(["files", parts])
        blob, made = store.make_layer(
            key,
            self.context.scratch.path,
            lambda out: write_files(out, files, self.job.directory, self.plan.compression, tree, own, parts),
            private=True,  # made from files of this host in no time
        )
        chain.add(ExecLayer(name=step.name, parts=parts, key=key), blob)
        self.visible.append(blob)
        self._say(step.name, made=made)

    # -- the image -----------------------------------------------------------------------------------------

    def _finish(self, chain: Chain, lock: TargetLock) -> Built:
        job, plan, context = self.job, self.plan, self.context
        if len(job.base.layers) + len(chain.pieces) > MOST_LAYERS:
            context.report.warn(
                f"the image has {len(job.base.layers) + len(chain.pieces)} layers; some tools stop at 127",
                lasting=True,
            )
        environ = context.host.environment
        settings, annotations = described(
            context.store, job, lock, environ, self.contents, flattened=chain.flattened
        )
        arch = plan.target.oci_arch
        composed = compose_image(context.store, job.base, chain.pieces, settings, arch, annotations)
        identity = prove_image(context, job, chain.pieces, composed)
        if job.output.kind == "storage":
            identity = context.name_image(composed, identity, plan.reference)
        else:
            write_output(context, composed, job.output, plan.reference)
            identity = ""
        least = driver_minimum(plan.target.device.cuda or "") or ""
        parts = {**self.parts, **chain.parts}
        unpacked = {one.created_by.removeprefix(MADE): one.blob.unpacked for one in chain.pieces}
        return Built(composed, identity, lock, self.made, self.reused, parts, least, unpacked)

    def _say(self, name: str, *, made: bool) -> None:
        (self.made if made else self.reused).append(name)


def _hold(plan: Plan, packages: Sequence[Package]) -> None:
    """Raise ChangedError for a file of the recipe's own that is another one than when the plan was made."""
    planned = {os.path.normpath(path): digest for path, digest in plan.local}
    for package in packages:
        if package.kind == "file" and planned.get(package.path, package.sha256) != package.sha256:
            raise ChangedError(
                f"{package.path} changed while packages were resolved",
                hint="build again when nothing changes it any more",
            )


def compiled_by(plan: Plan, base: str, system: str) -> str:
    """Return what tells the image's interpreter from others; `system` is the chain after system steps."""
    others = [one.identity for one in plan.apt.layer.repositories] if plan.apt else []
    return interpreters_of(system, base, others, bootstrapped=isinstance(plan.base, DebianBase))


def arrange_plan(
    plan: Plan,
    packages: Sequence[Package],
    wheels: dict[str, str],
    interpreter: str,
    base: Base,
    system: str,
    standing: Standing,
) -> tuple[FileLayer, ...]:
    """Return the file layers of the plan's packages, within the room that base and other steps leave.

    `system` is the chain's state after the system steps, `standing` how the directories are then.
    """
    others = len(base.layers) + len(plan.system) + len(plan.compiled) + len(plan.files) + len(plan.last) + 2
    others += bool(directories.wanted(plan.settings))
    return arrange(
        packages,
        wheels,
        scheme_of(plan.target.python or "3.0", interpreter),
        interpreter,
        common=plan.common,
        frameworks=[chosen.name for chosen in plan.frameworks],
        bytecode=plan.bytecode,
        compression=plan.compression,
        room=MOST_LAYERS - others,
        compiled_by=compiled_by(plan, base.digest, system),
        standing=standing,
    )


def build(context: Context, job: Job, publication: Publication) -> Built:
    """Build the image of `job.plan`; on every way out, clean up. Its layers are offered to `publication`.

    Raises:
        AvabuildError: of the class that fits; the name of the image is not moved.
        KeyboardInterrupt: after everything that ran was stopped.
    """
    with context.cleanup:
        return _Build(context, job, publication).run()
