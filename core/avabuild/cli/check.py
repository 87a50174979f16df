"""`avabuild check`: run the checks of a finished image again."""

from __future__ import annotations

from contextlib import closing
from typing import Annotated

import typer

from avabuild.cli.options import ModeOption, RootOption, RunnerOption, StorageDriverOption, flags_of, host_for


def check(
    image: Annotated[
        str,
        typer.Argument(
            metavar="IMAGE",
            help="Name in the local storage, or oci:DIR, oci-archive:FILE, docker-archive:FILE.",
        ),
    ],
    mode: ModeOption = None,
    root: RootOption = None,
    storage_driver: StorageDriverOption = None,
    runner: RunnerOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print events as JSON lines.")] = False,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Print only warnings.")] = False,
    verbose: Annotated[bool, typer.Option("-v", "--verbose", help="Print what the tools print.")] = False,
) -> None:
    """Run the checks of an image again, in a container of it that goes away.

    The image brings them along; its recipe isn't needed. What needs a GPU runs where there is one.

    Example: avabuild check localhost/ava-keras:py311-cpu
    """
    from avabuild.cli.recipe import console_for
    from avabuild.common.errors import AvabuildError
    from avabuild.images.check import check_image
    from avabuild.run.run import Workplace
    from avabuild.tools.events import Report

    console = console_for(as_json=as_json, quiet=quiet, verbose=verbose)
    with console:
        try:
            with closing(Workplace.on(host_for(flags_of(mode, root, storage_driver, runner)))) as workplace:
                store, report = workplace.store, Report(console.take)
                tools = workplace.tools(report, "check")
                checked = check_image(image, store, tools, workplace.host, report)
        except AvabuildError as error:
            console.failed(error)
            raise
        console.checked(image, checked)
