"""The workshop: where source distributions become wheels, each in a throw-away container of its own.

A build runs a stranger's code. It stands on the base and its system steps with the build tools, apart from
any other source's; what it needs is fetched before and held against hashes; then it runs without network
and without anything of the host's environment, unless the recipe lets it have the network. All that comes of
it is a wheel, kept by its source, Python and ground, and layered like any other.
"""

from __future__ import annotations

import hashlib
import json
import re
import shlex
import shutil
import tempfile
import tomllib
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from avabuild.common import damage
from avabuild.common.errors import HostError, ResolveError, StepError, WheelError
from avabuild.common.tars import Tar
from avabuild.common.value import digest_of
from avabuild.engine.exec.apt import add_apt
from avabuild.engine.exec.stack import GIVEN, Chain, given
from avabuild.engine.left import opened_left, read_left
from avabuild.engine.stages.stage import EPOCH, UV, Stage, uv_binds, uv_environment
from avabuild.plan.plan import Plan
from avabuild.plugins.kinds import Apt
from avabuild.resolve import (
    ClassicResolver,
    Command,
    Fetcher,
    Indexes,
    NeedsBuild,
    Outcome,
    Platform,
    Resolved,
    Resolver,
)
from avabuild.resolve.about import UNNAMED, About, read_about
from avabuild.resolve.lock import Package
from avabuild.resolve.pip import TOOLS, settled, unpack_tools
from avabuild.store import Kept, Store
from avabuild.store.store import disk_errors, file_digest
from avabuild.tools.argv import Bind
from avabuild.tools.container import Container
from avabuild.tools.inside.step import PATH, Network

FORMAT = 2
PACKS = "packs"  # where the scratch space has the packs of compiled modules
OUT = "/run/avabuild-out"
GIVEN_SOURCE, GIVEN_WHEELS = "/run/avabuild-source", "/run/avabuild-wheels"
_WORKER = "/run/avabuild-backend.py"
_ENVIRONMENT, _PLACE = "/tmp/avabuild-env", "/tmp/avabuild-project"  # noqa: S108 - the container's
_COMPILED = (".c", ".cc", ".cpp", ".cxx", ".f", ".f90", ".pyx", ".pxd", ".rs", ".cu")
_ROUNDS = 3  # in which a backend may want more
_LIMIT = 4_000_000  # bytes of metadata
_DAMAGE = (*damage.TAR, *damage.ZIP, OSError)


@dataclass(frozen=True, slots=True)
class Supply:
    """Where a workshop gets what is built from, and what that needs.

    Attributes:
        fetcher: downloads files.
        resolver: finds build requirements; its workdir is for the workshop alone. None for classic Pythons,
            whose own pip finds them.
        indexes: have the logins for repositories.
        directory: the recipe's, for its own files.
        networked: the projects whose builds have the network, since the recipe says so.
    """

    fetcher: Fetcher
    resolver: Resolver | None
    indexes: Indexes
    directory: Path
    networked: frozenset[str] = frozenset()


def supply_of(plan: Plan, fetcher: Fetcher, indexes: Indexes, directory: Path, workdir: Path) -> Supply:
    """Return the supply for builds of `plan`; `directory` is the recipe's, `workdir` the workshop's own."""
    target, resolver = plan.target, None
    if not target.is_classic:
        platform = Platform(target.python or "3.11", target.arch, target.glibc)
        resolver = Resolver(platform, indexes, directory, workdir)
    return Supply(fetcher, resolver, indexes, directory, frozenset(plan.build_network))


@dataclass(frozen=True, slots=True)
class System:
    """What a project says of its build (PEP 518): the requirements, the backend and where that is."""

    requires: tuple[str, ...] = ("setuptools>=40.8.0",)
    backend: str = "setuptools.build_meta:__legacy__"
    path: tuple[str, ...] = ()


