"""Steps that use APT: with the host's settings, and archives and package lists that are kept for later.

What fetches and what installs are steps of their own. One that fetches runs no script of a package, and
writes to the lists of its own kind of chain and to an empty directory; what it fetched is held against its
hash before it is kept. One that installs runs such scripts as root: it sees just the archives that it
installs, and can write to none.
"""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote

from avabuild.common.errors import AvabuildError, ResolveError, StepError, UnavailableError, WheelError
from avabuild.common.value import digest_of
from avabuild.engine.context import Context
from avabuild.engine.exec.repositories import SOURCES, explained, given_files, refuse_absent, script
from avabuild.engine.exec.repositories import binds as repository_binds
from avabuild.engine.exec.stack import GIVEN, Chain, given
from avabuild.engine.left import opened_left
from avabuild.layer.facts import is_debian
from avabuild.layer.keys import Stack
from avabuild.plugins.kinds import Repository
from avabuild.resolve.lock import Deb
from avabuild.store import Store
from avabuild.store.store import file_digest
from avabuild.store.whole import make_directory, open_up
from avabuild.tools.argv import Bind
from avabuild.tools.container import Container

ARCHIVES = "/run/avabuild-debs"
PLACE = "/run/avabuild-apt"  # of the package lists and what APT makes of them
FRESH = 3600  # seconds for which package lists are taken as they are
UPDATE = "apt-get update -qq -o APT::Update::Error-Mode=any"
# What is installed by file must not depend on what else the lists have.
ALONE = f"-o Dir::State::lists={PLACE}/none/ -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache="
_URI = re.compile(
    r"^'(?P<uri>[^']*)' (?P<file>\S+\.deb) (?P<size>\d+) SHA256:(?P<sha256>[0-9a-f]{64})\s*$", re.MULTILINE
)
_DEB = re.compile(r"(?P<name>[a-z0-9][a-z0-9+.-]+)_(?P<version>[A-Za-z0-9.+:~-]+)_(?P<arch>[a-z0-9-]+)\.deb")
_DOWN = ("Temporary failure", "Could not resolve", "Could not connect", "Connection timed out",
         "Failed to fetch", "Connection refused", "Network is unreachable", "Unable to connect")  # fmt: skip


class UnknownPackageError(ResolveError):
    """APT has looked into all lists, and they have no package of a name."""


