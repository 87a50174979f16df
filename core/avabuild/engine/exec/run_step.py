"""Run layers: a recipe's own commands, each in a container on all that is below it."""

from __future__ import annotations

import hmac
import os
import stat
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from avabuild.common.errors import ChangedError, HostError, StepError, StoreError
from avabuild.common.sizes import human
from avabuild.common.value import digest_of
from avabuild.engine.exec.stack import Chain, given
from avabuild.layer import diff
from avabuild.layer.keys import ExecLayer, Stack
from avabuild.plan.plan import Step
from avabuild.plugins.kinds import Mount, Run
from avabuild.store import Store
from avabuild.store.store import disk_errors, file_digest
from avabuild.store.whole import write_whole
from avabuild.tools.argv import Bind
from avabuild.tools.container import kept_words

_SALT = 32  # bytes
_TRIES = 3


WORTH_SAYING = 1_000_000  # bytes of a layer


def add_run(chain: Chain, step: Step[Run], directory: Path) -> bool:
    """Put the layer of a run step on the chain; return whether it was made now.

    Mounts are relative to `directory`, the recipe's.

    Raises:
        StepError: the command failed; nothing is cached.
        HostError: a secret's variable is not set.
    """
    run, context = step.layer, chain.context
    secrets = _secrets(run, context.host.environment, step.name)
    watched = [mount for mount in run.mounts if not mount.writable]
    before = [_state(context.store, directory, mount) for mount in watched]
    inputs = run_inputs(context.store, run, context.host.environment, directory, step.name)
    layer = chain.stack.run(step.name, run, inputs)
    with context.store.claims.hold(layer.key):
        if blob := chain.found(layer, private=bool(run.secrets)):
            chain.add(layer, blob)
            return False

        def hold() -> None:
            for mount, state in zip(watched, before, strict=True):
                try:
                    now = _state(context.store, directory, mount)
                except OSError:  # something of it is gone
                    now = []
                if now != state:
                    raise ChangedError(
                        f"the mount {mount.source} changed while the step ran: nothing of the step is kept",
                        place=step.name,
                        hint="build again when nothing changes it; what the step itself writes is writable",
                    )

        return _make(chain, step, layer, directory, secrets, hold)


def _make(
    chain: Chain,
    step: Step[Run],
    layer: ExecLayer,
    directory: Path,
    secrets: dict[str, str],
    hold: Callable[[], None],
) -> bool:
    """Run the step and put its layer on the chain; `hold` raises when what it was given has changed."""
    run, context = step.layer, chain.context
    binds = [
        Bind(source=str((directory / m.source).resolve()), target=m.target, writable=m.writable)
        for m in run.mounts
    ]
    litter = tuple(m.target.lstrip("/") for m in run.mounts)
    with context.report.step(step.name, "run") as said, chain.container(step.name) as container:

        def execute() -> None:
            with given(context, run.shell, {**dict(run.env), **secrets}, {}) as (command, mounts):
                try:
                    container.run(
                        command,
                        [*mounts, *binds],
                        place=step.name,
                        network=run.network,
                        privileges=run.privileges,
                        set_uid=True,
                        timeout=run.timeout,
                        workdir=chain.workdir,
                    )
                except StepError as error:
                    raise _explained(error, step, container.name, keep=context.keep) from error
            hold()

        drop = (*diff.ENGINE, *litter)
        blob, made = chain.make(layer, container, execute, drop, private=bool(run.secrets))
        if blob.unpacked >= WORTH_SAYING:  # chown -R and the like copy all that they change
            said.append(f"{human(blob.unpacked)} written")
    chain.add(layer, blob)
    return made


def after_runs(
    store: Store, steps: Sequence[Step[Run]], stack: Stack, environ: dict[str, str], directory: Path
) -> str:
    """Put the run `steps` on `stack` without running any; return its digest then."""
    for step in steps:
        inputs = run_inputs(store, step.layer, environ, directory, step.name)
        stack.put(stack.run(step.name, step.layer, inputs).key)
    return stack.digest


def run_inputs(
    store: Store, run: Run, environ: dict[str, str], directory: Path, place: str
) -> list[tuple[str, str]]:
    """Return what the key of a run step holds besides its text: digests of its secrets and mounted files."""
    secrets = _secrets(run, environ, place)
    salt = _salt(store) if secrets else b""
    inputs = [
        (f"secret {name}", hmac.new(salt, value.encode(), "sha256").hexdigest())
        for name, value in secrets.items()
    ]
    return inputs + [(f"mount {m.target}", _mount_digest(store, directory / m.source)) for m in run.mounts]


def _secrets(run: Run, environ: dict[str, str], place: str) -> dict[str, str]:
    missing = [name for name in run.secrets if name not in environ]
    if missing:
        raise HostError(
            f"the secret {', '.join(missing)} is not in the environment",
            place=place,
            hint=f"set it for the build: {missing[0]}=... avabuild recipe ...",
        )
    return {name: environ[name] for name in run.secrets}


def _salt(store: Store) -> bytes:
    """Return this store's own key: a secret's digest must not be found by trying words."""
    path = store.root / "secret-key"
    if path.exists() and path.stat().st_uid != os.geteuid():  # another member's, of a group that shares it
        path = path.with_name(f"secret-key-{os.geteuid()}")
    with disk_errors(store.root):
        for _ in range(_TRIES):
            with suppress(FileNotFoundError, IsADirectoryError):
                if len(key := path.read_bytes()) == _SALT:
                    return key
            write_whole(path, os.urandom(_SALT), store.root / "tmp")  # or another build does: either will do
    raise StoreError(f"{path} can't be kept", hint="remove it; it is made again")


def _mount_digest(store: Store, path: Path) -> str:
    """Return the digest of all that a step may see below a mount: names, kinds, modes, owners and contents.

    A source that is a link is what it leads to, as for the step; times are seen and don't count.
    """
    top = path.resolve()
    return digest_of([[str(inner.relative_to(top)), *_seen(store, inner)] for inner in _below(top)])


def _below(top: Path) -> list[Path]:
    return [top, *(sorted(top.rglob("*")) if top.is_dir() else ())]


def _seen(store: Store, path: Path) -> tuple[str, str, str]:
    """Return kind and mode, owner and content; whoever builds is root to a step."""
    status = path.lstat()
    uid = 0 if status.st_uid == os.geteuid() else status.st_uid
    gid = 0 if status.st_gid == os.getegid() else status.st_gid
    owner = f"{uid}:{gid}"
    if stat.S_ISLNK(status.st_mode):
        return "link", owner, str(path.readlink())
    return oct(status.st_mode), owner, file_digest(store, path) if stat.S_ISREG(status.st_mode) else ""


def _state(store: Store, directory: Path, mount: Mount) -> list[Any]:
    """Return what tells whether a mount changed, even to and fro.

    Locks beside the recipe are left out: they are written whenever another image of the recipe is done.
    """
    top = (directory / mount.source).resolve()
    own = directory.resolve()
    found: list[Any] = []
    for path in _below(top):
        if path.parent == own and ".lock" in path.name:
            continue
        status = path.lstat()
        time = status.st_mtime_ns if stat.S_ISREG(status.st_mode) else 0
        found.append([str(path), *_seen(store, path), status.st_ino, time])
    return found


def _explained(error: StepError, step: Step[Run], container: str, *, keep: bool) -> StepError:
    return StepError(
        error.message.replace("buildah", "the command", 1),
        place=step.name,
        command=step.layer.shell.strip(),
        tail=error.tail,
        log=error.log,
        hint=kept_words(container) if keep else "look inside with --keep",
    )
