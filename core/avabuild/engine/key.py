"""What an image says of itself, and its key: equal keys mean that nothing would be built differently."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from avabuild.common.dates import date_of
from avabuild.common.errors import HostError, RecipeError
from avabuild.common.value import digest_of
from avabuild.engine import directories
from avabuild.engine.exec.run_step import run_inputs
from avabuild.engine.job import Job
from avabuild.engine.stages import workshop
from avabuild.layer import bytecode, compiled, files, keys, overlaps, wheel
from avabuild.layer.files import files_key
from avabuild.plan.labels import KEY, LONG, labels, split_labels
from avabuild.plan.plan import Plan, Step
from avabuild.plugins.kinds import Files, Layer, Run
from avabuild.resolve.lock import TargetLock
from avabuild.store import Store
from avabuild.store.oci import Settings

FORMAT = 2
_PLACES = ("mirror", "uri", "key")
_OF_THIS_HOST = {"system", "files", "last", "read", "warnings"}  # they name places of files
_FORMATS = (
    FORMAT, wheel.FORMAT, bytecode.FORMAT, keys.FORMAT, files.FORMAT, compiled.FORMAT, workshop.FORMAT,
    directories.FORMAT, overlaps.FORMAT,
)  # fmt: skip
Contents = tuple[Any, ...]  # of a plan's steps, in their order


def described(
    store: Store,
    job: Job,
    lock: TargetLock,
    environ: Mapping[str, str],
    began: Contents | None,
    *,
    flattened: bool = False,
) -> tuple[Settings, dict[str, str]]:
    """Return the settings of the job's image with its labels, and its annotations.

    `began` are the contents when the build began: an image whose files changed meanwhile has no key.
    `flattened` ones have a key of their own, as their layers have.
    """
    plan = job.plan
    own = dict(labels(plan, job.content, lock))
    labelled, long = split_labels({**own, **dict(plan.settings.labels)})
    annotations = {name: text for name, text in own.items() if name not in LONG} | long
    if began is not None and began == contents(store, plan, job.directory, environ, job.output.path):
        key = key_of(plan, lock, job.content, began, dated(plan.settings, environ))
        annotations[KEY] = keys.flat(key) if flattened else key
    annotations |= dict(plan.settings.annotations)
    update = {"labels": tuple(labelled.items()), "created": dated(plan.settings, environ)}
    return plan.settings.model_copy(update=update), annotations


def image_key(
    store: Store,
    plan: Plan,
    lock: TargetLock,
    content: Mapping[str, Any],
    directory: Path,
    environ: Mapping[str, str],
) -> str | None:
    """Return the key of the image that `plan` makes with what it resolved to, known before it is built.

    Beside both it holds the content of every file that is put into the image or that a step sees, and the
    formats of layers: nothing of this host. None when a secret decides what is built, which must not show,
    and when a file is not there.
    """
    found = contents(store, plan, directory, environ)
    return None if found is None else key_of(plan, lock, content, found, dated(plan.settings, environ))


def contents(
    store: Store, plan: Plan, directory: Path, environ: Mapping[str, str], output: Path | None = None
) -> Contents | None:
    """Return what the plan's steps of files and commands are given; None for secrets, or what isn't there."""
    if any(isinstance(step.layer, Run) and step.layer.secrets for step in plan.steps):
        return None
    try:
        return tuple(
            _contents(store, step, plan.compression, directory, environ, output) for step in plan.steps
        )
    except (OSError, RecipeError):  # the step itself will say it
        return None


def dated(settings: Settings, environ: Mapping[str, str]) -> str:
    """Return the date of an image: the recipe's, else SOURCE_DATE_EPOCH's; empty where neither says one.

    Raises HostError for a variable that is no number of seconds.
    """
    said = environ.get("SOURCE_DATE_EPOCH", "")
    if settings.created or not said:
        return settings.created
    try:
        return date_of(int(said))
    except (ValueError, OverflowError, OSError):
        message = f"SOURCE_DATE_EPOCH is {said!r}, not a number of seconds"
        raise HostError(message, hint="unset it, or give the seconds since 1970") from None


def key_of(
    plan: Plan, lock: TargetLock, content: Mapping[str, Any], given: Contents, created: str = ""
) -> str:
    """Return the key of the image of `plan`, whose steps are `given` these contents, of a date."""
    steps = [[step.name, step.origins, one] for step, one in zip(plan.steps, given, strict=True)]
    named = plan.model_dump(mode="json", exclude=_OF_THIS_HOST)
    return digest_of([_FORMATS, anywhere(named), steps, lock.model_dump(mode="json"), content, created])


def anywhere(dumped: Any) -> Any:
    """Return a plan's dump without where mirrors and repositories are: the lock has what they are."""
    if isinstance(dumped, Mapping):
        return {name: anywhere(value) for name, value in dumped.items() if name not in _PLACES}
    return [anywhere(value) for value in dumped] if isinstance(dumped, list) else dumped


def _contents(
    store: Store,
    step: Step[Layer],
    compression: str,
    directory: Path,
    environ: Mapping[str, str],
    output: Path | None,
) -> list[Any]:
    """Return what a step of files or commands is given, by content."""
    if isinstance(step.layer, Files):
        return list(files_key(store, step.layer.files, directory, compression, output=output))
    if isinstance(step.layer, Run):
        run = step.layer
        seen = run_inputs(store, run, dict(environ), directory, step.name)
        return [
            run.shell,
            run.env,
            run.network,
            *((list(run.privileges),) if run.privileges else ()),
            [(mount.target, mount.writable) for mount in run.mounts],
            seen,
        ]
    return []
