"""Apt layers: resolved, downloaded and installed in one run of a working container; installed by file.

Whether the versions come from the lists of now or from a lock, the same files are installed by the same
commands, so the layer is the same.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from contextlib import ExitStack

from avabuild import changes
from avabuild.build.apt_step import (
    ALONE,
    ARCHIVES,
    PLACE,
    UPDATE,
    Lists,
    file_name,
    is_here,
    named_debs,
    run_apt,
)
from avabuild.build.chain import Chain
from avabuild.chain import apt_layer, locked_debs
from avabuild.container import Container
from avabuild.errors import AvabuildError, LockError, ResolveError
from avabuild.layers import Apt
from avabuild.lock import AptLock, Deb
from avabuild.value import digest_of


def add_apt(
    chain: Chain, name: str, apt: Apt, locks: Sequence[AptLock], *, locked: bool
) -> tuple[AptLock, bool]:
    """Put the layer of `apt` on the chain; return what it resolved to and whether it was made now.

    Raises:
        ResolveError: no such package, or what a lock pins is on no mirror any more.
        UnavailableError: the mirror does not answer.
        LockError: `locked`, and the lock does not say what these packages are here.
    """
    debs = locked_debs(locks, chain.digest, apt.packages, _identities(apt))
    if debs is None and locked:
        words = " ".join(apt.packages)
        raise LockError(f"{name}: the lock has no versions for {words}", hint="run without --locked")
    if lock := _found(chain, name, apt, debs):
        return lock, False
    with chain.context.store.lock("apt", "archives"), ExitStack() as stack:
        debs = _recalled(chain, apt) if debs is None else debs
        if lock := _found(chain, name, apt, debs):
            return lock, False
        container = stack.enter_context(chain.container(name))
        with chain.context.report.step(name, "apt") as said:
            installed = debs is None
            if debs is None:
                debs = _answered(chain, container, apt, install=True)
            lock = _lock(chain, apt, debs)
            if not debs:
                return lock, False
            wanted = debs

            def install() -> None:
                if not installed:
                    install_debs(chain, container, apt, wanted)

            layer = apt_layer(name, chain.digest, apt.packages, debs, chain.compression, _identities(apt))
            blob, made = chain.make(layer, container, install, (*changes.ENGINE, *changes.APT))
            said.append(f"{len(debs)} packages" if made else "cached")
        chain.add(layer, blob)
        return lock, made


def resolve_debs(chain: Chain, container: Container, apt: Apt) -> tuple[Deb, ...]:
    """Return what the packages bring now, or brought a build with the same lists."""
    return _recalled(chain, apt) or _answered(chain, container, apt, install=False)


def install_debs(chain: Chain, container: Container, apt: Apt, debs: Sequence[Deb]) -> None:
    """Install exactly `debs`, which `apt` resolved to; what is not in the archives is fetched first."""
    store = chain.context.store
    missing = [deb for deb in debs if not is_here(store, deb)]
    if missing:
        pins = shlex.join(f"{deb.name}={deb.version}" for deb in missing)
        shell = f"{UPDATE}\napt-get install -qq --download-only {pins}\n"
        run_apt(chain, container, shell, lists=True, repositories=apt.repositories)
    for deb in debs:
        if not is_here(store, deb):
            raise ResolveError(
                f"no mirror has {deb.name} {deb.version} any more", hint="take today's with --upgrade"
            )
    names = "".join(f"{name}\n" for name in sorted(map(file_name, debs)))
    (Lists(store, chain.base).path / "files").write_text(names)
    run_apt(chain, container, _install_script(apt.packages), lists=False)


def _identities(apt: Apt) -> tuple[str, ...]:
    return tuple(sorted(one.identity for one in apt.repositories))


def _lock(chain: Chain, apt: Apt, debs: tuple[Deb, ...]) -> AptLock:
    return AptLock(base=chain.digest, packages=apt.packages, debs=debs, repositories=_identities(apt))


def _found(chain: Chain, name: str, apt: Apt, debs: tuple[Deb, ...] | None) -> AptLock | None:
    """Return what the layer resolved to when there is nothing to make, after it was put on the chain."""
    if debs is None:
        return None
    lock = _lock(chain, apt, debs)
    layer = apt_layer(name, chain.digest, apt.packages, debs, chain.compression, lock.repositories)
    blob = chain.found(layer)
    if debs and not blob:
        return None
    if blob:
        chain.add(layer, blob)
    return lock


def _answered(chain: Chain, container: Container, apt: Apt, *, install: bool) -> tuple[Deb, ...]:
    """Ask APT what the packages bring, and have it installed too; lists that are fresh are asked first."""
    lists = Lists(chain.context.store, chain.base, apt.repositories)
    debs = None
    lists.begin()
    if lists.fetched:
        try:
            debs = _asked(chain, container, apt, "", install=install)
        except AvabuildError:
            if lists.installing:
                raise
            lists.forget()  # a package may be newer than the lists, or its file be gone
    if debs is None:
        debs = _asked(chain, container, apt, UPDATE, install=install)
        lists.keep()
    answer = {"lists": lists.fetched, "debs": [deb.model_dump() for deb in debs]}
    chain.context.store.record("apt", _question(chain, apt), answer)
    return debs


def _asked(chain: Chain, container: Container, apt: Apt, update: str, *, install: bool) -> tuple[Deb, ...]:
    shell = _resolve_script(apt.packages, update) + (_install_script(apt.packages) if install else "")
    return named_debs(run_apt(chain, container, shell, lists=True, repositories=apt.repositories))


def _recalled(chain: Chain, apt: Apt) -> tuple[Deb, ...] | None:
    """Return what another build was answered to the same question from the lists that are still fresh."""
    known = chain.context.store.recall("apt", _question(chain, apt))
    fetched = Lists(chain.context.store, chain.base, apt.repositories).fetched
    if not known or not fetched or known["lists"] != fetched:
        return None
    return tuple(Deb.model_validate(deb) for deb in known["debs"])


def _question(chain: Chain, apt: Apt) -> str:
    return digest_of([chain.digest, sorted(apt.packages), [one.model_dump() for one in apt.repositories]])


def _resolve_script(packages: Sequence[str], update: str) -> str:
    """Return what prints what `packages` bring, downloads it, and leaves the files' names, sorted, in PLACE.

    APT names no address of what is in the archives already, so it is asked where nothing is. What is missing
    is fetched by APT's own helper, which does not work out again what is needed. It makes links to what is on
    no web server: that, and what the helper fails at, is APT's to fetch.
    """
    asked = shlex.join(packages)
    uri = r"s/^'\([^']*\)' \([^ ]*\.deb\) [0-9]* SHA256:\([0-9a-f]*\).*/\3 \2 \1/p"
    return f"""
{update}
apt-get install -qq --print-uris -o Dir::Cache::Archives={PLACE}/none/ {asked} >{PLACE}/uris
sed -n "{uri}" {PLACE}/uris >{PLACE}/sums
helper=/usr/lib/apt/apt-helper
missing=
set --
cd {ARCHIVES}
while read -r sum file uri; do
    if ! {{ [ -e "$file" ] && echo "$sum  $file" | sha256sum --status --check; }}; then
        rm -f "$file" "partial/$file"
        missing="$missing $file"
        set -- "$@" "$uri" "{ARCHIVES}/partial/$file" "SHA256:$sum"
        case "$uri" in http://* | https://*) ;; *) helper=false ;; esac
    fi
done <{PLACE}/sums
if [ -n "$missing" ]; then
    if $helper download-file "$@" >/dev/null; then
        for file in $missing; do mv "partial/$file" "$file"; done
    else
        apt-get install -qq --download-only {asked} >&2
    fi
fi
cd /
sed 's/^[0-9a-f]* //; s/ .*//' {PLACE}/sums | LC_ALL=C sort >{PLACE}/files
cat {PLACE}/uris
"""


def _install_script(packages: Sequence[str]) -> str:
    """Return what installs the archives that PLACE names; those that nobody asked for are marked so."""
    names = " ".join(package.split("=")[0].split("/")[0] for package in packages)
    return f"""
: >{PLACE}/installing
files= brought=
while read -r file; do
    files="$files {ARCHIVES}/$file"
    case {shlex.quote(f" {names} ")} in
        *" ${{file%%_*}} "*) ;;
        *) brought="$brought ${{file%%_*}}" ;;
    esac
done <{PLACE}/files
[ -z "$files" ] || apt-get install -qq {ALONE} $files >&2
[ -z "$brought" ] || apt-mark {ALONE} auto $brought >&2
"""
