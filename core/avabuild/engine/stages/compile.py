"""Compiled layers: what a stage compiles becomes a layer, and is not compiled again."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from packaging.utils import canonicalize_name

from avabuild.common.errors import StepError
from avabuild.common.value import digest_of
from avabuild.engine.bases import stage_base
from avabuild.engine.exec.apt_run import forget_lists
from avabuild.engine.exec.stack import Chain
from avabuild.engine.stages.sources import fetch_sources
from avabuild.engine.stages.stage import EPOCH, UV, Stage, uv_binds, uv_environment
from avabuild.layer.base import Base
from avabuild.layer.compiled import Ground, asked, compiled_layer, tools_of
from avabuild.layer.gather import STAGE
from avabuild.layer.keys import ExecLayer
from avabuild.layer.scheme import scheme_of
from avabuild.layer.tree import read_tree
from avabuild.plan.plan import Step
from avabuild.plugins.kinds import Apt, Compile
from avabuild.plugins.target import Target
from avabuild.resolve import Fetcher, Indexes, Platform, Resolved, Resolver
from avabuild.resolve.uv import run_here
from avabuild.store import Store
from avabuild.store.blob import Blob
from avabuild.tools.argv import Bind
from avabuild.tools.container import kept_words

OUT, SOURCES, WORK, ENVIRONMENT = (f"{STAGE}/{name}" for name in ("out", "sources", "work", "env"))
ALL = "*"


@dataclass(frozen=True, slots=True)
class Interpreter:
    """A Python of a stage: its path, and the packages that bring it where the base doesn't have it."""

    path: str
    version: str
    packages: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Yard:
    """Where one build compiles.

    Attributes:
        image: the chain of base and system steps that compiled layers are put on.
        fetcher: downloads sources.
        indexes: where the packages of stages come from; `directory` is the recipe's.
        workdir: for the resolver's own files.
        upgrade: names of compiles whose build packages are looked at anew, `*` and `apt` for all.
    """

    image: Chain
    fetcher: Fetcher
    indexes: Indexes
    directory: Path
    workdir: Path
    upgrade: frozenset[str] = frozenset()

    def stage(self, distribution: str | None) -> tuple[Chain, Interpreter | None]:
        """Return the chain under the stage of a compile, and its interpreter; None is the image's own."""
        image = self.image
        if distribution is None or distribution == image.target.distribution:
            return image, interpreter_of(image.base, image.target.python)
        base = stage_base(image.context, distribution)
        target = image.target.model_copy(update={"distribution": distribution})
        return Chain(image.context, base, target, image.compression), stage_interpreter(base, image.target)

    def pinned(self, pins: Sequence[str], platform: Platform) -> tuple[Resolved, ...]:
        """Return the files of exact pins for a platform: what the Python of a stage is given."""
        run = partial(run_here, stop=self.image.context.downloads)
        return Resolver(platform, self.indexes, self.directory, self.workdir, run).pinned(pins)

    def anew(self, compiled: Compile) -> bool:
        """Whether the user wants newer build packages looked for."""
        return bool(self.upgrade & {ALL, "apt", canonicalize_name(compiled.name)})


def interpreter_of(base: Base, python: str | None) -> Interpreter | None:
    """Return the interpreter of version `python` on `base`."""
    path = base.facts.interpreter(python) if python else None
    if python is None or path is None:
        return None
    there = python in dict(base.facts.pythons)
    brought = ("python2.7",) if python == "2.7" else ("python3",)
    return Interpreter(path, python, () if there else brought)


def stage_interpreter(base: Base, target: Target) -> Interpreter | None:
    """Return the interpreter of a stage on another distribution's `base`, whichever Python that has."""
    offered = base.facts.offered
    return interpreter_of(base, offered[0]) if target.python and offered else None


def site_packages(target: Target) -> str | None:
    """Return the image's site-packages, absolute, or None without Python."""
    return scheme_of(target.python, f"/usr/bin/python{target.python}").purelib if target.python else None


def ground_of(image: str, stage: str, interpreter: Interpreter | None, target: Target) -> Ground:
    """Return what a compile stands on, from the chains' digests."""
    return Ground(
        image=image,
        stage=stage,
        python=interpreter.path if interpreter else None,
        site=site_packages(target),
    )


def known_layer(
    store: Store, step: Step[Compile], ground: Ground, compression: str
) -> tuple[ExecLayer | None, Blob | None]:
    """Return the layer that was made before from the same inputs, and its blob; None for what is unknown."""
    inputs = asked(step.layer, ground, compression)
    tools = store.known("compiled", digest_of(inputs))
    layer = compiled_layer(step.name, inputs, tools) if isinstance(tools, str) else None
    return layer, store.layer(layer.key) if layer else None


