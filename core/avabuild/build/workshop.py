"""The workshop: a throw-away container of the target in which source distributions become wheels.

Whatever a build needs (compilers, git, build backends) is installed here and never reaches the image. A
wheel is built once per source, Python and base, kept by content, and then layered like any other.
"""

from __future__ import annotations

import hashlib
import json
import shlex
import shutil
import tarfile
import tempfile
import zipfile
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from avabuild.build.chain import Chain
from avabuild.build.stage import UV, Stage, uv_binds, uv_environment
from avabuild.commands import Bind
from avabuild.errors import HostError, StepError, WheelError
from avabuild.lock import Package
from avabuild.resolve import ClassicResolver, Command, Indexes, Outcome, Resolver
from avabuild.store import Kept, Store
from avabuild.store.hashing import file_digest
from avabuild.store.store import disk_errors
from avabuild.value import digest_of

FORMAT = 1
PACKS = "packs"  # where the scratch space has the packs of compiled modules
OUT = "/run/avabuild-out"
_COMPILED = (".c", ".cc", ".cpp", ".cxx", ".f", ".f90", ".pyx", ".pxd", ".rs", ".cu")


class Workshop:
    """Builds wheels in one container, started when the first one is asked for; a context manager.

    Attributes:
        compilers: the distribution's packages that compile.
        git: those that fetch repositories.
    """

    compilers: tuple[str, ...] = ("build-essential", "python3-dev")
    git = ("git", "ca-certificates")

    def __init__(self, below: Future[Chain], interpreter: str, indexes: Indexes) -> None:
        self._stage = Stage(below.result, "workshop")
        self._interpreter = interpreter
        self._indexes = indexes

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._stage.__exit__(None, None, None)

    @property
    def _chain(self) -> Chain:
        return self._stage.chain

    def key(self, package: Package) -> str:
        """Return the key of the wheel built from `package`: its source, and what it is built with."""
        return built_key(package, self._interpreter, self._chain.digest)

    def built(self, package: Package) -> Path | None:
        """Return the wheel that was built from `package` before, when it is still there and whole."""
        store, key = self._chain.context.store, self.key(package)
        path = built_wheel(store, key)
        if path:
            self._offer(key, path, package)
        return path

    def _offer(self, key: str, path: Path, package: Package) -> None:
        """Let other machines have the wheel, as a blob of the store."""
        store = self._chain.context.store
        if store.elsewhere is None:
            return
        digest = file_digest(store, path)
        if not store.has(digest):
            copy = self._chain.context.scratch.path / f"offered-{path.name}"
            store.adopt(Path(shutil.copyfile(path, copy)), digest)
        record = built_record(package, path, digest)
        store.offer("built", key, record, (Kept(digest=digest, size=path.stat().st_size),))

    def all_built(self, packages: Sequence[Package]) -> bool:
        """Whether every source among `packages` has its wheel."""
        return all(is_wheel(p) or self.built(p) is not None for p in packages)

    def hashes(self, packages: Sequence[Package]) -> dict[str, str]:
        """Return name -> sha256 of the wheels that were built from sources among `packages`."""
        built = {p.name: self.built(p) for p in packages if not is_wheel(p)}
        return {name: path.parent.name for name, path in built.items() if path}

    def interpreter(self) -> tuple[str, ...]:
        """Return the command of the target's own interpreter, for `compile`; its container is there then."""
        if not self._chain.context.tools.contain:
            raise HostError("no container can be started here")
        self._stage.start()
        return (self._interpreter,)

    def compile(self, argv: Sequence[str], request: bytes) -> tuple[int, str]:
        """Run `argv` in the container with `request` as its standard input.

        It sees the wheels that the request names, and may write packs: the image's interpreter is not ours.
        Returns its exit code, and what it complained of.
        """
        context = self._chain.context
        path = context.scratch.path / f"compile-{hashlib.sha256(request).hexdigest()[:16]}"
        path.write_bytes(request)
        wheels = [one["wheel"] for one in json.loads(request)["wheels"]]
        packs = str(context.scratch.directory(PACKS))
        binds = [Bind(source=each, target=each) for each in (str(path), *wheels)]
        binds += [Bind(source=packs, target=packs, writable=True)]
        shell = '"$@" <"$0" 2>&1 >/dev/null; echo "exit $?"'
        command = ["/bin/sh", "-c", shell, str(path), *argv]
        said, _, code = self._stage.start().run(command, binds, place="bytecode").rpartition("exit ")
        return int(code), said

    def build(self, package: Package, source: Path | None) -> Path:
        """Return the wheel of `package`, built from the sdist `source`, or from git when that is None."""
        context = self._chain.context
        if path := self.built(package):
            return path
        with context.report.step(f"build {package.name} {package.version} from source", "python"):
            out = context.scratch.directory(f"built-{package.name}")
            self._install(self.git if source is None else ())
            binds = [Bind(source=str(out), target=OUT, writable=True)]
            if source is not None:
                binds.append(Bind(source=str(source), target=f"{OUT}-source/{source.name}"))
            try:
                if source is None:
                    self._check_out(package, binds)
                self._build(package, source, binds)
            except StepError as error:
                raise StepError(
                    f"{package.name} {package.version} can't be built from source",
                    place=f"build {package.name}",
                    tail=error.tail,
                    log=error.log,
                    hint="no index has a wheel of it for this target; another version may have one",
                ) from error
            return self._keep(package, out)

    def _build(self, package: Package, source: Path | None, binds: Sequence[Bind]) -> None:
        if source is None or needs_compiler(source):
            self._install(self.compilers)
        self._run(self._script(package, source), binds, package.name)

    def resolver(self, resolver: Resolver | ClassicResolver) -> Resolver | ClassicResolver:
        """Return `resolver` asking its questions in here."""
        return replace(resolver, run=self.resolve, interpreter=Path(self._interpreter))

    def resolve(self, command: Command) -> Outcome:
        """Run uv's resolution where foreign code may run: the Runner for what has no metadata but its own."""
        self._install((*self.git, *self.compilers))
        argv = (UV, *command.argv[1:])
        binds = [Bind(source=str(path), target=str(path)) for path in command.reads[1:] if path.exists()]
        binds.append(Bind(source=str(command.directory), target=str(command.directory), writable=True))
        shell = f"cd {shlex.quote(str(command.directory))}\nexec {shlex.join(argv)}\n"
        try:
            self._stage.run(
                shell, self._environment(dict(command.environment)), [*self._tools(), *binds], "resolve"
            )
        except StepError as error:
            return Outcome(1, error.tail)
        return Outcome(0, "")

    def _install(self, packages: Sequence[str]) -> None:
        self._stage.install(packages)

    def _environment(self, env: dict[str, str]) -> dict[str, str]:
        return uv_environment(env)

    def _tools(self) -> list[Bind]:
        return uv_binds(self._chain.context.store)

    def _run(self, shell: str, binds: Sequence[Bind], place: str) -> None:
        local = [Bind(source=str(p), target=str(p)) for p in self._indexes.local_paths()]
        env = self._environment(self._indexes.environment())
        self._stage.run(shell, env, [*self._tools(), *binds, *local], place)

    def _script(self, package: Package, source: Path | None) -> str:
        build = (
            f"{UV} build --quiet --wheel --no-create-gitignore --python {self._interpreter} --out-dir {OUT}"
        )
        if source is not None:
            return f"{build} {shlex.quote(f'{OUT}-source/{source.name}')}\n"
        return self._of_checkout(package, build)

    def _check_out(self, package: Package, binds: Sequence[Bind]) -> None:
        """Fetch a commit of a repository, with the host's login for it, which nothing that is built sees."""
        login = self._indexes.credentials(package.url)
        env = {"GIT_LOGIN_USER": login[0], "GIT_LOGIN_WORD": login[1]} if login else {}
        shell = checkout_script(package, login=bool(login))
        self._stage.run(shell, self._environment(env), binds, package.name)

    def _of_checkout(self, package: Package, build: str) -> str:
        """Return the shell text that builds what was checked out."""
        place = f"checkout/{package.subdirectory}" if package.subdirectory else "checkout"
        return f"cd {OUT}\n{build} ./{shlex.quote(place)}\nrm -rf checkout\n"

    def _keep(self, package: Package, out: Path) -> Path:
        wheels = sorted(out.glob("*.whl"))
        if len(wheels) != 1:
            raise WheelError(f"building {package.name} made {len(wheels)} wheels where one was expected")
        store = self._chain.context.store
        digest = file_digest(store, wheels[0])
        path = store.keep(wheels[0], f"built/{digest.removeprefix('sha256:')}/{wheels[0].name}", digest)
        store.record("built", self.key(package), built_record(package, path, digest))
        self._offer(self.key(package), path, package)
        return path