class Lists:
    """Package lists, what APT made of them, and when they were fetched, in a directory."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._mark = self.path / "fetched"

    def make(self) -> Lists:
        """Have the directories there that APT expects; return the lists."""
        for part in ("lists/partial", "cache", "none/partial", "archives/partial"):
            (self.path / part).mkdir(parents=True, exist_ok=True)
        return self

    @classmethod
    def kept(cls, store: Store, stack: Stack, repositories: Sequence[Repository] = ()) -> Lists:
        """Return the lists that stacks of the same origins have with `repositories`, kept in the store."""
        name = _short(stack.base, 16)
        if stack.origins != stack.base:
            name += f"-on-{_short(stack.origins, 16)}"
        if repositories:
            name += "-" + _short(digest_of([one.model_dump() for one in repositories]), 8)
        return cls(store.root / "apt-lists" / name)

    @property
    def fetched(self) -> int:
        """When they were fetched, in nanoseconds since the epoch; 0 when that is too long ago, or never."""
        try:
            when = self._mark.lstat().st_mtime_ns
        except FileNotFoundError:
            return 0
        return when if time.time_ns() - when < FRESH * 10**9 else 0

    def keep(self) -> None:
        """Remember that they were fetched now."""
        self.forget()  # what the step may have left there
        self._mark.touch()

    def forget(self) -> None:
        """Have them fetched anew."""
        self._mark.unlink(missing_ok=True)


def kept_lists(store: Store, base: str, repositories: Sequence[Repository] = ()) -> tuple[Path, ...]:
    """Return the lists of packages that the base with digest `base` has, with those of `repositories`."""
    name = _short(base, 16)
    if repositories:
        name += "-" + _short(digest_of([one.model_dump() for one in repositories]), 8)
    found = sorted((store.root / "apt-lists" / name).glob("lists/*_Packages"))
    return tuple(path for path in found if path.is_file() and not path.is_symlink())


def _short(digest: str, length: int) -> str:
    return digest.removeprefix("sha256:")[:length]


def forget_lists(store: Store, base: str) -> None:
    """Have the package lists of the base fetched anew, those of other repositories too."""
    for mark in (store.root / "apt-lists").glob(f"{base.removeprefix('sha256:')[:16]}*/fetched"):
        mark.unlink(missing_ok=True)


def fetch_debs(
    chain: Chain,
    container: Container,
    lists: Lists,
    missing: Sequence[tuple[Deb, str]],
    repositories: Sequence[Repository] = (),
) -> None:
    """Have the archives of `missing`, each with its address, where archives are, as their hashes say.

    Raises:
        UnavailableError: a server does not answer. WheelError: an archive is not what the index says.
    """
    if not missing:
        return
    with _place(chain.context) as fetched:
        ask_apt(chain, container, _fetch_script(missing), lists, fetched, repositories)
        keep_debs(chain.context.store, fetched, [deb for deb, _ in missing])


def keep_debs(store: Store, fetched: Path, debs: Sequence[Deb]) -> None:
    """Move the archives of `debs` that a step left in `fetched` to where archives are, by their hashes."""
    for deb in debs:
        path, name = fetched / file_name(deb), file_name(deb)
        if _hash_of_file(path) != deb.sha256:
            hint = "nothing of it was kept; build again"
            raise WheelError(f"{name} differs from its hash in the index", hint=hint)
        open_up(path, archives(store))
        path.replace(archives(store) / name)


def _hash_of_file(path: Path) -> str:
    """Return the sha256 of a plain file that a step left; empty for what may lead anywhere."""
    file = opened_left(path)
    if file is None:
        return ""
    with file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def ask_apt(
    chain: Chain,
    container: Container,
    shell: str,
    lists: Lists,
    fetched: Path,
    repositories: Sequence[Repository] = (),
) -> str:
    """Run a shell text that has APT look into `lists`, renew or fetch; return what it printed.

    Archives come to `fetched`, an empty directory. `repositories` are seen beside the distribution's own.
    """
    (fetched / "partial").mkdir(exist_ok=True)
    binds = [
        Bind(source=str(lists.make().path), target=PLACE, writable=True),
        Bind(source=str(fetched), target=ARCHIVES, writable=True),
    ]
    return _run_apt(chain, container, shell, binds, lists=True, repositories=repositories)


def install_with_apt(chain: Chain, container: Container, shell: str, debs: Sequence[Deb]) -> None:
    """Run a shell text that installs `debs`, the only archives that it and their scripts see."""
    store = chain.context.store
    with _place(chain.context) as own, _place(chain.context) as seen:
        Lists(own).make()
        for deb in debs:
            _give(archives(store) / file_name(deb), seen / file_name(deb))
        binds = [Bind(source=str(own), target=PLACE, writable=True), Bind(source=str(seen), target=ARCHIVES)]
        _run_apt(chain, container, shell, binds, lists=False)


def run_apt(chain: Chain, container: Container, shell: str, binds: Sequence[Bind]) -> None:
    """Run a shell text that uses APT with lists of its own, wherever it wants them."""
    with _place(chain.context) as own:
        Lists(own).make()
        everything = [*binds, Bind(source=str(own), target=PLACE, writable=True)]
        _run_apt(chain, container, shell, everything, lists=False)


@contextmanager
def private_lists(context: Context) -> Iterator[Lists]:
    """Lists that are fetched for one purpose and kept for none."""
    with _place(context) as place:
        yield Lists(place).make()


@contextmanager
def fetching(context: Context) -> Iterator[Path]:
    """An empty directory for what APT fetches."""
    with _place(context) as place:
        yield place


@contextmanager
def _place(context: Context) -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="apt-", dir=context.scratch.path))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def _give(source: Path, target: Path) -> None:
    """Have the file `source` at `target` too, to be mounted read-only: another name of it where possible."""
    try:
        os.link(source, target)
    except OSError:  # another member's file, of a group that shares the store
        shutil.copyfile(source, target)


def _run_apt(
    chain: Chain,
    container: Container,
    shell: str,
    binds: Sequence[Bind],
    *,
    lists: bool,
    repositories: Sequence[Repository] = (),
) -> str:
    context = chain.context
    mirror = context.host.mirror if is_debian(chain.target.distribution) else None
    refuse_absent(repositories)
    parts = f'"{SOURCES}"' if repositories else '"-"' if mirror and lists else ""
    options = f"Dir::Etc::SourceParts {parts};\n" if parts else ""
    files: dict[str, str | bytes | Path] = dict(given_files(repositories, mirror))
    if mirror and lists:
        files["sources.list"] = f"deb {mirror} {chain.target.distribution} main\n"
        options += f'Dir::Etc::SourceList "{GIVEN}/sources.list";\n'
    files["apt.conf"] = configuration(lists=lists, ca=context.host.ca_bundle is not None) + options
    env = {
        "APT_CONFIG": f"{GIVEN}/apt.conf",
        "DEBIAN_FRONTEND": "noninteractive",
        "LC_ALL": "C.UTF-8",
        "SOURCE_DATE_EPOCH": "315532800",
    }
    all_binds = [*binds, *repository_binds(repositories)]
    own = context.host.network_environment(f"{GIVEN}/ca.pem")
    with given(context, script(repositories, mirror) + shell, env, files, own) as (command, mounts):
        try:
            return container.run(command, [*mounts, *all_binds], place="apt", set_uid=True)
        except StepError as error:
            known = explained(error.tail, repositories, chain.target.distribution)
            raise known or _explained(error) from error


def _fetch_script(missing: Sequence[tuple[Deb, str]]) -> str:
    """Return what fetches the archives of `missing` from their addresses into ARCHIVES.

    APT's own helper does it, which does not work out again what is needed. It makes links to what is on no
    web server: that, and what the helper fails at, is APT's to fetch.
    """
    files = [file_name(deb) for deb, _ in missing]
    wanted = shlex.join(pin(deb) for deb, _ in missing)
    by_apt = f"cd {ARCHIVES}\nrm -rf partial/*\napt-get download -qq {wanted} >&2\n"
    if not all(uri.startswith(("http://", "https://")) for _, uri in missing):
        return by_apt
    asked = shlex.join(
        word
        for (deb, uri), file in zip(missing, files, strict=True)
        for word in (uri, f"{ARCHIVES}/partial/{file}", f"SHA256:{deb.sha256}")
    )
    moved = "".join(f"    mv partial/{shlex.quote(file)} .\n" for file in files)
    return (
        f"cd {ARCHIVES}\nif /usr/lib/apt/apt-helper download-file {asked} >/dev/null; then\n{moved}"
        f"else\n{by_apt}fi\n"
    )


def configuration(*, lists: bool, ca: bool) -> str:
    """Return APT's settings for a build; `root` as its sandbox user needs no more ids than one.

    Where there are `lists`, archives are fetched; else APT's own directory of them is one to throw away.
    """
    fetched = ARCHIVES if lists else f"{PLACE}/archives"
    return (
        'APT::Sandbox::User "root";\nAPT::Install-Recommends "false";\nAPT::Get::Assume-Yes "true";\n'
        'APT::Keep-Downloaded-Packages "true";\nAcquire::Languages "none";\nAcquire::Retries "3";\n'
        'Acquire::ForceHash "SHA256";\nDpkg::Use-Pty "false";\n'
        'Acquire::CompressionTypes::Order { "gz"; };\n'  # a third bigger than xz, read in a third of the time
        f'Dir::Cache::Archives "{fetched}/";\nDir::State::lists "{PLACE}/{"lists" if lists else "none"}/";\n'
        + "".join(f'Dir::Cache::{n} "{PLACE}/cache/{n}.bin";\n' for n in ("pkgcache", "srcpkgcache") if lists)
        + (f'Acquire::https::CAInfo "{GIVEN}/ca.pem";\n' if ca else "")
    )


def archives(store: Store) -> Path:
    """Return the directory of the packages' archives."""
    path = store.root / "debs"
    make_directory(path / "partial")
    return path


