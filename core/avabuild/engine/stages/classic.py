"""The classic workshop: where pip 20.3.4 resolves and builds packages of Pythons that uv does not know.

Where it resolves, it has the network and the addresses of indexes, and runs no code of a package. Where a
package is built, there is neither.
"""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import replace
from functools import cached_property
from pathlib import Path

from avabuild.common.errors import StepError
from avabuild.common.value import digest_of
from avabuild.engine.exec.stack import GIVEN, Chain, given
from avabuild.engine.stages.stage import EPOCH
from avabuild.engine.stages.workshop import (
    FORMAT,
    GIVEN_SOURCE,
    GIVEN_WHEELS,
    OUT,
    Supply,
    System,
    Workshop,
    check_requirement,
    is_wheel,
    member_of,
    needs_compiler,
    system_of,
)
from avabuild.resolve import ClassicResolver, Command, Indexes, Outcome, Resolver
from avabuild.resolve.lock import Package
from avabuild.resolve.pip import TOOLS, settled, unpack_tools
from avabuild.tools.argv import Bind
from avabuild.tools.container import Container
from avabuild.tools.inside.step import Network

PIP = "/run/avabuild-pip"
_CACHE = "/run/avabuild-cache"
_NO_COMPILER = {"CC": "/bin/false", "CXX": "/bin/false"}


