"""`avabuild catalog`: the catalogue as a static web page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from avabuild.cli.options import InsecureOption
from avabuild.cli.shown import echo

if TYPE_CHECKING:
    from avabuild.host.host import Host
    from avabuild.images.image import Image
    from avabuild.tools.events import Event


def catalog(
    paths: Annotated[
        list[Path], typer.Argument(metavar="RECIPES...", help="Directories of recipes, or recipes.")
    ],
    output: Annotated[
        Path, typer.Option(metavar="DIR", help="Directory for the pages; avabuild creates it.")
    ] = Path("site"),
    registry: Annotated[
        str,
        typer.Option(metavar="REF", help="Show the images of this namespace: reg.example.com/ava-public."),
    ] = "",
    title: Annotated[str, typer.Option(help="Title of the front page.")] = "Container images",
    insecure: InsecureOption = False,
) -> None:
    """Write web pages of the images: a table to search, and a page each. Builds and fetches nothing.

    Versions and packages come from the locks, sizes from the cache or the registry. The pages work from a
    file and without a network.

    Example: avabuild catalog recipes/ --output site/
    """
    from avabuild.catalog.build import pages, site_of
    from avabuild.catalog.gather import entry_of
    from avabuild.catalog.values import Missing
    from avabuild.catalog.write import write
    from avabuild.cli.options import host_for
    from avabuild.run.catalogue import Catalogue
    from avabuild.run.run import Workplace
    from avabuild.tools.events import Report

    recipes = dict(_recipes(paths))
    report = Report(_say_warnings)
    with closing(Workplace.on(host_for())) as workplace:
        catalogue = Catalogue(list(recipes), workplace, report, assume=True, fetch=False)
        shown = catalogue.forecasts(catalogue.entries(), ask=False)
        entries = [entry_of(entry, rows, recipes[entry.recipe.path]) for entry, rows in shown]
    missing = [Missing(name=lost.name, reason=lost.error.message) for lost in catalogue.lost]
    namespace = registry.removeprefix("docker://").rstrip("/")
    names = sorted({entry.name for entry in entries})
    found = _held(workplace.host, namespace, names, insecure=insecure) if namespace else ()
    site = site_of(title, entries, missing, namespace, found)
    done = write(pages(site), output)
    for path in done.kept:
        echo(f"warning: {output / path} is out of date, but was edited: it stays", err=True)
    for one in missing:
        echo(f"warning: {one.name} is not shown: {one.reason}", err=True)
    changes = f"{len(done.changed)} files written, {len(done.removed)} removed"
    echo(f"{len(site.entries)} images; {changes}", err=True)
    echo(str(output / "index.html"))


def _say_warnings(event: Event) -> None:
    if event.kind == "warn":
        echo(f"warning: {event.text}", err=True)


def _recipes(paths: Sequence[Path]) -> Iterator[tuple[Path, str]]:
    """Yield each recipe with its name for readers: below the directory that was given, no host's path."""
    from avabuild.common.errors import Problem, RecipeError

    for path in paths:
        if not path.is_dir():
            yield path, path.name if path.is_absolute() else path.as_posix()
            continue
        found = sorted(path.rglob("*.toml"))
        if not found:
            raise RecipeError((Problem(str(path), "", "no recipe is in this directory or below"),))
        top = path.resolve().name
        yield from ((recipe, f"{top}/{recipe.relative_to(path).as_posix()}") for recipe in found)


def _held(host: Host, namespace: str, names: Sequence[str], *, insecure: bool) -> tuple[Image, ...]:
    from avabuild.images.remote import remote_images

    with remote_images(host, insecure=insecure) as images:
        return tuple(one for one in images.within(namespace, names) if one.description.own)
