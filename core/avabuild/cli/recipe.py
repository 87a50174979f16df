"""`avabuild recipe`: build the images of a recipe."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from avabuild import stamp

if TYPE_CHECKING:
    from avabuild.session import Done


def recipe(
    path: Annotated[Path, typer.Argument(metavar="RECIPE.toml", help="The recipe to build.", show_default=False)],
    output: Annotated[
        str | None,
        typer.Option(metavar="DEST", help="oci:DIR, oci-archive:FILE or docker-archive:FILE; else the local storage."),
    ] = None,
    check: Annotated[
        bool | None,
        typer.Option("--check/--no-check", help="Run the frameworks' checks in the new image [default: local storage]."),
    ] = None,
    locked: Annotated[bool, typer.Option("--locked", help="Fail unless the lock fits the recipe as it is.")] = False,
    upgrade: Annotated[
        list[str] | None,
        typer.Option(metavar="[NAME]", help="Resolve anew: a package, 'apt', 'base', or everything. Repeatable."),
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the container of a failed step, to look inside.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print events and the result as JSON lines.")] = False,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Print only the images' references.")] = False,
    verbose: Annotated[bool, typer.Option("-v", "--verbose", help="Print what the tools print.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show a traceback with an error.")] = False,
) -> None:
    """Build the images of a recipe, one per target of its matrix.

    What is unchanged is not made again; the lock beside the recipe keeps every version.

    Example: avabuild recipe recipes/keras.toml --output oci:images
    """
    del debug  # read before the commands are, see main()
    began = time.monotonic()
    options = [str(output), str(check), str(locked)]
    mark = stamp.stamp_path(_cache(), path, options)
    if not upgrade and (said := stamp.fresh(mark)) is not None:
        _say_nothing_to_do(said, as_json=as_json, quiet=quiet, seconds=time.monotonic() - began)
        return
    done, session = _build(path, output, check, locked, upgrade, keep, _console(as_json, quiet, verbose))
    session.stamp(mark, done, [one.plan.reference for one in done])


def _cache() -> Path:
    """The cache's directory as `avabuild.host` finds it, without importing all of it."""
    named = os.environ.get("AVABUILD_CACHE")
    if named:
        return Path(named).expanduser().absolute()
    import platformdirs

    return Path(platformdirs.user_cache_dir("avabuild"))


def _console(as_json: bool, quiet: bool, verbose: bool) -> Any:  # noqa: ANN401, FBT001 - one of three consoles
    if as_json:
        from avabuild.cli.events import JsonConsole

        return JsonConsole()
    from avabuild.cli.console import PlainConsole, QuietConsole, RichConsole

    if quiet:
        return QuietConsole()
    return RichConsole() if sys.stderr.isatty() and not verbose else PlainConsole(verbose=verbose)


def _build(
    path: Path,
    output: str | None,
    check: bool | None,  # noqa: FBT001 - an option's value
    locked: bool,  # noqa: FBT001
    upgrade: list[str] | None,
    keep: bool,  # noqa: FBT001
    console: Any,  # noqa: ANN401
) -> tuple[list[Done], Any]:
    from avabuild.build.output import Output
    from avabuild.host import probe
    from avabuild.report import Report
    from avabuild.session import Session, Wishes

    try:
        where = Output.parse(output) if output else Output()
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--output") from None
    wishes = Wishes(output=where, check=check, locked=locked, upgrade=frozenset(upgrade or ()), keep=keep)
    done = []
    with console:
        report = Report(console.take)
        session = Session(path, probe(os.environ), report, wishes)
        for one in session.build():
            done.append(one)
            console.summary(one, dict(report.seconds))
    return done, session


def _say_nothing_to_do(said: list[str], *, as_json: bool, quiet: bool, seconds: float) -> None:
    for reference in said:
        if as_json:
            typer.echo(json.dumps({"event": "image", "reference": reference, "made": [], "seconds": round(seconds, 3)}))
        else:
            typer.echo(reference if quiet else f"{reference} is up to date; nothing to do")
