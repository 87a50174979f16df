"""Apt layers: resolve in a working container, download into the cache, verify, install by file."""

from __future__ import annotations

import re
import shlex
import time
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import unquote

from avabuild import changes
from avabuild.build.chain import GIVEN, Chain, given
from avabuild.build.repositories import SOURCES, explained, given_files, refuse_absent, script
from avabuild.build.repositories import binds as repository_binds
from avabuild.chain import apt_layer, locked_debs
from avabuild.commands import Bind
from avabuild.errors import AvabuildError, LockError, ResolveError, StepError, UnavailableError, WheelError
from avabuild.layers import Apt, Repository
from avabuild.lock import AptLock, Deb
from avabuild.store import Store
from avabuild.store.hashing import file_digest
from avabuild.value import digest_of

ARCHIVES = "/var/cache/apt/archives"
LISTS = "/var/lib/apt/lists"
FRESH = 600  # seconds for which package lists are taken as they are
UPDATE = "apt-get update -qq -o APT::Update::Error-Mode=any"
_URI = re.compile(
    r"^'[^']*' (?P<file>\S+\.deb) (?P<size>\d+) SHA256:(?P<sha256>[0-9a-f]{64})\s*$", re.MULTILINE
)
_DOWN = ("Temporary failure", "Could not resolve", "Could not connect", "Connection timed out",
         "Failed to fetch", "Connection refused", "Network is unreachable", "Unable to connect")  # fmt: skip


def add_apt(
    chain: Chain, name: str, apt: Apt, locks: Sequence[AptLock], *, locked: bool
) -> tuple[AptLock, bool]:
    """Put the layer of `apt` on the chain; return what it resolved to and whether it was made now.

    Raises:
        ResolveError: no such package, or what a lock pins is on no mirror any more.
        UnavailableError: the mirror does not answer.
        LockError: `locked`, and the lock does not say what these packages are here.
    """
    below, packages = chain.digest, apt.packages
    known = tuple(sorted(one.identity for one in apt.repositories))
    debs = locked_debs(locks, below, packages, known)
    if debs is None and locked:
        raise LockError(
            f"{name}: the lock has no versions for {' '.join(packages)}", hint="run without --locked"
        )
    if debs is not None:
        layer = apt_layer(name, below, packages, debs, chain.compression, known)
        if blob := chain.context.store.layer(layer.key):
            chain.add(layer, blob)
            return AptLock(base=below, packages=tuple(packages), debs=debs, repositories=known), False
    with chain.context.store.lock("apt", "archives"), chain.container(name) as container:
        if debs is None:
            with chain.context.report.step(f"{name}: resolve", "apt"):
                debs = resolve_debs(chain, container, apt)
        lock = AptLock(base=below, packages=tuple(packages), debs=debs, repositories=known)
        if not debs:
            return lock, False
        layer = apt_layer(name, below, packages, debs, chain.compression, known)
        with chain.context.report.step(name, "apt") as said:
            blob, made = chain.make(
                layer,
                container,
                lambda: install_debs(chain, container, apt, debs),
                (*changes.ENGINE, *changes.APT),
            )
            said.append(f"{len(debs)} packages" if made else "cached")
        chain.add(layer, blob)
        return lock, made


def resolve_debs(chain: Chain, container: str, apt: Apt) -> tuple[Deb, ...]:
    """Return what the packages bring, downloaded; lists that were fetched minutes ago are asked first."""
    lists = _lists(chain, apt.repositories)
    mark = lists.with_name(f"{lists.name}.fetched")
    if mark.exists() and time.time() - mark.stat().st_mtime < FRESH:
        try:
            return _resolve_with(chain, container, apt, "")
        except AvabuildError:
            mark.unlink(missing_ok=True)  # a package may be newer than the lists, or its file be gone
    debs = _resolve_with(chain, container, apt, UPDATE)
    mark.touch()
    return debs


def forget_lists(store: Store, base: str) -> None:
    """Have the package lists of the base fetched anew, those of other repositories too."""
    for mark in (store.root / "apt-lists").glob(f"{base.removeprefix('sha256:')[:16]}*.fetched"):
        mark.unlink(missing_ok=True)


def _resolve_with(chain: Chain, container: str, apt: Apt, update: str) -> tuple[Deb, ...]:
    asked = shlex.join(apt.packages)
    shell = f"""
mkdir -p {GIVEN}-archives/partial
{update}
apt-get install -qq --print-uris -o Dir::Cache::Archives={GIVEN}-archives/ {asked}
apt-get install -qq --download-only {asked} >&2
"""
    printed = run_apt(chain, container, shell, lists=True, repositories=apt.repositories)
    return tuple(sorted((_deb(found) for found in _URI.finditer(printed)), key=lambda deb: deb.name))


def _deb(found: re.Match[str]) -> Deb:
    name, version, arch = unquote(found["file"].removesuffix(".deb")).split("_")
    return Deb(name=name, version=version, arch=arch, sha256=found["sha256"], size=int(found["size"]))


def _filename(deb: Deb) -> str:
    """The name that apt gives the file in its archives: the version's colon is escaped."""
    return f"{deb.name}_{deb.version.replace(':', '%3a')}_{deb.arch}.deb"


