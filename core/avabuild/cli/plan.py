"""`avabuild plan`: show what a build would do."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from avabuild.cli.options import InsecureOption
from avabuild.cli.shown import echo
from avabuild.cli.units import human

if TYPE_CHECKING:
    from avabuild.plan.plan import Plan
    from avabuild.run.forecast import Row
    from avabuild.run.image import ImageRun
    from avabuild.tools.events import Event

_MUCH = 100_000_000  # bytes of a step's layer that are worth a warning
_SHOWN = 3  # packages of a layer, reasons of a rebuild: more are counted


def plan(
    paths: Annotated[list[Path], typer.Argument(metavar="RECIPE.toml...", help="The recipes to look at.")],
    only: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PATTERN", help="Only images whose tag or name:tag matches: 'py311-*'. Repeatable."
        ),
    ] = None,
    insecure: InsecureOption = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the plans as JSON.")] = False,
) -> None:
    """Show what a build would make: base, layers in order, who asked for them, what is cached, what changed.

    Writes no lock and no image. Versions come from the lock, or from the indexes where it doesn't fit.

    Example: avabuild plan recipes/keras.toml
    """
    from avabuild.cli.options import host_for
    from avabuild.common.errors import together
    from avabuild.run.catalogue import Catalogue
    from avabuild.run.run import Wishes, Workplace
    from avabuild.tools.events import Report

    workplace = Workplace.on(host_for(), Wishes(insecure=insecure))
    catalogue = Catalogue(paths, workplace, Report(_say_warnings), assume=True)
    shown = catalogue.forecasts(catalogue.entries(only or ()))
    for entry, rows in shown:
        for row in rows:
            if row.kind == "run" and row.unpacked > _MUCH:
                echo(
                    f"warning: {entry.name}: {row.name} writes {human(row.unpacked)}: "
                    "all that a step changes, by chown -R too, is in its layer once more",
                    err=True,
                )
        compression = entry.plan.compression
        if entry.base and (words := entry.base.packed_otherwise(compression)):
            echo(f'warning: {entry.name}: build.compression = "{compression}": {words}', err=True)
    if as_json:
        data = [_data(entry.plan, rows, entry.base.digest if entry.base else None) for entry, rows in shown]
        echo(json.dumps(data, indent=2, ensure_ascii=False))
    else:
        _print(shown)
    together([lost.error for lost in catalogue.lost])


def _say_warnings(event: Event) -> None:
    """Tell what a person should know of a plan; steps are not shown."""
    if event.kind == "warn":
        echo(f"warning: {event.text}", err=True)


def _print(shown: Sequence[tuple[ImageRun, Sequence[Row]]]) -> None:
    texts = []
    for entry, rows in shown:
        digest, idle = entry.base.digest if entry.base else None, _idle(entry)
        texts.append("\n".join(lines_of(entry.plan, rows, digest, _lock_words(entry), idle)))
    if texts:
        echo("\n\n".join(texts))


def _idle(entry: ImageRun) -> list[str]:
    """Return the policies that are installed and not in force for this image."""
    force = {one.name for one in entry.plan.policies}
    providers = entry.recipe.workplace.registry.providers
    return [str(one) for one in providers if one.kind == "policy" and one.name not in force]


def _data(plan: Plan, rows: Sequence[Row], digest: str | None) -> dict[str, object]:
    """Return the plan as data, with what a build would find.

    `base_digest` is null until the base is here.
    """
    return {
        "reference": plan.reference,
        **plan.model_dump(mode="json"),
        "base_digest": digest,
        "forecast": [row.model_dump(mode="json") for row in rows],
        "download": sum(row.download for row in rows),
    }


def lines_of(
    plan: Plan, rows: Sequence[Row], digest: str | None, lock: str, idle: Sequence[str] = ()
) -> Iterator[str]:
    """Yield what a person is shown of a plan.

    `digest` is that of its base, None until the base is here; `idle` are installed policies not in force.
    """
    yield from _head(plan, digest, lock, idle)
    yield ""
    yield from _table(plan, rows)
    yield ""
    yield _sum(rows, digest)


def _lock_words(entry: ImageRun) -> str:
    """Say whether the lock answers the plan, and was made with the plugins of now."""
    from avabuild.engine.python.resolution import other_plugins, still_locked

    name, lock, plan = entry.recipe.lock.path.name, entry.recipe.lock.lock, entry.plan
    if lock is None or lock.target(plan.target.tag) is None:
        return f"{name} has no versions yet: these are the indexes' of now"
    if still_locked(lock, plan) is None:
        return f"{name} is older than the recipe: versions are the indexes' of now"
    others = [message for message, _ in other_plugins(lock, plan)]
    return f"{name} fits, but for its plugins: {_some(others)}" if others else f"{name} fits"


def _head(plan: Plan, digest: str | None, lock: str, idle: Sequence[str]) -> Iterator[str]:
    """Yield the image's name and what holds for all of its layers."""
    target = plan.target
    python = f"Python {target.python}" if target.python else "no Python"
    yield plan.reference
    yield f"  base        {_base_words(plan, digest)}"
    yield f"  target      {target.arch}, {python}, {target.device}"
    if plan.frameworks:
        chosen = (
            f"{one.name} {one.series}" + (f" (for {', '.join(one.required_by)})" if one.required_by else "")
            for one in plan.frameworks
        )
        yield f"  frameworks  {', '.join(chosen)}"
    yield from _plugin_words(plan, idle)
    if plan.constraints:
        limits = zip(plan.constraints, plan.constraint_origins, strict=True)
        words = (f"{text} ({', '.join(origins)})" for text, origins in limits)
        yield f"  limits      {', '.join(words)}"
    if plan.build_network:
        yield f"  network     while built from source: {', '.join(plan.build_network)}"
    if target.python:
        yield f"  lock        {lock}"