def file_name(deb: Deb) -> str:
    """Return the name that apt gives the file in its archives: the version's colon is escaped."""
    return f"{deb.name}_{deb.version.replace(':', '%3a')}_{deb.arch}.deb"


def pin(deb: Deb) -> str:
    """Return the words by which APT takes this very package."""
    return f"{deb.name}={deb.version}" if deb.arch == "all" else f"{deb.name}:{deb.arch}={deb.version}"


def named_debs(printed: str) -> tuple[Deb, ...]:
    """Return the packages that `apt-get --print-uris` named, by name."""
    return tuple(deb for deb, _ in addressed_debs(printed))


def addressed_debs(printed: str) -> tuple[tuple[Deb, str], ...]:
    """Return the packages that `apt-get --print-uris` named, by name, each with its address.

    Raises:
        ResolveError: a name leads elsewhere: it is the base's program that printed it.
    """
    found = ((_deb(one), one["uri"]) for one in _URI.finditer(printed))
    return tuple(sorted(found, key=lambda pair: pair[0].name))


def _deb(found: re.Match[str]) -> Deb:
    name = unquote(found["file"])
    parts = _DEB.fullmatch(name)
    if not parts:
        raise ResolveError(f"APT names {name!r}, which is not the name of a package's file")
    return Deb(**parts.groupdict(), sha256=found["sha256"], size=int(found["size"]))


def is_here(store: Store, deb: Deb) -> bool:
    """Whether the archives have the package; another repository's of its name and version is removed.

    One that the shared store has comes to them.
    """
    path, digest = archives(store) / file_name(deb), f"sha256:{deb.sha256}"
    if path.exists() and file_digest(store, path) != digest:
        path.unlink()
    return store.take(f"debs/{path.name}", digest, deb.size or None) is not None


def _explained(error: StepError) -> AvabuildError:
    unknown = re.findall(r"E: (Unable to locate package .*|Package '.*' has no installation candidate|Version '.*' for '.*' was not found)", error.tail)  # fmt: skip  # noqa: E501
    if unknown:
        return UnknownPackageError(
            "; ".join(dict.fromkeys(unknown)), hint="check the names under packages.apt"
        )
    if "unmet dependencies" in error.tail:
        return ResolveError(
            f"apt can't satisfy the packages together:\n{error.tail}", hint=f"full log: {error.log}"
        )
    if any(words in error.tail for words in _DOWN):
        return UnavailableError(
            f"the Debian mirror does not answer:\n{error.tail}",
            hint="try again later, or name another with AVABUILD_DEBIAN_MIRROR",
        )
    return error