class Workshop:
    """Builds wheels; a context manager.

    Args:
        below: the chain whose interpreter compiles modules.
        ground: the chain of the base and its system steps, on which sources are built.
        interpreter: the Python's path.
        packages: what brings it, where the base does not have it.
        supply: where everything comes from.

    Attributes:
        compilers: the distribution's packages that compile.
        git: those that fetch repositories.
    """

    compilers: tuple[str, ...] = ("build-essential", "python3-dev")
    git = ("git", "ca-certificates")

    def __init__(
        self,
        below: Future[Chain],
        ground: Future[Chain],
        interpreter: str,
        packages: Sequence[str],
        supply: Supply,
    ) -> None:
        self._stage = Stage(below.result, "workshop")
        self._ground_of = ground
        self._interpreter = interpreter
        self._packages = tuple(packages)
        self._supply = supply
        self._tooled: dict[tuple[str, ...], Chain] = {}
        self._wanted: dict[tuple[str, ...], list[Path]] = {}
        self._building: list[str] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._stage.__exit__(None, None, None)

    @property
    def _chain(self) -> Chain:
        return self._stage.chain

    @property
    def _ground(self) -> Chain:
        return self._ground_of.result()

    # -- what is there -------------------------------------------------------------------------------------

    def key(self, package: Package) -> str:
        """Return the key of the wheel built from `package`: its source, and what it is built with."""
        networked = self._is_networked(package)
        return built_key(package, self._interpreter, self._ground.digest, networked=networked)

    def _is_networked(self, package: Package) -> bool:
        return package.name in self._supply.networked

    def built(self, package: Package) -> Path | None:
        """Return the wheel that was built from `package` before, when it is still there and whole."""
        store, key = self._ground.context.store, self.key(package)
        path = built_wheel(store, key)
        if path:
            self._offer(key, path, package)
        return path

    def _offer(self, key: str, path: Path, package: Package) -> None:
        """Let other machines have the wheel, as a blob of the store."""
        store = self._ground.context.store
        if store.elsewhere is None:
            return
        digest = file_digest(store, path)
        if not store.has(digest):
            copy = self._ground.context.scratch.path / f"offered-{path.name}"
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

    # -- building ------------------------------------------------------------------------------------------

    def build(self, package: Package, source: Path | None) -> Path:
        """Return the wheel of `package`, built from the sdist `source`, or from git when that is None."""
        if path := self.built(package):
            return path
        context = self._ground.context
        with context.store.lock("built", self.key(package)):  # another recipe's of this run may be at it
            if path := self.built(package):
                return path
            with (
                context.report.step(f"build {package.name} {package.version} from source", "python"),
                self._place("built") as out,
            ):
                with self._explained(package, "can't be built from source"), self._alone(package):
                    self._make("wheel", package, self._source(package, source), out)
                return self._keep(package, out)

    def learn(self, found: Resolved) -> About:
        """Return what a source says of itself: from its build backend, which is asked once for it."""
        package, store = found.package, self._ground.context.store
        key = digest_of(["about", self.key(package)])
        if known := store.recall("about", key):
            return About.model_validate(known)
        source: Path | None = None
        if package.kind == "file":
            source = self._supply.directory / package.path
        elif package.kind == "sdist":
            source = next(iter(self._supply.fetcher.fetch([package], {package.sha256: found.url})))[1]
        named = "a source" if package.name == UNNAMED else package.name
        with self._ground.context.report.step(f"metadata of {named}", "python"), self._place("about") as out:
            data = self._metadata(package, source, out)
        if data is None:
            raise WheelError(f"the build backend of {named} left no metadata")
        about = read_about(data)
        if package.name not in {UNNAMED, about.name}:
            raise ResolveError(f"{package.name} calls itself {about.name}")
        store.record("about", key, about.model_dump())
        return about

    def _metadata(self, package: Package, source: Path | None, out: Path) -> bytes | None:
        """Return the METADATA that the build backend of a source leaves in `out`."""
        with self._explained(package, "does not say what it needs"), self._alone(package):
            self._make("metadata", package, self._source(package, source), out)
        return read_left(out / "METADATA", _LIMIT)

    def resolver(self, resolver: Resolver | ClassicResolver) -> Resolver | ClassicResolver:
        """Return `resolver` able to find out what sdists need."""
        assert isinstance(resolver, Resolver)  # noqa: S101 - a classic one has a workshop of its own kind
        return replace(resolver, learn=self.learn)

    @contextmanager
    def _explained(self, package: Package, what: str) -> Iterator[None]:
        """Say of a failing build whose it was, and what could help."""
        try:
            yield
        except StepError as error:
            if error.place != package.name:  # it is not the build's: a tool failed, or another's build
                raise
            known = package.version not in {"", "0"}  # a commit's, and what was not looked into yet
            title = f"{package.name} {package.version}" if known else package.name
            hint = "no index has a wheel of it for this target; another version may have one"
            if not self._is_networked(package):
                hint += f'; if its build needs the network, say [packages] build-network = ["{package.name}"]'
            raise StepError(
                f"{title} {what}",
                place=f"build {package.name}",
                tail=error.tail,
                log=error.log,
                hint=hint,
            ) from error

    @contextmanager
    def _alone(self, package: Package) -> Iterator[None]:
        """Refuse what can only be built with itself."""
        if package.name in self._building:
            way = " needs ".join([*self._building[self._building.index(package.name) :], package.name])
            raise ResolveError(f"nothing can be built: {way}, and no index has a wheel of them")
        self._building.append(package.name)
        try:
            yield
        finally:
            self._building.pop()

    @contextmanager
    def _place(self, name: str) -> Iterator[Path]:
        path = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=self._ground.context.scratch.path))
        try:
            yield path
        finally:
            shutil.rmtree(path, ignore_errors=True)

    def _source(self, package: Package, source: Path | None) -> Path:
        """Return the sdist `source`; for a commit, an archive of its checkout."""
        if source is not None:
            return source
        context = self._ground.context
        kept = (
            context.scratch.path / f"checkout-{digest_of([package.source]).removeprefix('sha256:')[:16]}.tar"
        )
        if kept.exists():
            return kept
        with self._place("checkout") as out:
            login = self._supply.indexes.credentials(package.url)
            env = {"GIT_LOGIN_USER": login[0], "GIT_LOGIN_WORD": login[1]} if login else {}
            script = checkout_script(package, login=bool(login))
            script += "tar -cf checkout.tar checkout\nrm -rf checkout\n"
            bind = Bind(source=str(out), target=OUT, writable=True)
            with self._tools(self.git).container(f"checkout {package.name}") as container:
                own = context.host.network_environment(f"{GIVEN}/ca.pem")
                self._run(container, script, {**env, "HOME": "/tmp"}, [bind], package.name, "host", own)  # noqa: S108
            file = opened_left(out / "checkout.tar")
            if file is None:
                raise WheelError(f"the checkout of {package.name} left no archive")
            with file, kept.open("wb") as copy:
                shutil.copyfileobj(file, copy)
        return kept

    def _make(self, action: str, package: Package, source: Path, out: Path) -> None:
        """Have the build backend of `source` do `action`: all that it wants is there before it is asked."""
        system = system_of(source, package.subdirectory)
        needed = (*self.git, *self.compilers) if package.kind == "git" else ()
        if action == "wheel" and needs_compiler(source):
            needed = (*needed, *self.compilers)
        known = list(system.requires)
        place = f"{GIVEN_SOURCE}/{source.name}"
        worker = self._worker()
        fixed = [
            Bind(source=str(source), target=place),
            Bind(source=str(out), target=OUT, writable=True),
            Bind(source=str(worker), target=_WORKER),
            *uv_binds(),
        ]
        network: Network = "host" if self._is_networked(package) else "none"
        context = self._ground.context
        own = context.host.network_environment(f"{GIVEN}/ca.pem") if network == "host" else {}
        env = {
            **uv_environment({}),
            "PATH": f"{_ENVIRONMENT}/bin:{PATH}",
            "VIRTUAL_ENV": _ENVIRONMENT,
            "LC_ALL": "C.UTF-8",
        }
        python = f"{_ENVIRONMENT}/bin/python"
        prepare = f"{UV} venv --quiet --python {shlex.quote(self._interpreter)} {_ENVIRONMENT}\n"
        unpack = f"{python} {_WORKER} unpack {shlex.quote(place)} {_PLACE}\n"
        with self._tools(needed).container(f"build {package.name}") as container:
            for _ in range(_ROUNDS):
                wheels = self._wheels(known)
                targets = [f"{GIVEN_WHEELS}/{path.parent.name}/{path.name}" for path in wheels]
                binds = [Bind(source=str(p), target=t) for p, t in zip(wheels, targets, strict=True)]
                spec = {
                    "backend": system.backend,
                    "path": system.path,
                    "subdirectory": package.subdirectory,
                    "known": known,
                }
                script = prepare + (
                    f"{UV} pip install --quiet --no-index --no-deps --python {python} {shlex.join(targets)}\n"
                    if targets
                    else ""
                )
                script += unpack + shlex.join([python, _WORKER, action, _PLACE, OUT, json.dumps(spec)]) + "\n"
                prepare = unpack = ""
                self._run(container, script, env, [*fixed, *binds], package.name, network, own)
                more = _more(out)
                if not more:
                    return
                known += [text for text in more if text not in known]
        raise WheelError(f"the build backend of {package.name} wants more every time it is asked")

    def _worker(self) -> Path:
        path = self._ground.context.scratch.path / "backend_worker.py"
        if not path.exists():
            text = resources.files("avabuild.engine").joinpath("backend_worker.py").read_text("utf-8")
            path.write_text(text, encoding="utf-8")
        return path

    def _tools(self, packages: Sequence[str]) -> Chain:
        """Return the chain that a container with `packages` stands on: made once, and kept as a layer."""
        wanted = tuple(dict.fromkeys([*self._packages, *packages]))
        if wanted not in self._tooled:
            chain = self._ground.fork()
            if wanted:
                add_apt(chain, "build tools", Apt(packages=wanted), (), locked=False)
            self._tooled[wanted] = chain
        return self._tooled[wanted]

    def _wheels(self, requirements: Sequence[str]) -> list[Path]:
        """Return the wheels of build requirements and of what these need; those without one are built."""
        asked = tuple(requirements)
        if not asked or asked in self._wanted:
            return self._wanted.get(asked, [])
        for text in asked:
            check_requirement(text)
        context, supply = self._ground.context, self._supply
        workdir = context.scratch.directory(f"requires-{len(self._wanted)}-{len(self._building)}")
        assert supply.resolver  # noqa: S101 - only for a classic Python there is none
        resolver = replace(supply.resolver, workdir=workdir, learn=self.learn)
        try:
            found = resolver.resolve((), asked)
        except NeedsBuild:
            found = resolver.resolve((), asked, build=True)
        packages = [one.package for one in found]
        urls = {one.package.sha256: one.url for one in found}
        fetched = list(supply.fetcher.fetch(packages, urls))
        paths = [path if package.kind == "wheel" else self.build(package, path) for package, path in fetched]
        self._wanted[asked] = paths
        return paths

    def _run(
        self,
        container: Container,
        shell: str,
        env: Mapping[str, str],
        binds: Sequence[Bind],
        place: str,
        network: Network,
        inherited: Mapping[str, str],
    ) -> str:
        with given(self._ground.context, shell, env, {}, inherited) as (command, mounts):
            return container.run(command, [*mounts, *binds], place=place, network=network)

    def _keep(self, package: Package, out: Path) -> Path:
        store, scratch = self._ground.context.store, self._ground.context.scratch
        names = sorted(path.name for path in out.iterdir() if path.name.endswith(".whl"))
        file = opened_left(out / names[0]) if len(names) == 1 else None
        if file is None:
            raise WheelError(f"building {package.name} made {len(names)} wheels where one was expected")
        if package.name not in {UNNAMED, canonicalize_name(names[0].split("-")[0])}:
            raise WheelError(f"building {package.name} made {names[0]}, a wheel of another project")
        partial = scratch.path / f"kept-{names[0]}"
        with file, disk_errors(store.root), partial.open("wb") as copy:
            shutil.copyfileobj(file, copy)
        digest = file_digest(store, partial)
        path = store.keep(partial, f"built/{digest.removeprefix('sha256:')}/{names[0]}", digest)
        store.record("built", self.key(package), built_record(package, path, digest))
        self._offer(self.key(package), path, package)
        return path


