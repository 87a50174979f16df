"""`avabuild recipe`: build the images of recipes."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from avabuild.cli.options import ModeOption, RootOption, RunnerOption, StorageDriverOption, flags_of
from avabuild.cli.sbom import Kind
from avabuild.host.places import cache_directory, config_text, has_range, setting
from avabuild.run import stamp

if TYPE_CHECKING:
    from avabuild.cli.console import QuietConsole
    from avabuild.run.run import Wishes

# Where the local storage is, and which policies hold: a stamp made with others says nothing.
_CIRCUMSTANCES = ("HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_RUNTIME_DIR", "SLURM_TMPDIR",
                  "LOCAL_SCRATCH", "CONTAINERS_STORAGE_CONF", "STORAGE_DRIVER", "STORAGE_OPTS",
                  "SOURCE_DATE_EPOCH")  # fmt: skip
_SETTINGS = ("mode", "root", "storage_driver", "runner", "debian_mirror")


def recipe(
    paths: Annotated[list[Path], typer.Argument(metavar="RECIPE.toml...", help="The recipes to build.")],
    only: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PATTERN", help="Only images whose tag or name:tag matches: 'py311-*'. Repeatable."
        ),
    ] = None,
    jobs: Annotated[
        int | None,
        typer.Option(
            "--jobs",
            "-j",
            min=1,
            metavar="N",
            help="Number of images built in parallel (default: from the CPU count).",
        ),
    ] = None,
    keep_going: Annotated[
        bool,
        typer.Option("--keep-going", help="After a failure, keep building images that do not depend on it."),
    ] = False,
    output: Annotated[
        str | None,
        typer.Option(
            metavar="DEST",
            help="oci:DIR, oci-archive:FILE or docker-archive:FILE (default: the local storage).",
        ),
    ] = None,
    sbom: Annotated[
        list[Kind] | None,
        typer.Option(help="Add a bill of materials to the image of --output or --push. Repeatable."),
    ] = None,
    push: Annotated[
        str | None,
        typer.Option(
            metavar="REGISTRY/NS", help="Push each image below this name, instead of keeping it locally."
        ),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Build and push even what the registry already has.")
    ] = False,
    cache: Annotated[
        str | None,
        typer.Option(
            metavar="REPOSITORY", help="Take layers from this repository by key, and keep new ones."
        ),
    ] = None,
    insecure: Annotated[
        bool, typer.Option("--insecure", help="Allow registries without verified TLS.")
    ] = False,
    check: Annotated[
        bool | None,
        typer.Option(
            "--check/--no-check",
            help="Run the frameworks' checks (default: for the local storage, and before a push).",
        ),
    ] = None,
    locked: Annotated[
        bool, typer.Option("--locked", help="Fail unless the lock fits the recipe as it is.")
    ] = False,
    upgrade: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[NAME]", help="Resolve again: a package, 'apt', 'base', or everything. Repeatable."
        ),
    ] = None,
    keep: Annotated[
        bool, typer.Option("--keep", help="Keep the container of a failed step, to look inside.")
    ] = False,
    mode: ModeOption = None,
    root: RootOption = None,
    storage_driver: StorageDriverOption = None,
    runner: RunnerOption = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print events and the result as JSON lines.")
    ] = False,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Print only the images' references.")] = False,
    verbose: Annotated[bool, typer.Option("-v", "--verbose", help="Print what the tools print.")] = False,
) -> None:
    """Build the images of recipes, one per target of each matrix, several at a time.

    What is unchanged is not made again; the lock beside a recipe keeps every version.

    Example: avabuild recipe recipes/*.toml --only 'py311-*'
    """
    began, clock = time.monotonic(), time.time_ns()
    console = console_for(as_json=as_json, quiet=quiet, verbose=verbose)
    bills = tuple(dict.fromkeys(kind.known for kind in sbom or ()))
    _refuse_at_odds(output, push, upgrade, locked=locked, force=force, bills=bool(bills))
    flags = flags_of(mode, root, storage_driver, runner)
    options = [*circumstances(output, check=check, locked=locked, flags=flags, cache=cache), *sorted(bills)]
    marks = {path: stamp.stamp_path(cache_directory(os.environ), path, options) for path in paths}
    fresh = {} if upgrade or push else stamp.fresh_ones(marks, only or [])
    if len(fresh) == len(marks):
        _nothing_to_do(console, fresh, began)
        return
    wishes = _wishes(
        output, check, upgrade or [], locked=locked, keep=keep, push=push, force=force, insecure=insecure
    )
    from avabuild.cli.recipe_build import Run
    from avabuild.cli.registries import Outside

    outside = Outside.of(push, cache, insecure=insecure)
    from avabuild.run.watch import Watch

    run = Run(console, marks, fresh, wishes, flags, outside, bills, Watch(clock))
    run.build(only or [], jobs, keep_going=keep_going)


def _refuse_at_odds(
    output: str | None,
    push: str | None,
    upgrade: list[str] | None,
    *,
    locked: bool,
    force: bool,
    bills: bool,
) -> None:
    """Refuse options that make no sense together, before any stamp says that nothing is to do."""
    if bills and output in {None, "storage"} and push is None:
        message = (
            "needs --output to a file or directory, or --push; of a local image `avabuild sbom` prints it"
        )
        raise typer.BadParameter(message, param_hint="--sbom")
    if force and push is None:
        raise typer.BadParameter("is about what a registry has; give --push too", param_hint="--force")
    if locked and upgrade:
        raise typer.BadParameter("excludes --locked; give one of them", param_hint="--upgrade")


def _nothing_to_do(console: QuietConsole, fresh: dict[Path, list[str]], began: float) -> None:
    """Say that every image of every recipe is there."""
    images = [json.loads(image) for path in fresh for image in fresh[path]]
    console.several = len(images) > 1
    for image in images:
        console.up_to_date(image, time.monotonic() - began)
    if console.several:
        from avabuild.cli.table import unchanged

        console.table([unchanged(image) for image in images])


def circumstances(
    output: str | None,
    *,
    check: bool | None,
    locked: bool,
    flags: Mapping[str, str | None] | None = None,
    cache: str | None = None,
) -> list[str]:
    """Return what else decides whether there is something to do: options, user, storage, plugins.

    What is meant counts: a flag and its variable, and other ways to spell a path, are the same.
    """
    kind, _, path = (output or "storage").partition(":")
    place = f"{kind}:{os.path.realpath(path)}" if path else kind
    checks = not path if check is None else check
    chosen = [f"{name}={_chosen(name, flags or {})}" for name in _SETTINGS]
    plugins = sorted(os.environ.get("AVABUILD_PLUGINS", "").replace(",", " ").split())
    said = [os.environ.get(name, "") for name in _CIRCUMSTANCES]
    options = [place, str(checks), str(locked), f"cache={cache}", *chosen, *plugins]
    return [*options, config_text(os.environ), str(has_range(os.getuid())), str(os.getuid()), *said]


def _chosen(name: str, flags: Mapping[str, str | None]) -> str:
    """Return what a setting is: by its flag, its variable or config.toml."""
    key = name.replace("_", "-")
    said = flags.get(name) or os.environ.get(f"AVABUILD_{name.upper()}") or setting(os.environ, key) or ""
    return os.path.realpath(os.path.expanduser(said)) if said and name == "root" else said  # noqa: PTH111


def console_for(*, as_json: bool, quiet: bool, verbose: bool) -> QuietConsole:
    """Return the console that shows a run as the options and the terminal have it."""
    from avabuild.cli.console import PlainConsole, QuietConsole

    if as_json:
        from avabuild.cli.events import JsonConsole

        return JsonConsole()
    if quiet:
        return QuietConsole()
    if verbose or not sys.stderr.isatty() or os.environ.get("TERM") == "dumb":
        return PlainConsole(verbose=verbose)
    from avabuild.cli.live import LiveConsole

    return LiveConsole()


def _wishes(
    output: str | None,
    check: bool | None,
    upgrade: list[str],
    *,
    locked: bool,
    keep: bool,
    push: str | None,
    force: bool,
    insecure: bool,
) -> Wishes:
    from packaging.utils import canonicalize_name

    from avabuild.engine.output import LOCAL, NOWHERE, Output
    from avabuild.run.run import Wishes

    try:
        where = Output.parse(output) if output is not None else NOWHERE if push else LOCAL
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--output") from None
    names = frozenset(map(canonicalize_name, upgrade))
    return Wishes(
        output=where,
        check=check,
        locked=locked,
        upgrade=names,
        keep=keep,
        force=force,
        insecure=insecure,
    )
