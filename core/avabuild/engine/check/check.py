"""Checks: each framework's proof, run in the new image as its users will run it."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from avabuild.common.errors import CheckError, StepError
from avabuild.common.value import digest_of
from avabuild.engine.check.driver import NO_DRIVER, Driver, driver_for_checks
from avabuild.engine.check.linkage import check_linkage
from avabuild.engine.context import Context
from avabuild.engine.exec.stack import Chain
from avabuild.engine.import_ahead import import_image
from avabuild.engine.job import Job
from avabuild.engine.layout import Composed
from avabuild.plan.plan import Check
from avabuild.plugins.patience import IN_IMAGES, SETTING
from avabuild.store.oci import Piece
from avabuild.tools.argv import Bind

PLACE = "/run/avabuild"


def run_checks(context: Context, image: str, checks: Sequence[Check], driver: Driver = NO_DRIVER) -> None:
    """Run every check in one container on the local image `image`, with the libraries of `driver`.

    Raises:
        CheckError: a program ended with another status than zero; carries what it printed.
    """
    if not checks:
        return
    directory = context.scratch.directory("checks")
    directory.chmod(0o755)
    seconds = IN_IMAGES * context.host.trust.patience
    for check in checks:
        path = directory / f"check_{check.framework}.py"
        path.write_text(check.program)
        path.chmod(0o644)
    binds = [Bind(source=str(directory), target=PLACE), *driver.binds]
    with context.container(image, "check") as container:
        for check in checks:
            with context.report.step(f"check {check.framework}", "check") as said:
                argv = ["python", f"{PLACE}/check_{check.framework}.py"]
                try:
                    printed = container.run_as_image(
                        argv, binds, driver.environment, place=f"check {check.framework}", timeout=seconds
                    )
                except StepError as error:
                    slow = f" ({error.message}: {SETTING})" if error.late else ""
                    raise CheckError(
                        f"the check failed{slow}; the image's name was not moved to it",
                        place=f"check {check.framework}",
                        command=" ".join(argv),
                        tail=error.tail,
                        log=error.log,
                        hint="pin another version in [frameworks], or skip checks with --no-check",
                    ) from error
                said.extend(line for line in printed.strip().splitlines() if line)


# -- proving a composed image before it gets its name: its linkage while it is imported, then its checks -----


def prove_image(context: Context, job: Job, pieces: Sequence[Piece], composed: Composed) -> str:
    """Return the image's id in the local storage, empty when nothing needs it there.

    What passed its checks here before, the very same image, is not checked again on its way out.

    Raises:
        LinkageError: a library that its packages need is not in it.
        CheckError: a framework's check failed.
    """
    plan, identity = job.plan, ""
    with ThreadPoolExecutor(1, "linkage") as pool:
        linked = pool.submit(check_linkage, context, plan, job.base, pieces, composed)
        checked = _proof(job, composed) if job.check and plan.checks else ""
        known = checked and not job.anew and context.store.recall("checked", checked) is not None
        if job.output.kind == "storage" or (checked and not known):
            identity = import_image(context, composed)
        needs_driver = linked.result()
    if identity and job.check:
        driver = NO_DRIVER
        if needs_driver or plan.target.device.cuda:
            chain = Chain(context, job.base, plan.target, plan.compression, plan.keep_secrets)
            driver = driver_for_checks(context, chain, composed)
        run_checks(context, identity, plan.checks, driver)
        if checked:
            context.store.record("checked", checked, composed.digest)
    return identity


def _proof(job: Job, composed: Composed) -> str:
    """Return what a build remembers an image by whose checks passed: its config, layers and checks."""
    return digest_of([composed.config, composed.layers, [check.model_dump() for check in job.plan.checks]])