def _more(out: Path) -> list[str]:
    """Return what a build backend wants beside what it was given; it may say anything."""
    data = read_left(out / "requires.json", _LIMIT)
    if data is None:
        return []
    (out / "requires.json").unlink()
    try:
        found: Any = json.loads(data)
    except ValueError:
        found = None
    if not isinstance(found, list) or not all(isinstance(text, str) for text in found):
        raise WheelError("the build backend does not say what it needs")
    return found


def check_requirement(text: str) -> None:
    """Refuse what is no requirement, and what comes from no index."""
    try:
        url = Requirement(text).url
    except InvalidRequirement as error:
        raise WheelError(f"a build requirement is no requirement (PEP 508): {text!r}") from error
    if url:
        raise WheelError(
            f"a build requirement comes from no index: {text!r}",
            hint="build a wheel of it and name the wheel",
        )


def system_of(source: Path, subdirectory: str) -> System:
    """Return what the project in the archive `source` says of its build.

    Raises:
        WheelError: the archive or its pyproject.toml is damaged.
    """
    inner = re.escape(f"{subdirectory.strip('/')}/" if subdirectory else "")
    wanted = re.compile(rf"(?:\./)?[^/]+/{inner}pyproject\.toml")
    try:
        text = member_of(source, wanted)
        table = tomllib.loads(text.decode()).get("build-system") if text is not None else None
        if table is None:
            return System()
        return System(
            requires=tuple(map(str, table["requires"])),
            backend=str(table.get("build-backend", System().backend)),
            path=tuple(map(str, table.get("backend-path", ()))),
        )
    except (*_DAMAGE, TypeError, AttributeError) as error:
        raise WheelError(f"{source.name} is no source distribution: {error}") from error