def checkout_script(package: Package, *, login: bool) -> str:
    """Return the shell text that fetches a commit of a repository; a `login` is in its environment.

    Git is told it for the repository's own host alone: submodules may be anybody's.
    """
    git = "git"
    if login:
        parts = urlsplit(package.url)
        helper = '!f() { echo "username=$GIT_LOGIN_USER"; echo "password=$GIT_LOGIN_WORD"; }; f'
        key = f"credential.{parts.scheme}://{parts.netloc}.helper={helper}"
        git = f"git -c {shlex.quote(key)}"
    return (
        f"cd {OUT}\nrm -rf checkout\n{git} clone --quiet {shlex.quote(package.url)} checkout\n"
        f"{git} -C checkout checkout --quiet {shlex.quote(package.commit)}\n"
        f"{git} -C checkout submodule --quiet update --init --recursive\n"
    )


def is_wheel(package: Package) -> bool:
    """Whether `package` needs no building."""
    return package.kind == "wheel" or (package.kind == "file" and package.path.endswith(".whl"))


def built_key(package: Package, interpreter: str, below: str) -> str:
    """Return the key of the wheel built from `package` by `interpreter`, on the chain with digest `below`."""
    return digest_of(["built", FORMAT, package.source, interpreter, below])


def built_record(package: Package, wheel: Path, digest: str) -> dict[str, str]:
    """Return what is remembered of a wheel that was built from `package`."""
    return {"filename": wheel.name, "sha256": digest.removeprefix("sha256:"), "source": package.source}