def _plugin_words(plan: Plan, idle: Sequence[str]) -> Iterator[str]:
    """Yield the local plugins of the image, and what each policy did."""
    from avabuild.plugins.provider import is_local

    local = {f"{one.distribution} ({one.version})" for one in plan.frameworks if is_local(one.distribution)}
    if local:
        yield f"  plugins     {', '.join(sorted(local))}"
    for number, one in enumerate(plan.policies):
        head = "" if number else "policies"
        did = _some_of(one.did) if one.did else "nothing to add"
        yield f"  {head:10}  {one.name} ({one.distribution} {one.version}): {did}"
    if idle:
        yield f"  policies    not in force, because nothing names them: {', '.join(idle)}"


def _base_words(plan: Plan, digest: str | None) -> str:
    """Name the base as the recipe does, never by the mirror it came from."""
    offer = plan.base_offer
    if offer:
        words = _known_base_words(plan, digest)
        return f"{offer} ({offer.distribution} {offer.version}): {words}"
    return _known_base_words(plan, digest)


def _known_base_words(plan: Plan, digest: str | None) -> str:
    written = plan.base.model_dump(mode="json")
    if not isinstance(written, dict):
        return "scratch: nothing"
    kind, named = next(iter(written.items()))
    return f"{kind} {named}, " + (digest[:19] if digest else "not here yet")


def _table(plan: Plan, rows: Sequence[Row]) -> Iterator[str]:
    """Yield a line per layer in columns, and one more where there is a reason to tell."""
    cells = [(row.name, row.state, _download(row), _asked_by(row, plan), _holds(row)) for row in rows]
    head = ("layer", "state", "download", "asked by", "holds")
    widths = [max(len(line[column]) for line in [head, *cells]) for column in range(4)]
    for row, line in zip([None, *rows], [head, *cells], strict=True):
        name, state, download, asked = (text.ljust(width) for text, width in zip(line, widths, strict=False))
        yield "  ".join(["", name, state, download.strip().rjust(widths[2]), asked, line[4]]).rstrip()
        if row and row.why:
            yield f"    rebuilt: {_some(row.why)}"


def _download(row: Row) -> str:
    if row.state == "cached":
        return "-"
    return "?" if _unknown(row) else human(row.download) if row.download else "-"


def _unknown(row: Row) -> bool:
    """Whether nobody can say yet how much a layer downloads: what apt picks is known when it has run."""
    if row.kind in {"files", "directories"}:
        return False
    return row.state == "unknown" or (row.kind == "compile" and row.state == "build")


def _asked_by(row: Row, plan: Plan) -> str:
    """Return who asked for a layer; what all frameworks need together doesn't list them again."""
    origins = [origin for origin in row.origins if origin != "avabuild"] or list(row.origins)
    if len(origins) > 1 and set(origins) >= {one.name for one in plan.frameworks}:
        return "frameworks"
    return ", ".join(origins)


def _holds(row: Row) -> str:
    if len(row.holds) > _SHOWN:
        return f"{len(row.holds)} packages"
    if row.unpacked and not row.holds:
        return f"{human(row.unpacked)} {'written' if row.kind == 'run' else 'of files'}"
    return ", ".join(row.holds)


def _some(words: Sequence[str]) -> str:
    return ", ".join(words[:_SHOWN]) + (f" and {len(words) - _SHOWN} more" if len(words) > _SHOWN else "")


def _some_of(words: Sequence[str]) -> str:
    """Return up to eight words: a policy says what it did to everyone's image."""
    return ", ".join(words[:8]) + (f" and {len(words) - 8} more" if len(words) > 8 else "")


def _sum(rows: Sequence[Row], digest: str | None) -> str:
    """Say how much there is to do, in one line."""
    building = sum(row.state != "cached" for row in rows)
    base = "" if digest is not None else ", and the base"
    if not building:
        return f"  all {len(rows)} layers are cached{base and ', the base is not'}"
    total = sum(row.download for row in rows)
    least = "at least " if any(map(_unknown, rows)) else ""
    bytes_ = f"{least}{human(total)}" if total or least else "nothing"
    return f"  {building} of {len(rows)} layers to build, {bytes_} to download{base}"
