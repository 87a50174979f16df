"""Keys of exec layers: what a command in a container depends on. Pure.

An apt layer depends on the base and on the exec layers below it, not on the wheels: they live under a
prefix of their own, so neither sees the other. A run step on top sees, and depends on, everything.
"""

from __future__ import annotations

from collections.abc import Sequence

from avabuild.common.value import Value, digest_of
from avabuild.plugins.kinds import Run
from avabuild.resolve.lock import AptLock, Deb
from avabuild.store.oci import Settings

FORMAT = 3


class ExecLayer(Value):
    """One layer made by commands: its name, the named inputs of its key, and the key."""

    name: str
    parts: tuple[tuple[str, str], ...]
    key: str


def apt_layer(
    name: str,
    below: str,
    packages: Sequence[str],
    debs: Sequence[Deb],
    compression: str,
    repositories: Sequence[str] = (),
    keep: Sequence[str] = (),
) -> ExecLayer:
    """Return the layer of `debs`, installed for `packages` on the chain `below`.

    `repositories` are the identities of those beside the distribution's own, `keep` patterns of keys and ids
    that it may hold.
    """
    parts = (
        ("format", str(FORMAT)),
        ("compression", compression),
        ("below", below),
        ("packages", " ".join(sorted(packages))),
        *((("repositories", "; ".join(sorted(repositories))),) if repositories else ()),
        *((("kept secrets", " ".join(sorted(keep))),) if keep else ()),
        *sorted((deb.name, f"{deb.version} {deb.arch} {deb.sha256}") for deb in debs),
    )
    return ExecLayer(name=name, parts=parts, key=digest_of(["apt", parts]))


def run_layer(
    name: str,
    below: str,
    run: Run,
    inputs: Sequence[tuple[str, str]],
    compression: str,
    seen: Settings | None = None,
    keep: Sequence[str] = (),
) -> ExecLayer:
    """Return the layer of one run step on the chain `below`.

    `seen` are the image's settings as the step has them in its environment; None where it has the base's.
    `keep` are patterns of keys and ids that the layer may hold.

    `inputs` are digests of what the step is given besides its text: mounted files by target, secrets by
    name (a digest, never the secret).
    """
    parts = (
        ("format", str(FORMAT)),
        ("compression", compression),
        ("below", below),
        ("shell", run.shell),
        ("env", digest_of(run.env)),
        *((("image's environment", digest_of(seen.surroundings.model_dump())),) if seen else ()),
        ("mounts", digest_of(sorted((mount.target, mount.writable) for mount in run.mounts))),
        *((("kept secrets", " ".join(sorted(keep))),) if keep else ()),
        *((("network", run.network),) if run.network != "host" else ()),
        *((("privileges", " ".join(sorted(set(run.privileges)))),) if run.privileges else ()),
        *sorted(inputs),
    )
    return ExecLayer(name=name, parts=parts, key=digest_of(["run", parts]))


FLAT = frozenset({"single", "none"})  # modes in which layers will do whose files are all root's


def flat(key: str) -> str:
    """Return the key of the layer `key` as a user with one id makes it: every file is root's.

    Such a layer has a key of its own, so that nobody takes it for the real one; what stands on it is keyed
    as if it were, so that a lock serves every user.
    """
    return digest_of([key, "owned by root"])


def chain(below: str, key: str) -> str:
    """Return the chain's state after the layer `key`: what the next one stands on."""
    return digest_of([below, key])


def interpreters_of(below: str, base: str, repositories: Sequence[str], *, bootstrapped: bool) -> str:
    """Return what tells an image's interpreter from others that claim its version.

    It is empty for a distribution's own interpreter on a base that avabuild bootstrapped: all its bytes are
    of signed packages, which its version tells. Any other is what the chain `below` (the base, then run
    steps) and other `repositories` made of it.
    """
    if bootstrapped and below == base and not repositories:
        return ""
    return digest_of(["interpreter", below, sorted(repositories)])


def locked_debs(
    locks: Sequence[AptLock], below: str, packages: Sequence[str], repositories: Sequence[str] = ()
) -> tuple[Deb, ...] | None:
    """Return what `packages` on `below` resolved to, or None when the lock does not say."""
    wanted = sorted(packages), sorted(repositories)
    for lock in locks:
        if lock.base == below and (sorted(lock.packages), sorted(lock.repositories)) == wanted:
            return lock.debs
    return None


def changed_parts(before: Sequence[Sequence[str]], now: Sequence[tuple[str, str]]) -> tuple[str, ...]:
    """Return, in words, which named inputs differ between two keys: the reason of a rebuild."""
    old, new = {part[0]: part[1] for part in before}, dict(now)
    words = [f"{name} changed" for name in new if name in old and old[name] != new[name]]
    words += [f"{name} added" for name in new if name not in old]
    words += [f"{name} removed" for name in old if name not in new]
    return tuple(words)
