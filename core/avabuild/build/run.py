"""Run layers: a recipe's own commands, each in a container on all that is below it."""

from __future__ import annotations

import hashlib
from pathlib import Path

from avabuild import changes
from avabuild.build.chain import Chain, given
from avabuild.chain import run_layer
from avabuild.commands import Bind
from avabuild.errors import HostError, StepError
from avabuild.layers import Run
from avabuild.plan import Step
from avabuild.store import Store
from avabuild.store.hashing import file_digest


def add_run(chain: Chain, step: Step, directory: Path) -> bool:
    """Put the layer of a run step on the chain; return whether it was made now.

    Mounts are relative to `directory`, the recipe's.

    Raises:
        StepError: the command failed; nothing is cached.
        HostError: a secret's variable is not set.
    """
    assert isinstance(step.layer, Run)  # noqa: S101 - compose puts no other kind here
    run, context = step.layer, chain.context
    secrets = _secrets(run, context.host.environment, step.name)
    inputs = run_inputs(context.store, run, context.host.environment, directory, step.name)
    layer = run_layer(step.name, chain.digest, run, inputs, chain.compression)
    if blob := context.store.layer(layer.key):
        chain.add(layer, blob)
        return False
    binds = [
        Bind(source=str((directory / m.source).resolve()), target=m.target, writable=m.writable)
        for m in run.mounts
    ]
    litter = tuple(m.target.lstrip("/") for m in run.mounts)
    with context.report.step(step.name, "run"), chain.container(step.name) as container:

        def execute() -> None:
            with given(context, run.shell, {**dict(run.env), **secrets}, {}) as (command, mounts):
                try:
                    context.tools.run(
                        container, command, context.isolation, [*mounts, *binds], place=step.name
                    )
                except StepError as error:
                    raise _explained(error, step, container, chain.image(), keep=context.keep) from error

        blob, made = chain.make(layer, container, execute, (*changes.ENGINE, *litter))
    chain.add(layer, blob)
    return made


def run_inputs(
    store: Store, run: Run, environ: dict[str, str], directory: Path, place: str
) -> list[tuple[str, str]]:
    """Return what the key of a run step holds besides its text: digests of its secrets and mounted files."""
    secrets = _secrets(run, environ, place)
    inputs = [
        (f"secret {name}", hashlib.sha256(value.encode()).hexdigest()) for name, value in secrets.items()
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


def _mount_digest(store: Store, path: Path) -> str:
    if path.is_file():
        return file_digest(store, path)
    lines = [
        f"{inner.relative_to(path)} {file_digest(store, inner)}"
        for inner in sorted(path.rglob("*"))
        if inner.is_file()
    ]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _explained(error: StepError, step: Step, container: str, image: str, *, keep: bool) -> StepError:
    assert isinstance(step.layer, Run)  # noqa: S101
    kept = (
        f"it was kept; enter: buildah run --isolation chroot {container} -- sh\n"
        f"  leave: buildah rm {container} && buildah rmi {image}"
    )
    return StepError(
        error.message.replace("buildah", "the command", 1),
        place=step.name,
        command=step.layer.shell.strip(),
        tail=error.tail,
        log=error.log,
        hint=kept if keep else "look inside with --keep",
    )
