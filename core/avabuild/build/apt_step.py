"""Steps that use APT: with the host's settings, and archives and package lists that are kept for later."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import unquote

from avabuild.base import Base, is_debian
from avabuild.build.chain import GIVEN, Chain, given
from avabuild.build.repositories import SOURCES, explained, given_files, refuse_absent, script
from avabuild.build.repositories import binds as repository_binds
from avabuild.commands import Bind
from avabuild.container import Container
from avabuild.errors import AvabuildError, ResolveError, StepError, UnavailableError, WheelError
from avabuild.layers import Repository
from avabuild.lock import Deb
from avabuild.store import Store
from avabuild.store.hashing import file_digest
from avabuild.store.modes import make_directory
from avabuild.value import digest_of

ARCHIVES = "/run/avabuild-debs"
PLACE = "/run/avabuild-apt"  # of the package lists and what APT makes of them
FRESH = 3600  # seconds for which package lists are taken as they are
UPDATE = "apt-get update -qq -o APT::Update::Error-Mode=any"
# What is installed by file must not depend on what else the lists have.
ALONE = f"-o Dir::State::lists={PLACE}/none/ -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache="
_URI = re.compile(
    r"^'[^']*' (?P<file>\S+\.deb) (?P<size>\d+) SHA256:(?P<sha256>[0-9a-f]{64})\s*$", re.MULTILINE
)
_DOWN = ("Temporary failure", "Could not resolve", "Could not connect", "Connection timed out",
         "Failed to fetch", "Connection refused", "Network is unreachable", "Unable to connect")  # fmt: skip


class Lists:
    """The package lists that one base has with some repositories, kept between builds in the store."""

    def __init__(self, store: Store, base: Base, repositories: Sequence[Repository] = ()) -> None:
        name = base.digest.removeprefix("sha256:")[:16]
        if repositories:
            name += "-" + digest_of([one.model_dump() for one in repositories]).removeprefix("sha256:")[:8]
        self.path = store.root / "apt-lists" / name
        self._mark = self.path / "fetched"
        for part in ("lists/partial", "cache", "none/partial"):
            (self.path / part).mkdir(parents=True, exist_ok=True)

    @property
    def fetched(self) -> int:
        """When they were fetched, in nanoseconds since the epoch; 0 when that is too long ago, or never."""
        try:
            when = self._mark.stat().st_mtime_ns
        except FileNotFoundError:
            return 0
        return when if time.time_ns() - when < FRESH * 10**9 else 0

    def keep(self) -> None:
        """Remember that they were fetched now."""
        self._mark.touch()

    def forget(self) -> None:
        """Have them fetched anew."""
        self._mark.unlink(missing_ok=True)

    def begin(self) -> None:
        """Forget how far an earlier step came."""
        (self.path / "installing").unlink(missing_ok=True)

    @property
    def installing(self) -> bool:
        """Whether the last step came so far that it installed."""
        return (self.path / "installing").exists()


def forget_lists(store: Store, base: str) -> None:
    """Have the package lists of the base fetched anew, those of other repositories too."""
    for mark in (store.root / "apt-lists").glob(f"{base.removeprefix('sha256:')[:16]}*/fetched"):
        mark.unlink(missing_ok=True)


def run_apt(
    chain: Chain,
    container: Container,
    shell: str,
    *,
    lists: bool,
    repositories: Sequence[Repository] = (),
    binds: Sequence[Bind] = (),
) -> str:
    """Run a shell text that uses APT, with the package lists or with none; return what it printed.

    `repositories` are seen beside the distribution's own; they need the lists.
    """
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
    kept = Lists(context.store, chain.base, repositories)
    shared = [
        Bind(source=str(archives(context.store)), target=ARCHIVES, writable=True),
        Bind(source=str(kept.path), target=PLACE, writable=True),
    ]
    all_binds = [*binds, *shared, *repository_binds(repositories)]
    with given(context, script(repositories, mirror) + shell, env, files) as (command, mounts):
        try:
            return container.run(command, [*mounts, *all_binds], place="apt")
        except StepError as error:
            known = explained(error.tail, repositories, chain.target.distribution)
            raise known or _explained(error) from error


def configuration(*, lists: bool, ca: bool) -> str:
    """Return APT's settings for a build; `root` as its sandbox user needs no more ids than one."""
    return (
        'APT::Sandbox::User "root";\nAPT::Install-Recommends "false";\nAPT::Get::Assume-Yes "true";\n'
        'APT::Keep-Downloaded-Packages "true";\nAcquire::Languages "none";\nAcquire::Retries "3";\n'
        'Acquire::ForceHash "SHA256";\nDpkg::Use-Pty "false";\n'
        'Acquire::CompressionTypes::Order { "gz"; };\n'  # a third bigger than xz, read in a third of the time
        f'Dir::Cache::Archives "{ARCHIVES}/";\nDir::State::lists "{PLACE}/{"lists" if lists else "none"}/";\n'
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


def named_debs(printed: str) -> tuple[Deb, ...]:
    """Return the packages that `apt-get --print-uris` named, by name."""
    return tuple(sorted((_deb(found) for found in _URI.finditer(printed)), key=lambda deb: deb.name))


def _deb(found: re.Match[str]) -> Deb:
    name, version, arch = unquote(found["file"].removesuffix(".deb")).split("_")
    return Deb(name=name, version=version, arch=arch, sha256=found["sha256"], size=int(found["size"]))


def is_here(store: Store, deb: Deb) -> bool:
    """Whether the archives have the package; another repository's of its name and version is removed.

    One that the shared store has comes to them.
    """
    path, digest = archives(store) / file_name(deb), f"sha256:{deb.sha256}"
    if path.exists() and file_digest(store, path) != digest:
        path.unlink()
    return store.take(f"debs/{path.name}", digest, deb.size or None) is not None


def downloaded(store: Store, printed: str) -> Path:
    """Return the archive of the one package that `--print-uris` named, held against its hash.

    Raises:
        ResolveError: none was named. WheelError: it is not what was named.
    """
    deb = next(iter(named_debs(printed)), None)
    if deb is None:
        raise ResolveError("the package is on no mirror")
    if not is_here(store, deb):
        hint = "it was removed; build again"
        raise WheelError(f"{file_name(deb)} differs from its hash in the index", hint=hint)
    return archives(store) / file_name(deb)


def _explained(error: StepError) -> AvabuildError:
    unknown = re.findall(r"E: (Unable to locate package .*|Package '.*' has no installation candidate|Version '.*' for '.*' was not found)", error.tail)  # fmt: skip  # noqa: E501
    if unknown:
        return ResolveError("; ".join(dict.fromkeys(unknown)), hint="check the names under packages.apt")
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
