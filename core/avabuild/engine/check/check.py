"""Checks: each framework's proof, run in the new image as its users will run it."""

from __future__ import annotations

from collections.abc import Sequence

from avabuild.common.errors import CheckError, StepError
from avabuild.engine.check.driver import NO_DRIVER, Driver
from avabuild.engine.context import Context
from avabuild.plan.plan import Check
from avabuild.plugins.patience import IN_IMAGES, SETTING
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