def install_debs(chain: Chain, container: str, apt: Apt, debs: Sequence[Deb]) -> None:
    """Install exactly `debs`, which `apt` resolved to; what is not in the archives is fetched first."""
    store = chain.context.store
    archives = _archives(chain)
    missing = [deb for deb in debs if not _is_here(store, archives, deb)]
    if missing:
        pins = shlex.join(f"{deb.name}={deb.version}" for deb in missing)
        shell = f"{UPDATE}\napt-get install -qq --download-only {pins}\n"
        run_apt(chain, container, shell, lists=True, repositories=apt.repositories)
    for deb in debs:
        path = archives / _filename(deb)
        if not path.exists():
            raise ResolveError(
                f"no mirror has {deb.name} {deb.version} any more", hint="take today's with --upgrade"
            )
        if file_digest(store, path) != f"sha256:{deb.sha256}":
            path.unlink()
            raise WheelError(
                f"{path.name} differs from its hash in the lock", hint="it was removed; build again"
            )
    names = {package.split("=")[0].split("/")[0] for package in apt.packages}
    brought = [deb.name for deb in debs if deb.name not in names]
    files = shlex.join(f"{ARCHIVES}/{_filename(deb)}" for deb in debs)
    shell = f"apt-get install -qq {files}\n"
    if brought:
        shell += f"apt-mark auto {shlex.join(brought)} >/dev/null\n"
    run_apt(chain, container, shell, lists=False)


def _is_here(store: Store, archives: Path, deb: Deb) -> bool:
    """Whether the archives have the package; another repository's of its name and version is removed."""
    path = archives / _filename(deb)
    if path.exists() and file_digest(store, path) != f"sha256:{deb.sha256}":
        path.unlink()
    return path.exists()


def run_apt(
    chain: Chain,
    container: str,
    shell: str,
    *,
    lists: bool,
    repositories: Sequence[Repository] = (),
    binds: Sequence[Bind] = (),
) -> str:
    """Run a shell text that uses APT with the host's settings, the shared archives and maybe the lists.

    `repositories` are seen beside the distribution's own; they need the lists.
    """
    context, mirror = chain.context, chain.context.host.mirror
    refuse_absent(repositories)
    parts = f'"{SOURCES}"' if repositories else '"-"' if mirror and lists else ""
    options = f"Dir::Etc::SourceParts {parts};\n" if parts else ""
    files: dict[str, str | bytes | Path] = dict(given_files(repositories, mirror))
    if mirror and lists:
        files["sources.list"] = f"deb {mirror} {chain.target.distribution} main\n"
        options += f'Dir::Etc::SourceList "{GIVEN}/sources.list";\n'
    files["apt.conf"] = _configuration(ca=context.host.ca_bundle is not None) + options
    shell = script(repositories, mirror) + shell
    env = {
        "APT_CONFIG": f"{GIVEN}/apt.conf",
        "DEBIAN_FRONTEND": "noninteractive",
        "LC_ALL": "C.UTF-8",
        "SOURCE_DATE_EPOCH": "315532800",
    }
    binds = [*binds, Bind(source=str(_archives(chain)), target=ARCHIVES, writable=True)]
    if lists:
        binds.append(Bind(source=str(_lists(chain, repositories)), target=LISTS, writable=True))
    binds += repository_binds(repositories)
    with given(context, shell, env, files) as (command, mounts):
        try:
            return context.tools.run(container, command, context.isolation, [*mounts, *binds], place="apt")
        except StepError as error:
            known = explained(error.tail, repositories, chain.target.distribution)
            raise known or _explained(error) from error


def downloaded(store: Store, printed: str) -> Path:
    """Return the archive of the one package that `--print-uris` named, held against its hash.

    Raises:
        ResolveError: none was named. WheelError: it is not what was named.
    """
    deb = next((_deb(found) for found in _URI.finditer(printed)), None)
    if deb is None:
        raise ResolveError("the package is on no mirror")
    path = store.root / "debs" / _filename(deb)
    if not path.exists() or file_digest(store, path) != f"sha256:{deb.sha256}":
        path.unlink(missing_ok=True)
        raise WheelError(
            f"{path.name} differs from its hash in the index", hint="it was removed; build again"
        )
    return path


def _configuration(*, ca: bool) -> str:
    """APT's settings for a build; `root` as its sandbox user needs no more ids than one."""
    text = (
        'APT::Sandbox::User "root";\nAPT::Install-Recommends "false";\nAPT::Get::Assume-Yes "true";\n'
        'APT::Keep-Downloaded-Packages "true";\nAcquire::Languages "none";\nAcquire::Retries "3";\n'
        'Acquire::ForceHash "SHA256";\nDpkg::Use-Pty "false";\n'
    )
    return text + (f'Acquire::https::CAInfo "{GIVEN}/ca.pem";\n' if ca else "")


def _archives(chain: Chain) -> Path:
    path = chain.context.store.root / "debs"
    path.mkdir(exist_ok=True)
    return path


def _lists(chain: Chain, repositories: Sequence[Repository]) -> Path:
    name = chain.base.digest.removeprefix("sha256:")[:16]
    if repositories:
        name += "-" + digest_of([one.model_dump() for one in repositories]).removeprefix("sha256:")[:8]
    path = chain.context.store.root / "apt-lists" / name
    path.mkdir(parents=True, exist_ok=True)
    return path


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
