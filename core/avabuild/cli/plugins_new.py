"""`avabuild plugins new`: a distribution for a framework of one's own."""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from avabuild.cli.shown import echo

if TYPE_CHECKING:
    from avabuild.authoring.scaffold import Row, Scaffold
    from avabuild.plugins.provider import Kind


def new(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="The framework, as recipes will call it: jax, scikit-learn.")
    ],
    policy: Annotated[
        bool,
        typer.Option(
            "--policy", help="Write a policy, which a site applies to every image, not a framework."
        ),
    ] = False,
    base: Annotated[
        bool, typer.Option("--base", help="Write a base that recipes name by its own key, not a framework.")
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="DIR", help="Directory to write (default: ./avabuild-NAME)."),
    ] = None,
    project: Annotated[
        str | None, typer.Option(metavar="PROJECT", help="Name of the project on the index (default: NAME).")
    ] = None,
    imported: Annotated[
        str | None,
        typer.Option("--import", metavar="MODULE", help="Module that Python imports (default: PROJECT)."),
    ] = None,
    license: Annotated[  # noqa: A002 - the option's name
        str, typer.Option(metavar="LICENSE", help="MIT, BSD-3-Clause or Apache-2.0.")
    ] = "MIT",
    author: Annotated[
        str | None, typer.Option(metavar="NAME", help="Copyright holder (default: the plugin's authors).")
    ] = None,
    ask: Annotated[bool, typer.Option("--ask/--no-ask", help="Ask the index for the releases.")] = True,
) -> None:
    """Write a plugin for a framework, a policy or a base: a distribution with tests, README, license and CI.

    It works as written: it installs, lints, type-checks and keeps the contract. A framework's table of
    releases is what the package index has now.

    Example: avabuild plugins new lightgbm
    """
    from datetime import date

    from avabuild import __version__
    from avabuild.authoring.scaffold import Row, require_absent, scaffold_for, write
    from avabuild.plugins.contract import CONTRACT

    if policy and base:
        raise typer.BadParameter("--policy and --base exclude each other")
    kind: Kind = "policy" if policy else "base" if base else "framework"
    if kind != "framework" and (project or imported):
        raise typer.BadParameter(f"--project and --import are of frameworks, and not of a {kind}")
    today = date.today().isoformat()  # noqa: DTZ011 - the author's own day
    wanted = scaffold_for(
        name,
        (Row("0.1", ("3.11", "3.12", "3.13")),),
        project=project,
        imported=imported,
        license=license,
        author=author,
        day=today,
        version=__version__,
        contract=CONTRACT,
        kind=kind,
    )
    directory = output or Path(wanted.distribution)
    require_absent(directory)
    rows = _rows(wanted.project) if ask and kind == "framework" else ()
    made = dataclasses.replace(wanted, rows=rows or wanted.rows)
    for line in _told(made, directory, write(made, directory), known=bool(rows)):
        echo(line)


def _rows(project: str) -> tuple[Row, ...]:
    """Return what the index has; say why when it has nothing to offer."""
    from avabuild.authoring.scaffold import newest
    from avabuild.common.errors import AvabuildError
    from avabuild.resolve import from_host, pip_conf_paths, uv_toml_paths

    confs = pip_conf_paths(os.environ, Path(sys.prefix)), uv_toml_paths(os.environ)
    indexes = from_host(os.environ, *confs)
    try:
        rows = newest(project, indexes)
    except AvabuildError as error:
        echo(f"avabuild: warning: {error.message}", err=True)
        return ()
    if not rows:
        echo(f"avabuild: warning: the index has no wheel of {project} for a Python of now", err=True)
    return rows


def _told(made: Scaffold, directory: Path, files: tuple[str, ...], *, known: bool) -> Iterator[str]:
    """Yield what was written, and what to do with it."""
    from avabuild.plugins.provider import installed

    yield f"{directory}: {made.distribution}, which adds the {made.kind} {made.name}"
    yield from (f"  {file}" for file in files)
    if made.kind != "framework":
        yield f"\nwhat it says is made up: write what you mean into src/{made.module}/__init__.py"
    elif known:
        table = ", ".join(f"{row.series} on Python {' '.join(row.pythons)}" for row in made.rows)
        yield f"\nreleases of {made.project}: {table}"
    else:
        yield f"\nits one release, {made.rows[0].series}, is made up: write what there is into RELEASES"
    for one in installed():
        if (one.kind, one.name) == (made.kind, made.name) and one.distribution != made.distribution:
            taken = f"{one.who} has a {made.kind} {made.name}, too"
            yield f"note: {taken}; recipes can use one if one is installed"
    yield f"\nnext, in {directory}:"
    yield '  pip install --editable ".[dev]"'
    yield "  avabuild plugins check ."
    yield "  pytest"