def member_of(source: Path, wanted: re.Pattern[str]) -> bytes | None:
    """Return the content of the first plain file of an archive whose name is `wanted`."""
    if source.suffix in {".zip", ".whl"}:
        with zipfile.ZipFile(source) as archive:
            for info in archive.infolist():
                if wanted.fullmatch(info.filename) and info.file_size <= _LIMIT:
                    return archive.read(info)
        return None
    with Tar.open(source) as tar:
        for member in tar:
            if member.isreg() and wanted.fullmatch(member.name) and member.size <= _LIMIT:
                file = tar.extractfile(member)
                return file.read() if file else None
    return None


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


def built_key(package: Package, interpreter: str, ground: str, *, networked: bool) -> str:
    """Return the key of the wheel built from `package` by `interpreter`, on the chain with digest `ground`.

    `networked` says that its build has the network.
    """
    own = ["network"] if networked else []
    return digest_of(["built", FORMAT, package.source, interpreter, ground, *own])


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
    try:
        if sdist.suffix == ".zip":
            with zipfile.ZipFile(sdist) as archive:
                return any(name.endswith(_COMPILED) for name in archive.namelist())
        with Tar.open(sdist) as tar:
            return any(name.endswith(_COMPILED) for name in tar.getnames())
    except _DAMAGE as error:
        raise WheelError(f"{sdist.name} is no source distribution: {error}") from error


# -- the classic workshop: where pip 20.3.4 resolves and builds packages of Pythons that uv does not know ----
# Where it resolves, it has the network and the addresses of indexes, and runs no code of a package. Where a
# package is built, there is neither.


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
