"""Apt layers: resolved, fetched and installed in a working container, by a step each; installed by file.

Whether the versions come from the lists of now or from a lock, the same files are installed by the same
commands, so the layer is the same.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from contextlib import ExitStack

from avabuild.common.errors import AvabuildError, LockError, ResolveError
from avabuild.common.value import digest_of
from avabuild.engine.exec.apt_run import (
    ALONE,
    ARCHIVES,
    UPDATE,
    Lists,
    addressed_debs,
    ask_apt,
    fetch_debs,
    fetching,
    file_name,
    install_with_apt,
    is_here,
    pin,
)
from avabuild.engine.exec.stack import Chain
from avabuild.layer import diff
from avabuild.layer.keys import Stack
from avabuild.plugins.kinds import Apt
from avabuild.resolve.lock import AptLock, Deb
from avabuild.store import Store
from avabuild.tools.container import Container

_SHOWN = 6


class DroppedError(ResolveError):
    """A mirror has dropped packages of a lock for newer ones."""


def add_apt(
    chain: Chain, name: str, apt: Apt, locks: Sequence[AptLock], *, locked: bool
) -> tuple[AptLock, bool]:
    """Put the layer of `apt` on the chain; return what it resolved to and whether it was made now.

    Raises:
        ResolveError: no such package.
        DroppedError: `locked`, and the mirror has other versions now; else those are used, with a warning.
        UnavailableError: the mirror does not answer.
        LockError: `locked`, and the lock does not say what these packages are here.
    """
    debs = pinned = chain.stack.locked(apt, locks)
    if debs is None and locked:
        words = " ".join(apt.packages)
        raise LockError(f"{name}: the lock has no versions for {words}", hint="run without --locked")
    if lock := _found(chain, name, apt, debs):
        return lock, False
    with chain.context.store.lock("apt", "archives"), ExitStack() as stack:
        debs = recalled_debs(chain.context.store, chain.stack, apt) if debs is None else debs
        if lock := _found(chain, name, apt, debs):
            return lock, False
        container = stack.enter_context(chain.container(name))
        with chain.context.report.step(name, "apt") as said:
            debs = _answered(chain, container, apt) if debs is None else debs
            try:
                lock, made = _install(chain, container, name, apt, debs)
            except DroppedError as error:
                if locked:
                    raise
                if pinned is not None:
                    words = f"{name}: {error.message}; the build uses the current ones"
                    chain.context.report.warn(words, lasting=True)
                debs = _answered(chain, container, apt)
                lock, made = _install(chain, container, name, apt, debs)
            if debs:
                said.append(f"{len(debs)} packages" if made else "cached")
    return lock, made


def _install(
    chain: Chain, container: Container, name: str, apt: Apt, debs: tuple[Deb, ...]
) -> tuple[AptLock, bool]:
    """Put the layer of `debs` on the chain, made in `container` unless it is there; no layer for none."""
    lock = _lock(chain, apt, debs)
    if not debs:
        return lock, False
    layer = chain.stack.apt(name, apt, debs)

    def install() -> None:
        install_debs(chain, container, apt, debs)

    blob, made = chain.make(layer, container, install, (*diff.ENGINE, *diff.APT))
    chain.add(layer, blob, own=not apt.repositories)
    return lock, made


def resolve_debs(chain: Chain, container: Container, apt: Apt) -> tuple[Deb, ...]:
    """Return what the packages bring now, or brought a build with the same lists."""
    return recalled_debs(chain.context.store, chain.stack, apt) or _answered(chain, container, apt)


def install_debs(chain: Chain, container: Container, apt: Apt, debs: Sequence[Deb]) -> None:
    """Install exactly `debs`, which `apt` resolved to; what is not in the archives is fetched first."""
    store = chain.context.store
    missing = [deb for deb in debs if not is_here(store, deb)]
    if missing:
        pins = shlex.join(map(pin, missing))
        shell = f"{UPDATE}\ncd {ARCHIVES}\napt-get download -qq --print-uris {pins}\n"
        lists = Lists.kept(chain.context.store, chain.stack, apt.repositories)
        with fetching(chain.context) as nothing:
            try:
                printed = ask_apt(chain, container, shell, lists, nothing, apt.repositories)
            except ResolveError as error:
                raise _gone(
                    [deb for deb in missing if f"'{deb.name}'" in error.message] or missing
                ) from error
        addresses = {deb.sha256: uri for deb, uri in addressed_debs(printed)}
        if gone := [deb for deb in missing if deb.sha256 not in addresses]:
            raise _gone(gone)
        found = [(deb, addresses[deb.sha256]) for deb in missing]
        fetch_debs(chain, container, lists, found, apt.repositories)
    if absent := [deb for deb in debs if not is_here(store, deb)]:
        raise _gone(absent)
    install_with_apt(chain, container, _install_script(apt.packages, debs), debs)


def _gone(debs: Sequence[Deb]) -> DroppedError:
    """Return the error for packages of the lock that the mirror does not have any more."""
    names = ", ".join(f"{deb.name} {deb.version}" for deb in debs[:_SHOWN])
    more = f" and {len(debs) - _SHOWN} more" if len(debs) > _SHOWN else ""
    return DroppedError(
        f"the lock names packages that the mirror has dropped for newer ones: {names}{more}",
        hint="take today's with --upgrade apt, or name a mirror that keeps old packages with "
        "AVABUILD_DEBIAN_MIRROR; where a cache has the layer, no mirror is asked",
    )


def _lock(chain: Chain, apt: Apt, debs: tuple[Deb, ...]) -> AptLock:
    return AptLock(base=chain.digest, packages=apt.packages, debs=debs, repositories=apt.identities)


def _found(chain: Chain, name: str, apt: Apt, debs: tuple[Deb, ...] | None) -> AptLock | None:
    """Return what the layer resolved to when there is nothing to make, after it was put on the chain."""
    if debs is None:
        return None
    lock = _lock(chain, apt, debs)
    layer = chain.stack.apt(name, apt, debs)
    blob = chain.found(layer)
    if debs and not blob:
        return None
    if blob:
        chain.add(layer, blob, own=not apt.repositories)
    return lock


def _answered(chain: Chain, container: Container, apt: Apt) -> tuple[Deb, ...]:
    """Ask APT what the packages bring, and have it fetched; lists that are fresh are asked first."""
    lists = Lists.kept(chain.context.store, chain.stack, apt.repositories)
    debs = None
    if lists.fetched:
        try:
            debs = _asked(chain, container, apt, lists, "")
        except AvabuildError:
            lists.forget()  # a package may be newer than the lists, or its file be gone
    if debs is None:
        debs = _asked(chain, container, apt, lists, UPDATE)
        lists.keep()
    answer = {"lists": lists.fetched, "debs": [deb.model_dump() for deb in debs]}
    chain.context.store.record("apt", _question(chain.stack, apt), answer)
    return debs


def _asked(chain: Chain, container: Container, apt: Apt, lists: Lists, update: str) -> tuple[Deb, ...]:
    store, asked = chain.context.store, shlex.join(apt.packages)
    shell = f"{update}\napt-get install -qq --print-uris {asked}\n"
    with fetching(chain.context) as nothing:  # APT names no address of what is there already
        printed = ask_apt(chain, container, shell, lists, nothing, apt.repositories)
    found = addressed_debs(printed)
    missing = [(deb, uri) for deb, uri in found if not is_here(store, deb)]
    fetch_debs(chain, container, lists, missing, apt.repositories)
    return tuple(deb for deb, _ in found)


def recalled_debs(store: Store, stack: Stack, apt: Apt) -> tuple[Deb, ...] | None:
    """Return what another build was answered to the same question from the lists that are still fresh."""
    known = store.recall("apt", _question(stack, apt))
    fetched = Lists.kept(store, stack, apt.repositories).fetched
    if not known or not fetched or known["lists"] != fetched:
        return None
    return tuple(Deb.model_validate(deb) for deb in known["debs"])


def _question(stack: Stack, apt: Apt) -> str:
    return digest_of([stack.digest, sorted(apt.packages), [one.model_dump() for one in apt.repositories]])


def _install_script(packages: Sequence[str], debs: Sequence[Deb]) -> str:
    """Return what installs the archives of `debs`; those that nobody asked for are marked so."""
    asked = {package.split("=")[0].split("/")[0] for package in packages}
    files = shlex.join(f"{ARCHIVES}/{name}" for name in sorted(map(file_name, debs)))
    brought = shlex.join(sorted({deb.name for deb in debs} - asked))
    marked = f"apt-mark {ALONE} auto {brought} >&2\n" if brought else ""
    return f"apt-get install -qq {ALONE} {files} >&2\n{marked}"
