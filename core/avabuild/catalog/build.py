"""All files of a site as bytes, by their path below its root: the same values, the same bytes. Pure."""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib.resources import files

from avabuild.catalog.detail import detail
from avabuild.catalog.frame import DATA, SCRIPT, STYLE
from avabuild.catalog.front import front
from avabuild.catalog.gather import named, published, unplanned
from avabuild.catalog.values import Entry, Missing, Site, order
from avabuild.images.image import Image


def site_of(
    title: str,
    entries: Sequence[Entry],
    missing: Sequence[Missing],
    registry: str = "",
    held: Sequence[Image] = (),
) -> Site:
    """Return the site of the recipes' images and of those that the registry holds."""
    there = {named(image): image for image in held}
    planned = {(entry.name, entry.tag) for entry in entries}
    merged = [
        published(entry, there[entry.name, entry.tag]) if (entry.name, entry.tag) in there else entry
        for entry in entries
    ]
    merged += [unplanned(image) for key, image in there.items() if key not in planned]
    return Site(
        title=title,
        registry=registry,
        entries=tuple(sorted(merged, key=order)),
        missing=tuple(sorted(missing, key=lambda one: one.name)),
    )


def pages(site: Site) -> dict[str, bytes]:
    """Return every file of the site."""
    assets = files("avabuild.catalog") / "assets"
    made = {
        "index.html": front(site).encode(),
        STYLE: (assets / STYLE).read_bytes(),
        SCRIPT: (assets / SCRIPT).read_bytes(),
        DATA: json.dumps(site.model_dump(mode="json"), indent=1, ensure_ascii=False).encode() + b"\n",
    }
    return made | {entry.path: detail(entry, site).encode() for entry in site.entries}
