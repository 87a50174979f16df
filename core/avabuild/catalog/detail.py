"""The page of one image: how to use it, what it holds, layer by layer and package by package. Pure."""

from __future__ import annotations

import json
import posixpath
import shlex
from collections.abc import Iterator, Sequence

from avabuild.catalog.frame import counted, dash, listed, page, size_words
from avabuild.catalog.markup import Html, el, join
from avabuild.catalog.values import Entry, Part, Site, Slice

_SHOWN = 6  # of what a layer holds; more are counted
_FILTERED_FROM = 20  # packages, so many that one wants to search them


def detail(entry: Entry, site: Site) -> str:
    """Return the page of `entry`."""
    root = "../" * entry.path.count("/")
    home = el("a", "Images", href=f"{root}index.html")
    crumbs = el("nav", home, " / ", el("span", entry.name), aria_label="Breadcrumb", class_="crumbs")
    return page(
        f"{entry.title} · {site.title}",
        entry.path,
        "Skip to the image",
        crumbs,
        el("h1", entry.name, el("span", f":{entry.tag}", class_="tag")),
        el("p", _lead(entry), class_="lead"),
        el("div", _commands(entry, site), _facts(entry, site), class_="split"),
        *_siblings(entry, site, root),
        *_layers(entry),
        *_packages(entry),
        brand=site.title,
    )


def _lead(entry: Entry) -> str:
    """Say in a sentence what the image holds."""
    parts = [str(part) for part in entry.frameworks]
    parts += [f"JupyterLab {entry.jupyterlab}"] if entry.jupyterlab else []
    parts += [f"the AVA SDK {entry.sdk}"] if entry.sdk else []
    device = f"for {entry.device}" if entry.cuda else "for the CPU"
    if not entry.python:
        return f"{listed(tuple(parts)) or 'No Python'}, {device}."
    if not parts:
        return f"Python {entry.python} and an empty environment, {device}."
    return f"{listed(tuple(parts))} on Python {entry.python}, {device}."


# -- how to use it -----------------------------------------------------------------------------------------


def _commands(entry: Entry, site: Site) -> Html:
    blocks = [_command(title, text) for title, text in commands_of(entry, site)]
    return el("section", el("h2", "Use it"), *blocks)


def commands_of(entry: Entry, site: Site) -> Iterator[tuple[str, str]]:
    """Yield the lines for a reader to copy, each with its title."""
    if entry.state != "published" and entry.recipe:
        several = sum(other.recipe == entry.recipe for other in site.entries) > 1
        only = f" --only {shlex.quote(entry.title)}" if several else ""
        yield "Build it", f"avabuild recipe {shlex.quote(entry.recipe)}{only}"
    yield "Run it", run_line(entry)
    if entry.state == "published":
        yield "Build on it, in a recipe of yours", f"base = {{ image = {json.dumps(entry.reference)} }}"
    elif entry.recipe:
        beside = posixpath.basename(entry.recipe)
        yield "Build on it, in a recipe beside it", f"base = {{ recipe = {json.dumps(beside)} }}"


def run_line(entry: Entry) -> str:
    """Return the command that runs a container of the image."""
    ports = [f"-p {shlex.quote(f'{_number(port)}:{port}')}" for port in entry.ports]
    gpu = ["--device nvidia.com/gpu=all"] if entry.cuda else []
    return " ".join(["podman run --rm -it", *gpu, *ports, shlex.quote(entry.reference)])


def _number(port: str) -> str:
    return port.partition("/")[0]


def _command(title: str, text: str) -> Html:
    words = text.split(" ")  # lines break between words, never within one
    code = el("code", *(join(" " if at else None, el("span", word)) for at, word in enumerate(words)))
    block = el("pre", code, tabindex="0", role="region", aria_label=title)
    return el("div", el("h3", title), block, class_="command", data_copy=title)


def _facts(entry: Entry, site: Site) -> Html:
    rows = [
        item
        for name, value in facts_of(entry, site)
        for item in (el("dt", name), el("dd", value, class_="mono" if name in {"Digest", "Recipe"} else None))
    ]
    return el("section", el("h2", "At a glance"), el("dl", *rows), class_="facts")


