"""`avabuild plugins`: what is installed, and what one plugin offers."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from avabuild.cli.shown import echo
from avabuild.cli.table import aligned

if TYPE_CHECKING:
    from avabuild.plugins.provider import Kind, Provider, Trust
    from avabuild.plugins.registry import Registry

plugins = typer.Typer(rich_markup_mode=None)

_JSON = Annotated[bool, typer.Option("--json", help="Print JSON.")]
_TITLES: Mapping[Kind, str] = {"framework": "frameworks", "base": "bases", "policy": "policies"}


@plugins.callback(invoke_without_command=True)
def list_plugins(context: typer.Context, as_json: _JSON = False) -> None:
    """List what is installed: frameworks, bases and policies, their distributions, and what is broken.

    Imports none of them here: each is asked once, in a process of its own, until it changes.

    Example: avabuild plugins
    """
    if context.invoked_subcommand:
        return
    from avabuild.cli.options import host_for
    from avabuild.plugins.installed import roster
    from avabuild.plugins.registry import of_site
    from avabuild.run.stamp import installed_digest
    from avabuild.store import Store

    host = host_for()
    found = of_site(host.trust).providers
    told = roster(found, host.trust, Store(host.cache), installed_digest)
    entries = [_entry(one, answer, found, host.trust) for one, answer in zip(found, told, strict=True)]
    if as_json:
        echo(json.dumps(entries, indent=2, ensure_ascii=False))
        return
    echo("\n\n".join("\n".join(lines) for lines in _tables(entries)))


def _entry(
    provider: Provider, told: Mapping[str, Any], others: Sequence[Provider], trusted: Trust
) -> dict[str, Any]:
    """Return all that is known of a provider, ready for JSON; `problem` is null for one that works."""
    alike = [one for one in others if (one.name, one.kind) == (provider.name, provider.kind)]
    entry = {**dataclasses.asdict(provider), "problem": None, **told}
    if len(alike) > 1:
        entry["problem"] = "provided more than once: uninstall all but one"
    if provider.kind == "policy":
        entry["in_force"] = trusted.names(provider.distribution)
    return entry


def _tables(entries: Sequence[dict[str, Any]]) -> Iterator[list[str]]:
    """Yield the lines of a table for each kind of which there is something, then what is broken."""
    for kind, title in _TITLES.items():
        rows = [_row(kind, entry) for entry in entries if entry["kind"] == kind and not entry["problem"]]
        if rows:
            head = (title, "distribution", *_HEADS[kind])
            yield list(aligned([head, *rows]))
    if broken := [entry for entry in entries if entry["problem"]]:
        rows = [(one["name"], f"{one['distribution']} {one['version']}", one["problem"]) for one in broken]
        yield list(aligned([("not usable", "distribution", "why"), *rows]))


_HEADS: Mapping[str, tuple[str, ...]] = {
    "framework": ("series", "python", "device", "options"),
    "base": ("options", "about"),
    "policy": ("state", "about"),
}


def _row(kind: Kind, entry: Mapping[str, Any]) -> tuple[str, ...]:
    head = (entry["name"], f"{entry['distribution']} {entry['version']}")
    if kind == "policy":
        return (*head, "in force" if entry["in_force"] else "not named, not in force", entry["summary"])
    names = [
        option["name"] for option in entry["options"] if option["name"] not in {"version", entry["name"]}
    ]
    if kind == "base":
        return (*head, " ".join(names) or "-", entry["summary"])
    series = [entry["series"][-1], entry["series"][0]]
    span = series[0] if series[0] == series[1] else f"{series[0]} to {series[1]}"
    return (*head, span, _pythons(entry["pythons"]), _devices(entry["devices"]), " ".join(names) or "-")


@plugins.command()
def show(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="The framework, base or policy, or a local plugin's path.")
    ],
    as_json: _JSON = False,
) -> None:
    """Show a framework's options, releases and a recipe to begin with; or what a base or policy says.

    Example: avabuild plugins show tensorflow
    """
    from avabuild.layer.facts import homes
    from avabuild.plugins.profile import base_profile, policy_profile, profile_of

    registry, wanted = _opened(name)
    shown: list[tuple[Provider, dict[str, Any]]] = []
    for kind, word in wanted:
        provider = registry.provider(word, kind)
        if kind == "framework":
            profile = profile_of(registry.framework(word), homes())
            if provider.is_local:  # the recipe has to name it
                named = f'\nplugins = ["{provider.distribution}"]\n'
                profile["example"] = profile["example"].replace("\n", named, 1)
            shown.append((provider, profile))
        elif kind == "base":
            shown.append((provider, base_profile(registry.base(word))))
        else:
            shown.append((provider, policy_profile(registry.policy(word))))
    if as_json:
        data = [profile for _, profile in shown]
        echo(json.dumps(data[0] if len(data) == 1 else data, indent=2, ensure_ascii=False))
        return
    texts = []
    for provider, profile in shown:
        word = "" if provider.kind == "framework" else f"{provider.kind} "
        head = f"{word}{provider.name}: {profile['summary']}  ({provider.who})"
        texts.append("\n".join([head, *_lines(profile)]))
    echo("\n\n".join(texts))


def _opened(name: str) -> tuple[Registry, list[tuple[Kind, str]]]:
    """Return the plugins, and which of them `name` means; a framework where it is nothing at all."""
    from pathlib import Path

    from avabuild.cli.options import host_for
    from avabuild.plugins.local import read_local
    from avabuild.plugins.provider import GROUPS, as_local, is_path
    from avabuild.plugins.registry import of_site

    registry = of_site(host_for().trust)
    if is_path(name):
        shown = as_local(name)
        registry = registry.with_local([read_local(shown, Path(name))])
        return registry, [(one.kind, one.name) for one in registry.providers if one.distribution == shown]
    kinds: list[Kind] = [kind for kind in GROUPS if name in registry.named(kind)]
    return registry, [(kind, name) for kind in kinds or ["framework"]]


def _lines(shown: dict[str, Any]) -> Iterator[str]:
    if shown.get("options"):
        yield "\noptions"
    for option in shown.get("options", ()):
        default = "" if option["default"] is None else f", default {json.dumps(option['default'])}"
        yield f"  {option['name']}: {option['type']}{default}"
        yield from _wrapped(option["description"], "      ")
    if "releases" in shown:
        yield "\nreleases"
        yield from _table(shown["releases"])
    if shown.get("source"):
        yield f"\nsource: {shown['source']}" + (f"; checked {shown['checked']}" if shown["checked"] else "")
    if "example" in shown:
        yield "\nexample"
        yield from (f"  {line}".rstrip() for line in shown["example"].splitlines())


def _wrapped(text: str, indent: str) -> list[str]:
    import textwrap

    return textwrap.wrap(text, width=100, initial_indent=indent, subsequent_indent=indent)


def _table(releases: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Yield a line per release in columns, and what else it pins and needs below it."""
    head = ("version", "python", "device")
    rows = [(r["version"], _pythons(r["pythons"]), " ".join(r["devices"])) for r in releases]
    first, *lines = aligned([head, *rows])
    yield f"  {first}"
    for line, release in zip(lines, releases, strict=True):
        yield f"  {line}"
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


def _devices(names: Sequence[str]) -> str:
    """Word devices briefly: `cpu cuda8.0-13.2`, whatever the cuDNN."""
    cuda = sorted(
        {name.removeprefix("cuda").partition("-")[0] for name in names if name.startswith("cuda")},
        key=lambda version: tuple(int(part) for part in version.split(".")),
    )
    words = [name for name in names if not name.startswith("cuda")]
    if cuda:
        words.append(f"cuda{cuda[0]}" if len(cuda) == 1 else f"cuda{cuda[0]}-{cuda[-1]}")
    return " ".join(words)