def add_compiled(yard: Yard, step: Step[Compile]) -> tuple[ExecLayer, Blob, bool]:
    """Return the layer of a compile, its blob, and whether it was compiled now.

    Raises:
        StepError: the text failed, or what it left can't be a layer; nothing is kept.
        WheelError: a source has another hash than it must have.
        UnavailableError: a source or build package can't be fetched now.
    """
    compiled, context = step.layer, yard.image.context
    chain, interpreter = yard.stage(compiled.distribution)
    compression = yard.image.compression
    ground = ground_of(yard.image.digest, chain.digest, interpreter, yard.image.target)
    inputs = asked(compiled, ground, compression)
    with context.store.lock("compiled", digest_of(inputs)):
        layer, blob = known_layer(context.store, step, ground, compression)
        anew = yard.anew(compiled)
        if layer and blob and not anew:
            tools = context.store.recall("compiled", digest_of(inputs))
            context.store.offer("compiled", digest_of(inputs), tools)
            return layer, blob, False
        if anew:
            forget_lists(context.store, chain.base.digest)
        with context.report.step(step.name, "compile") as said, Stage(lambda: chain, step.name) as stage:
            work = _Work(yard, step, interpreter, stage)
            tools = tools_of(work.debs)
            layer = compiled_layer(step.name, inputs, tools)
            blob, made = context.store.make_layer(layer.key, context.scratch.path, work.make)
            context.store.record("compiled", digest_of(inputs), tools)
            context.store.offer("compiled", digest_of(inputs), tools)
            said.append(f"{blob.size / 1e6:.1f} MB" if made else "its build packages are as they were")
            return layer, blob, made


class _Work:
    """One compile in its stage."""

    def __init__(
        self, yard: Yard, step: Step[Compile], interpreter: Interpreter | None, stage: Stage
    ) -> None:
        self.yard = yard
        self.step = step
        self.compiled = compiled = step.layer
        self.interpreter = interpreter
        self.stage = stage
        packages = (*compiled.packages, *(interpreter.packages if interpreter else ()))
        self.apt = Apt(packages=packages, repositories=compiled.repositories)
        self.debs = stage.resolve(self.apt)

    def make(self, out: Path) -> Blob:
        """Compile, and write the layer to `out`."""
        binds = [
            Bind(source=str(path), target=f"{SOURCES}/{name}")
            for name, path in fetch_sources(self.stage, self.yard.fetcher, self.compiled.sources).items()
        ]
        self.stage.install_resolved(self.apt, self.debs)
        if self.interpreter and self.compiled.requirements:
            self._require(self.interpreter)
        try:
            self.stage.run(script(self.compiled), self._environment(), binds, self.step.name)
        except StepError as error:
            raise self._explained(error) from error
        return self._gather(out)

    def _require(self, interpreter: Interpreter) -> None:
        """Make the stage's Python environment: its wheels are fetched like those of an image."""
        target, facts = self.yard.image.target, self.stage.chain.base.facts
        platform = Platform(interpreter.version, target.arch, facts.glibc)
        found = self.yard.pinned(self.compiled.requirements, platform)
        urls = {one.package.sha256: one.url for one in found}
        paths = [path for _, path in self.yard.fetcher.fetch([one.package for one in found], urls)]
        binds = [Bind(source=str(path), target=f"{STAGE}/wheels/{path.name}") for path in paths]
        shell = environment_script(interpreter.path, [bind.target for bind in binds])
        self.stage.run(shell, uv_environment({}), [*uv_binds(), *binds], self.step.name)

    def _environment(self) -> dict[str, str]:
        given = {
            "HOME": STAGE,
            "LC_ALL": "C.UTF-8",
            "SOURCE_DATE_EPOCH": EPOCH,
            "TZ": "UTC",
            **dict(self.compiled.env),
            "OUT": OUT,
            "SOURCES": SOURCES,
            "JOBS": str(self.yard.image.context.host.cores),
        }
        if self.interpreter:
            own = self.compiled.requirements
            given["PYTHON"] = f"{ENVIRONMENT}/bin/python" if own else self.interpreter.path
        if site := site_packages(self.yard.image.target):
            given["SITE"] = site
        return given

    def _gather(self, out: Path) -> Blob:
        """Write what is below $OUT, placed among what the image has below it."""
        image = self.yard.image
        store, base = image.context.store, image.base.layers
        tree = read_tree(store, [*base, *(piece.blob for piece in image.pieces)])
        nodes = out.with_suffix(".tree")
        fields = {name: [node.mode, node.uid, node.gid, node.link] for name, node in tree.nodes.items()}
        nodes.write_text(json.dumps(fields))
        arguments = [str(out), str(nodes), image.compression]
        printed = self.stage.start().module("avabuild.layer.gather", OUT, arguments)
        answer = json.loads(printed)
        if "problem" in answer:
            raise self._explained(
                StepError(answer["problem"], log=str(image.context.log), place=self.step.name)
            )
        return Blob.model_validate(answer)

    def _explained(self, error: StepError) -> StepError:
        return StepError(
            error.message.replace("buildah", "the command").replace("the command", "the compile", 1),
            place=self.step.name,
            tail=error.tail,
            log=error.log,
            hint=kept_words(self.stage.start().name)
            if self.yard.image.context.keep
            else "look inside with --keep",
        )


def script(compiled: Compile) -> str:
    """Return what `sh -e` runs: the compile's text in an empty directory."""
    return f"umask 022; mkdir -p {OUT} {WORK} {SOURCES}; cd {WORK}\n" + compiled.shell


def environment_script(python: str, wheels: Sequence[str]) -> str:
    """Return what makes the stage's environment of `wheels` and nothing else."""
    own = f"--python {ENVIRONMENT}/bin/python"
    return (
        f"{UV} venv --quiet --python {shlex.quote(python)} {ENVIRONMENT}\n"
        f"{UV} pip install --quiet --no-index --no-deps {own} {shlex.join(sorted(wheels))}\n"
    )
