"""`avabuild plugins`: what is installed, and what one framework offers."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Annotated, Any

import typer

plugins = typer.Typer(rich_markup_mode=None)

_JSON = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@plugins.callback(invoke_without_command=True)
def list_plugins(context: typer.Context, as_json: _JSON = False) -> None:
    """List the installed frameworks with their distributions; imports none of them.

    Example: avabuild plugins
    """
    if context.invoked_subcommand:
        return
    from avabuild.registry import installed

    found = installed()
    if as_json:
        typer.echo(json.dumps([dataclasses.asdict(provider) for provider in found], indent=2))
        return
    times = Counter(provider.framework for provider in found)
    width = max(map(len, times), default=0)
    for provider in found:
        clash = "  (provided more than once: uninstall all but one)" if times[provider.framework] > 1 else ""
        typer.echo(f"{provider.framework:{width}}  {provider.distribution} {provider.version}{clash}")


@plugins.command()
def show(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The framework, as recipes name it.")],
    as_json: _JSON = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show a traceback with an error.")] = False,
) -> None:
    """Show a framework's options, releases and a recipe to begin with.

    Example: avabuild plugins show tensorflow
    """
    del debug  # main() looks for it
    from avabuild.base import homes
    from avabuild.profile import profile_of
    from avabuild.registry import Registry, installed

    registry = Registry(installed())
    shown = profile_of(registry.framework(name), homes())
    if as_json:
        typer.echo(json.dumps(shown, indent=2, ensure_ascii=False))
        return
    provider = registry.provider(name)
    typer.echo(f"{name}: {shown['summary']}  ({provider.distribution} {provider.version})")
    typer.echo("\n".join(_lines(shown)))


def _lines(shown: dict[str, Any]) -> Iterator[str]:
    yield "\noptions"
    for option in shown["options"]:
        default = "" if option["default"] is None else f", default {json.dumps(option['default'])}"
        yield f"  {option['name']}: {option['type']}{default}"
        yield from _wrapped(option["description"], "      ")
    yield "\nreleases"
    yield from _table(shown["releases"])
    if shown["source"]:
        yield f"\nsource: {shown['source']}" + (f"; checked {shown['checked']}" if shown["checked"] else "")
    yield "\nexample"
    yield from (f"  {line}".rstrip() for line in shown["example"].splitlines())


def _wrapped(text: str, indent: str) -> list[str]:
    import textwrap

    return textwrap.wrap(text, width=100, initial_indent=indent, subsequent_indent=indent)


def _table(releases: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Yield a line per release in columns, and what else it pins and needs below it."""
    head = ("version", "python", "device")
    rows = [(r["version"], _pythons(r["pythons"]), " ".join(r["devices"])) for r in releases]
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    yield "  " + "  ".join(text.ljust(width) for text, width in zip(head, widths, strict=True)).rstrip()
    for row, release in zip(rows, releases, strict=True):
        yield "  " + "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
        for title, key in (("pins", "constraints"), ("apt", "apt"), ("on", "distributions")):
            if release[key]:
                yield f"    {title}: {', '.join(release[key])}"
        if release["note"]:
            yield f"    {release['note']}"


def _pythons(names: Sequence[str]) -> str:
    """Word Pythons briefly, oldest first: `2.7 3.5-3.7`."""
    numbers = sorted(tuple(int(part) for part in name.split(".")) for name in names)
    runs: list[list[tuple[int, ...]]] = []
    for number in numbers:
        if runs and runs[-1][-1][0] == number[0] and runs[-1][-1][1] + 1 == number[1]:
            runs[-1].append(number)
        else:
            runs.append([number])
    words = [[".".join(map(str, end)) for end in (run[0], run[-1])] for run in runs]
    return " ".join(first if first == last else f"{first}-{last}" for first, last in words)
