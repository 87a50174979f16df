"""`avabuild enter` and `avabuild leave`: look into the container that a failed build kept, and let it go."""

from __future__ import annotations

from contextlib import closing
from typing import Annotated

import typer

ContainerArgument = Annotated[
    str,
    typer.Argument(metavar="CONTAINER", help="Container name that the failed build printed: avabuild-..."),
]


def enter(
    container: ContainerArgument,
    command: Annotated[
        list[str] | None,
        typer.Argument(metavar="[COMMAND]...", help="Command to run there (default: a shell)."),
    ] = None,
) -> None:
    """Run a shell, or a command, in the container that a build with --keep left; exits as that does.

    Example: avabuild enter avabuild-1f0c9c7b4a2e-3-run -- cat /etc/os-release
    """
    from avabuild.cli.options import host_for
    from avabuild.run.run import Workplace
    from avabuild.tools.events import Report
    from avabuild.tools.terminal import enter as enter_container

    with closing(Workplace.on(host_for())) as workplace:
        tools = workplace.tools(Report(lambda _: None), "enter")
        code = enter_container(container, command or ["/bin/sh"], tools)
    raise typer.Exit(code if code >= 0 else 128 - code)


def leave(
    container: ContainerArgument,
) -> None:
    """Remove the container that a build with --keep left, and what only that needs.

    Example: avabuild leave avabuild-1f0c9c7b4a2e-3-run
    """
    from avabuild.cli.options import host_for
    from avabuild.run.run import Workplace
    from avabuild.tools.events import Report
    from avabuild.tools.terminal import leave as leave_container

    with closing(Workplace.on(host_for())) as workplace:
        leave_container(container, workplace.tools(Report(lambda _: None), "leave"))