def built_wheel(store: Store, key: str) -> Path | None:
    """Return the wheel that was built for `key` before, when it is still there and whole."""
    known = store.known("built", key)
    if not isinstance(known, dict) or not {"sha256", "filename"} <= known.keys():
        return None
    sha256, filename = str(known["sha256"]), str(known["filename"])
    if not sha256.isalnum() or not filename.endswith(".whl") or "/" in filename:
        return None  # no name of a wheel, whoever says it
    digest, own = f"sha256:{sha256}", store.root / "built" / sha256 / filename
    path = store.find(f"built/{sha256}/{filename}", digest)
    if path is None and store.has(digest):  # it came from elsewhere, as a blob
        path = _copied(store, digest, own)
    return path


def _copied(store: Store, digest: str, own: Path) -> Path:
    """Copy a blob of the store to the file `own`, which appears whole."""
    with disk_errors(store.root), tempfile.TemporaryDirectory(dir=store.root / "tmp") as place:
        partial = Path(shutil.copyfile(store.blob_path(digest), Path(place, own.name)))
        return store.keep(partial, str(own.relative_to(store.root)), digest)


def needs_compiler(sdist: Path) -> bool:
    """Whether the source distribution holds anything that a compiler reads."""
    if sdist.suffix == ".zip":
        with zipfile.ZipFile(sdist) as archive:
            return any(name.endswith(_COMPILED) for name in archive.namelist())
    with tarfile.open(sdist) as tar:
        return any(name.endswith(_COMPILED) for name in tar.getnames())