class ClassicWorkshop(Workshop):
    """Resolves and builds with the target's own pip, whose files are mounted and never installed."""

    compilers = ("build-essential", "python2.7-dev")

    def __init__(
        self,
        below: Future[Chain],
        ground: Future[Chain],
        interpreter: str,
        packages: Sequence[str],
        supply: Supply,
        indexes: Indexes,
    ) -> None:
        super().__init__(below, ground, interpreter, packages, supply)
        self._indexes = settled(indexes)
        if not interpreter.endswith("2.7"):
            self.compilers = ("build-essential", "python3-dev")

    def key(self, package: Package) -> str:
        """Return the key of the wheel built from `package`: also what it is built by."""
        return classic_key(super().key(package))

    def resolver(self, resolver: Resolver | ClassicResolver) -> Resolver | ClassicResolver:
        """Return `resolver` asking pip in a container."""
        assert isinstance(resolver, ClassicResolver)  # noqa: S101 - the other kind has another workshop
        return replace(resolver, run=self.resolve, interpreter=Path(self._interpreter), learn=self.learn)

    def resolve(self, command: Command) -> Outcome:
        """Run pip's resolution: the Runner of a classic resolver. Its cache is of this build alone."""
        if any("git+" in path.read_text() for path in command.directory.glob("request.json")):
            self._stage.install(self.git)
        context = self._chain.context
        binds = [Bind(source=str(path), target=str(path)) for path in command.reads if path.exists()]
        binds.append(Bind(source=str(command.directory), target=str(command.directory), writable=True))
        binds.append(Bind(source=str(context.scratch.directory("pip-cache")), target=_CACHE, writable=True))
        shell = f"exec {shlex.join(command.argv)}\n"
        env = {**dict(command.environment), "PIP_CACHE_DIR": _CACHE}
        try:
            self._with_pip(self._stage.start(), env, shell, binds, "resolve", "host")
        except StepError as error:
            return Outcome(1, error.tail)
        return Outcome(0, "")

    def _metadata(self, package: Package, source: Path | None, out: Path) -> bytes | None:  # noqa: ARG002
        """Return the METADATA of the wheel, which is built for it: whoever asks needs it next."""
        return member_of(self.build(package, source), re.compile(r"[^/]+\.dist-info/METADATA"))

    def _make(self, _action: str, package: Package, source: Path, out: Path) -> None:
        """Build without a compiler first, which packages with optional C parts can do."""
        own = self.git if package.kind == "git" else ()
        try:
            self._wheel(package, source, out, own, _NO_COMPILER)
        except StepError:
            if not needs_compiler(source):
                raise
            self._wheel(package, source, out, (*own, *self.compilers), {})

    def _wheel(
        self, package: Package, source: Path, out: Path, tools: Sequence[str], env: Mapping[str, str]
    ) -> None:
        """Build in a container of its own, without network: what it says that it needs is there."""
        system = system_of(source, package.subdirectory)
        network: Network = "host" if self._is_networked(package) else "none"
        place = f"{GIVEN_SOURCE}/{source.name}"
        with (
            self._place("requires") as needed,
            self._tools(tools).container(f"build {package.name}") as built,
        ):
            # What backends and pip itself want beside it: setuptools asks for wheel when it is asked itself.
            for _, path in self._supply.fetcher.fetch(TOOLS, {}):
                shutil.copyfile(path, needed / path.name)
            if system != System():
                self._gather(system.requires, needed)
            binds = [
                Bind(source=str(source), target=place),
                Bind(source=str(needed), target=GIVEN_WHEELS),
                Bind(source=str(out), target=OUT, writable=True),
            ]
            part = f"#subdirectory={package.subdirectory}" if package.subdirectory else ""
            what = f"file://{place}{part}" if part else place
            shell = (
                f"{self._interpreter} -m pip wheel --quiet --no-deps --no-index --find-links {GIVEN_WHEELS} "
                f"--wheel-dir {OUT} {shlex.quote(what)}\n"
            )
            self._with_pip(
                built, {**env, "PIP_CONFIG_FILE": "/dev/null"}, shell, binds, package.name, network
            )

    def _gather(self, requirements: Sequence[str], directory: Path) -> None:
        """Put the wheels of build requirements, and of what these need, into `directory`."""
        for text in requirements:
            check_requirement(text)
        supply = self._supply
        with self._place("asked") as workdir:
            resolver = ClassicResolver(self._indexes, supply.directory, workdir, supply.fetcher.directory)
            found = self.resolver(resolver).resolve((), requirements)
        urls = {one.package.sha256: one.url for one in found}
        for package, path in supply.fetcher.fetch([one.package for one in found], urls):
            wheel = path if is_wheel(package) else self.build(package, path)
            shutil.copyfile(wheel, directory / wheel.name)

    def _with_pip(
        self,
        container: Container,
        env: Mapping[str, str],
        shell: str,
        binds: Sequence[Bind],
        place: str,
        network: Network,
    ) -> None:
        context = self._ground.context
        local = [Bind(source=str(p), target=str(p)) for p in self._indexes.local_paths() if p.exists()]
        asks = "PIP_INDEX_URL" in env or "PIP_FIND_LINKS" in env  # it is no build
        everything = [Bind(source=str(self._pip), target=PIP), *(local if asks else ()), *binds]
        inherited = context.host.network_environment(f"{GIVEN}/ca.pem") if network == "host" else {}
        own = {
            "PYTHONPATH": PIP,
            "PYTHONDONTWRITEBYTECODE": "1",
            "PIP_CACHE_DIR": "/tmp/pip-cache",  # noqa: S108 - the container's
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "PIP_NO_PYTHON_VERSION_WARNING": "1",
            "PIP_NO_WARN_SCRIPT_LOCATION": "1",
            "SOURCE_DATE_EPOCH": EPOCH,
            "HOME": "/tmp",  # noqa: S108 - the container's
            "LC_ALL": "C.UTF-8",
            **env,
        }
        unique = list({bind.target: bind for bind in everything}.values())
        with given(context, shell, own, {}, inherited) as (command, mounts):
            container.run(command, [*mounts, *unique], place=place, network=network)

    @cached_property
    def _pip(self) -> Path:
        """The directory that has pip and what it needs."""
        store = self._ground.context.store
        key = digest_of([FORMAT, [tool.sha256 for tool in TOOLS], self._interpreter]).removeprefix("sha256:")
        directory = store.root / "pip" / key[:16]
        if not directory.is_dir():
            with store.lock("pip", key):
                directory.parent.mkdir(exist_ok=True)
                unpack_tools([path for _, path in self._supply.fetcher.fetch(TOOLS, {})], directory)
        return directory


def classic_key(key: str) -> str:
    """Return the key of a wheel that this workshop builds, where any other has `key`."""
    return digest_of([key, [tool.sha256 for tool in TOOLS]])
