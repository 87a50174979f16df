"""The application: its global options and its commands, one file each."""

from __future__ import annotations

from typing import Annotated

import typer

from avabuild import __version__
from avabuild.cli.catalog import catalog
from avabuild.cli.check import check
from avabuild.cli.doctor import doctor
from avabuild.cli.du import du
from avabuild.cli.enter import enter, leave
from avabuild.cli.export import export
from avabuild.cli.images import images
from avabuild.cli.inspect import inspect
from avabuild.cli.lock import lock
from avabuild.cli.login import login, logout
from avabuild.cli.plan import plan
from avabuild.cli.plugins import plugins
from avabuild.cli.plugins_check import check as check_plugin
from avabuild.cli.plugins_new import new
from avabuild.cli.prune import prune
from avabuild.cli.push import push, tag
from avabuild.cli.recipe import recipe
from avabuild.cli.rm import rm
from avabuild.cli.sbom import sbom
from avabuild.cli.schema import schema

app = typer.Typer(
    name="avabuild",
    help="Build OCI images for machine-learning frameworks from a TOML recipe: no Dockerfile, no daemon.",
    epilog="Start with: avabuild recipe recipes/keras.toml",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"avabuild {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", callback=_version, is_eager=True)
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show a traceback with an error; any command takes it too.")
    ] = False,
) -> None:
    """Take the options that come before a command; `main` takes `--debug` from wherever it stands."""


app.command()(recipe)
app.command()(plan)
app.command()(lock)
app.command()(check)
app.command()(doctor)
app.command()(enter)
app.command()(leave)
app.command()(images)
app.command()(inspect)
app.command()(export)
app.command()(sbom)
app.command()(rm)
app.command()(du)
app.command()(prune)
app.command()(push)
app.command()(tag)
app.command()(login)
app.command()(logout)
app.command()(catalog)
app.command()(schema)
plugins.command()(new)
plugins.command("check")(check_plugin)
app.add_typer(plugins, name="plugins")
app.add_typer(plugins, name="plugin", hidden=True)  # as one says of a single one: avabuild plugin new
