"""`avabuild inspect`: what one image holds and where it comes from."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from typing import TYPE_CHECKING, Annotated, Any

import typer

from avabuild.cli.options import InsecureOption, RootOption
from avabuild.cli.shown import echo

if TYPE_CHECKING:
    from avabuild.images.description import Description
    from avabuild.images.image import Image

IMAGE = Annotated[
    str,
    typer.Argument(
        metavar="IMAGE",
        help="Name or id in the local storage, a registry's reference, oci:DIR[:TAG], oci-archive:FILE or "
        "docker-archive:FILE.",
    ),
]


def inspect(
    image: IMAGE,
    lock: Annotated[
        bool,
        typer.Option(
            "--lock", help="Print the image's lock file; saved next to the recipe, it rebuilds this image."
        ),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    insecure: InsecureOption = False,
    root: RootOption = None,
) -> None:
    """Show an image's recipe, frameworks, plugins, layers and lock; one of a registry is not pulled.

    Example: avabuild inspect ava-keras:py311-cpu
    """
    from avabuild.cli.options import host_for
    from avabuild.images.find import find
    from avabuild.run.run import Workplace
    from avabuild.tools.events import Report

    with closing(Workplace.on(host_for({"root": root}))) as workplace:
        tools = workplace.tools(Report(lambda _: None), "inspect")
        found = find(image, tools, workplace.store, insecure=insecure)
    if lock:
        from avabuild.images.image import lock_of

        echo(lock_of(found), nl=False)
    elif as_json:
        echo(json.dumps(details(found), indent=2, ensure_ascii=False))
    else:
        echo("\n".join(_lines(found)))


def details(image: Image) -> dict[str, Any]:
    """Return all that JSON says of one image."""
    import dataclasses

    from avabuild.cli.images import summary

    about = image.description
    inner = image.config.get("config") or {}
    return {
        **summary(image),
        "architecture": image.config.get("architecture"),
        "plugins": dict(about.plugins),
        "policies": dict(about.policies),
        "offered_base": dict(about.offered) or None,
        "exported": about.exported or None,
        "recipe": about.recipe or None,
        "layers": [dataclasses.asdict(layer) for layer in about.layers],
        "lock": about.lock.model_dump(mode="json", exclude_defaults=True) if about.lock else None,
        "config": {key: value for key, value in inner.items() if key != "Labels"},
        "labels": {key: text for key, text in image.labels.items() if _is_plain(key)},
    }


def _is_plain(label: str) -> bool:
    return not label.startswith("org.avabuild.")


def _lines(image: Image) -> Iterator[str]:
    from avabuild.cli.units import human

    about = image.description
    yield image.reference
    yield f"  digest      {image.digest or '-'}"
    yield f"  id          {image.id}"
    yield f"  platform    {image.config.get('os')}/{image.config.get('architecture')}"
    if not about.own:
        yield "  made by     another tool: it says nothing of recipe, frameworks and lock"
    else:
        yield from _about(about)
    sizes = (image.size, image.unpacked_size)
    said = [f"{human(size)}{word}" for size, word in zip(sizes, ("", " unpacked"), strict=True) if size]
    yield f"  size        {', '.join(said) or '-'}"
    yield ""
    yield from _layers(about)


def _about(about: Description) -> Iterator[str]:
    if about.exported:
        yield f"  made by     another tool, of the exported Containerfile of {about.exported}"
    words = (f"Python {about.python}" if about.python else "", about.device)
    yield f"  target      {', '.join(filter(None, words))}"
    if about.frameworks:
        yield "  frameworks  " + ", ".join(f"{name} {text}" for name, text in about.frameworks.items())
        yield "  plugins     " + ", ".join(dict.fromkeys(map(str, about.plugins.values())))
    if about.policies:
        yield "  policies    " + ", ".join(f"{name} ({who})" for name, who in about.policies.items())
    stands = " ".join(f"{key} {value}" for key, value in about.base.items() if value not in (None, False))
    scratch = "scratch" if about.recipe.get("base") == "scratch" else "-"
    offered = "".join(f"{name} ({who}): " for name, who in about.offered.items())
    yield f"  base        {offered}{stands or scratch}" + (
        f", {about.lock.base[:19]}" if about.lock and about.lock.base else ""
    )
    packages = about.recipe.get("packages") or {}
    for kind in ("apt", "pip"):
        if packages.get(kind):
            yield f"  {kind:10}  {' '.join(packages[kind])}"
    if about.lock:
        debs = sum(len(apt.debs) for apt in about.lock.apt)
        yield f"  lock        {len(about.lock.python)} Python packages, {debs} Debian packages"
    else:
        yield "  lock        -  (an older avabuild made the image)"


def _layers(about: Description) -> Iterator[str]:
    from avabuild.cli.table import grid
    from avabuild.cli.units import human

    def size(number: int | None) -> str:
        return "-" if number is None else human(number)

    rows = [
        (
            layer.name,
            ", ".join(layer.origins) or "-",
            size(layer.size),
            size(layer.unpacked),
            layer.diff_id[7:19],
        )
        for layer in about.layers
    ]
    head = ("layer", "asked by", "size", "unpacked", "diff id")
    yield from (f"  {line}" for line in grid(head, rows, {"size", "unpacked"}))