def facts_of(entry: Entry, site: Site) -> Iterator[tuple[str, str]]:
    """Yield what is known of the image as a whole."""
    if entry.base:
        yield "Stands on", entry.base
    if entry.arch:
        yield "Architecture", entry.arch
    cudnn = f", cuDNN {entry.cudnn}" if entry.cudnn else ""
    yield "Device", f"{entry.device}{cudnn}"
    if entry.driver:
        yield "NVIDIA driver", f"{entry.driver} or newer"
    if entry.recipe:
        yield "Recipe", entry.recipe
    if entry.size:
        yield "Size", f"{size_words(entry.size)} compressed, in {counted(len(entry.slices), 'layer')}"
    if entry.digest:
        yield "Digest", entry.digest
    if site.registry:
        yield "Registry", site.registry if entry.state == "published" else f"not yet in {site.registry}"


# -- what it holds -----------------------------------------------------------------------------------------


def _layers(entry: Entry) -> Iterator[Html]:
    if not entry.slices:
        return
    most = max(one.size or one.download for one in entry.slices)
    heads = [("Layer", None), ("Asked by", "by"), ("Holds", "holds"), ("Size", "size")]
    cells = (el("th", name, scope="col", role="columnheader", class_=kind) for name, kind in heads)
    yield el("h2", "Layers", id="layers")
    yield el(
        "p", "Lowest first. What several images have in common is stored and fetched once.", class_="note"
    )
    yield el(
        "table",
        el("thead", el("tr", *cells, role="row"), role="rowgroup"),
        el("tbody", *(_layer(one, most) for one in entry.slices), role="rowgroup"),
        class_="layers",
        role="table",
        aria_labelledby="layers",
    )


def _layer(one: Slice, most: int) -> Html:
    """Return a layer's row; its roles stay when narrow screens lay it out otherwise."""
    size = one.size or one.download
    share = round(100 * size / most, 1) if most else 0
    bar = el("span", class_="bar", style=f"--share:{share:g}%", aria_hidden="true") if size else None
    told = el("small", " to download") if one.download and not one.size else None
    return el(
        "tr",
        el("th", one.name or "base", scope="row", role="rowheader"),
        el("td", ", ".join(one.origins), role="cell", class_="by"),
        el("td", _holds(one.holds), role="cell", class_="holds"),
        el("td", size_words(size) if size else dash(), told, bar, role="cell", class_="size"),
        role="row",
    )


def _holds(names: Sequence[str]) -> str:
    if len(names) > _SHOWN:
        return counted(len(names), "package")
    return ", ".join(names)


def _packages(entry: Entry) -> Iterator[Html]:
    if entry.requirements:
        yield el("h2", "Packages")
        yield el(
            "p",
            "The recipe has no lock for this image yet: the first build finds the versions and writes them "
            "down. It asks for",
            class_="note",
        )
        yield el("ul", *(el("li", el("code", text)) for text in entry.requirements), class_="asked")
    yield from _list("Python packages", "python-packages", entry.python_packages)
    yield from _list("Debian packages", "apt-packages", entry.apt_packages)


def _list(title: str, identity: str, parts: Sequence[Part]) -> Iterator[Html]:
    if not parts:
        return
    total = sum(part.size for part in parts)
    items = [
        el(
            "li",
            el("span", part.name, class_="package"),
            " ",
            el("span", part.version, class_="version"),
            " ",
            el("span", size_words(part.size), class_="bytes"),
        )
        for part in parts
    ]
    words = f"{counted(len(parts), 'package')}, {size_words(total)} to download"
    yield el("h2", title, id=identity)
    yield el("p", words, class_="note")
    filtered = len(parts) >= _FILTERED_FROM
    yield el(
        "ul", *items, class_="packages", aria_labelledby=identity, data_filterable=title if filtered else None
    )


def _siblings(entry: Entry, site: Site, root: str) -> Iterator[Html]:
    """Yield the same image for other Pythons and devices: changing only the tag gives another."""
    others = [other for other in site.entries if other.name == entry.name and other.tag != entry.tag]
    if not others:
        return
    links = [
        el("li", el("a", other.tag, href=root + other.path), el("span", _differs(other), class_="version"))
        for other in others
    ]
    yield el("h2", join("Other tags of ", entry.name))
    yield el("ul", *links, class_="siblings")


def _differs(other: Entry) -> str:
    python = f"Python {other.python}, " if other.python else ""
    return f" {python}{other.device}"
