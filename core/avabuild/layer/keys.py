"""Keys of exec layers: what a command in a container depends on. Pure.

An apt layer depends on the base and on the exec layers below it, not on the wheels: they live under a
prefix of their own, so neither sees the other. A run step on top sees, and depends on, everything.
"""

from __future__ import annotations

from collections.abc import Sequence

from avabuild.common.value import Value, digest_of
from avabuild.layer.blob import Compression
from avabuild.plugins.kinds import Apt, Run
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


class Stack:
    """What the keys of exec layers depend on: all that is below the next one, from the base upwards.

    Forecast, build and lock put the same layers on one, and so come to the same keys.

    Attributes:
        base: the base's digest.
        digest: of everything below the next layer: the `below` of its key.
        origins: a digest of all that can have brought what is not of the distribution's own signed packages:
            the base, run steps, packages of other repositories. Stacks that have it in common can trust
            what is learnt in one another's containers.
        compression: of the layers.
        keep: patterns of keys and ids that steps make and that their layers are to hold.
        seen: the image's settings that steps see; None before, where they see the base's.
    """

    def __init__(self, base: str, compression: Compression, keep: Sequence[str] = ()) -> None:
        self.base = self.digest = self.origins = base
        self.compression = compression
        self.keep = tuple(keep)
        self.seen: Settings | None = None

    def fork(self) -> Stack:
        """Return a stack that stands where this one does and goes its own way from here."""
        other = Stack(self.base, self.compression, self.keep)
        other.digest, other.origins, other.seen = self.digest, self.origins, self.seen
        return other

    def put(self, key: str, *, own: bool = False) -> None:
        """Put the layer of `key` on top; `own` says that all of it is of the distribution's own packages."""
        self.digest = chain(self.digest, key)
        self.origins = self.origins if own else chain(self.origins, key)

    def join(self, keys: Sequence[str]) -> None:
        """Put layers on top that were made beside those of the stack: wheels, and what is compiled."""
        self.digest = digest_of([self.digest, *keys])

    def run(self, name: str, run: Run, inputs: Sequence[tuple[str, str]]) -> ExecLayer:
        """Return the layer of a run step; `inputs` are as of `run_layer`."""
        return run_layer(name, self.digest, run, inputs, self.compression, self.seen, self.keep)

    def apt(self, name: str, apt: Apt, debs: Sequence[Deb]) -> ExecLayer:
        """Return the layer of packages that resolved to `debs`."""
        repositories = apt.identities
        return apt_layer(name, self.digest, apt.packages, debs, self.compression, repositories, self.keep)

    def locked(self, apt: Apt, locks: Sequence[AptLock]) -> tuple[Deb, ...] | None:
        """Return what the packages resolve to here by the lock; None when it does not say."""
        return locked_debs(locks, self.digest, apt.packages, apt.identities)


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
