"""The classic workshop: where pip 20.3.4 resolves and builds packages of Pythons that uv does not know."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from functools import cached_property
from pathlib import Path

from avabuild.build.chain import Chain
from avabuild.build.stage import CACHE, EPOCH
from avabuild.build.workshop import OUT, Workshop
from avabuild.commands import Bind
from avabuild.errors import StepError
from avabuild.lock import Package
from avabuild.resolve import Command, Fetcher, Indexes, Outcome
from avabuild.resolve.pip import TOOLS, settled, unpack_tools
from avabuild.value import digest_of

PIP = "/run/avabuild-pip"
_NO_COMPILER = {"CC": "/bin/false", "CXX": "/bin/false"}


class ClassicWorkshop(Workshop):
    """Resolves and builds with the target's own pip, whose files are mounted and never installed."""

    compilers = ("build-essential", "python2.7-dev")

    def __init__(
        self, below: Future[Chain], interpreter: str, indexes: Indexes, fetcher: Fetcher, python: str
    ) -> None:
        super().__init__(below, interpreter, settled(indexes))
        self._fetcher = fetcher
        if python != "2.7":
            self.compilers = ("build-essential", "python3-dev")

    def key(self, package: Package) -> str:
        """Return the key of the wheel built from `package`: also what it is built by."""
        return classic_key(super().key(package))

    def resolve(self, command: Command) -> Outcome:
        """Run pip's resolution: the Runner of a classic resolver."""
        if any("git+" in path.read_text() for path in command.directory.glob("request.json")):
            self._install(self.git)
        binds = [Bind(source=str(path), target=str(path)) for path in command.reads if path.exists()]
        binds.append(Bind(source=str(command.directory), target=str(command.directory), writable=True))
        try:
            self._run_with(dict(command.environment), f"exec {shlex.join(command.argv)}\n", binds, "resolve")
        except StepError as error:
            return Outcome(1, error.tail)
        return Outcome(0, "")

    def _build(self, package: Package, source: Path | None, binds: Sequence[Bind]) -> None:
        """Build without a compiler first, which packages with optional C parts can do.

        Their wheels are then the same whatever was built before them in this container.
        """
        shell = self._script(package, source)
        try:
            self._run_with({**self._indexes.pip_environment(), **_NO_COMPILER}, shell, binds, package.name)
        except StepError:
            self._install(self.compilers)
            self._run_with(self._indexes.pip_environment(), shell, binds, package.name)

    def _run_with(self, env: Mapping[str, str], shell: str, binds: Sequence[Bind], place: str) -> None:
        local = [Bind(source=str(p), target=str(p)) for p in self._indexes.local_paths() if p.exists()]
        binds = list({bind.target: bind for bind in (*self._tools(), *local, *binds)}.values())
        self._stage.run(shell, self._environment(dict(env)), binds, place)

    def _script(self, package: Package, source: Path | None) -> str:
        build = f"{self._interpreter} -m pip wheel --quiet --no-deps --wheel-dir {OUT}"
        if source is not None:
            return f"{build} {shlex.quote(f'{OUT}-source/{source.name}')}\n"
        return self._of_checkout(package, build)

    def _environment(self, env: dict[str, str]) -> dict[str, str]:
        own = {
            "PYTHONPATH": PIP,
            "PIP_CACHE_DIR": CACHE,
            "PIP_NO_WARN_SCRIPT_LOCATION": "1",
            "SOURCE_DATE_EPOCH": EPOCH,
            "HOME": "/tmp",  # noqa: S108 - the container's
            "LC_ALL": "C.UTF-8",
        }
        return {**env, **own}

    def _tools(self) -> list[Bind]:
        cache = self._chain.context.store.root / "pip-cache"
        cache.mkdir(exist_ok=True)
        return [
            Bind(source=str(self._pip), target=PIP, writable=True),
            Bind(source=str(cache), target=CACHE, writable=True),
        ]

    @cached_property
    def _pip(self) -> Path:
        """The directory that has pip and what it needs; it is given to containers of one Python alone."""
        store = self._chain.context.store
        key = digest_of([[tool.sha256 for tool in TOOLS], self._interpreter]).removeprefix("sha256:")
        directory = store.root / "pip" / key[:16]
        if not directory.is_dir():
            with store.lock("pip", key):
                directory.parent.mkdir(exist_ok=True)
                unpack_tools([path for _, path in self._fetcher.fetch(TOOLS, {})], directory)
        return directory


def classic_key(key: str) -> str:
    """Return the key of a wheel that this workshop builds, where any other has `key`."""
    return digest_of([key, [tool.sha256 for tool in TOOLS]])
