"""The front page: the platform's table of all images, and the controls that narrow it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from avabuild.catalog.frame import counted, dash, listed, page, size_words, unseen
from avabuild.catalog.markup import Html, el, join
from avabuild.catalog.values import Entry, Missing, Site, natural
from avabuild.images.columns import OWN

_COLUMNS = ("Image", "Python", "SDK", "JupyterLab", "CPU", "CUDA", "Framework")
_SIZE = "Size"  # a column where any is known


def front(site: Site) -> str:
    """Return the front page."""
    return page(
        site.title,
        "index.html",
        "Skip to the images",
        el("h1", site.title, class_="title"),
        el("p", _lead(site.entries), class_="lead"),
        _controls(site.entries),
        el("p", counted(len(site.entries), "image"), id="count", role="status", aria_live="polite"),
        _table(site),
        _nothing(),
        *_left_out(site.missing),
    )


def _lead(entries: Sequence[Entry]) -> str:
    """Say in a sentence or two what there is, and what one does with it."""
    if not entries:
        return "There is no image here yet."
    pythons = sorted({entry.python for entry in entries if entry.python}, key=natural)
    cudas = sorted({entry.cuda for entry in entries if entry.cuda}, key=natural)
    named = {part.name for entry in entries for part in entry.frameworks}
    parts = [f"for Python {_span(pythons)}"] if pythons else []
    devices = ["the CPU"] if any(not entry.cuda for entry in entries) else []
    devices += [f"CUDA {_span(cudas)}"] if cudas else []
    parts.append(f"on {listed(tuple(devices))}")
    holding = f" with {listed(tuple(sorted(named)))}" if named else ""
    return f"Images{holding}, {', '.join(parts)}. Open one to see what is in it, to run it or to build on it."


def _span(sorted_texts: Sequence[str]) -> str:
    first, last = sorted_texts[0], sorted_texts[-1]
    return first if first == last else f"{first} to {last}"


def _controls(entries: Sequence[Entry]) -> Html:
    """Return the form that the script shows: without one it could do nothing."""
    pythons = sorted({entry.python for entry in entries if entry.python}, key=natural, reverse=True)
    cudas = sorted({entry.cuda for entry in entries if entry.cuda}, key=natural, reverse=True)
    names = sorted({part.name for entry in entries for part in entry.frameworks})
    devices = [("cpu", "CPU"), *([("cuda", "CUDA, any")] if cudas else [])]
    devices += [(f"cuda{cuda}", f"CUDA {cuda}") for cuda in cudas]
    search = el(
        "div",
        el("label", "Search", for_="search"),
        el(
            "input",
            type="search",
            id="search",
            autocomplete="off",
            spellcheck="false",
            placeholder="image, framework or package",
            aria_describedby="search-help",
        ),
        el("span", "Press / to search", id="search-help", class_="unseen"),
        class_="field wide",
    )
    return el(
        "form",
        search,
        _choice("framework", "Framework", [(name, name) for name in names]),
        _choice("python", "Python", [(python, python) for python in pythons]),
        _choice("device", "Device", devices),
        el("button", "Clear", type="reset", class_="quiet"),
        id="filter",
        class_="filter",
        role="search",
        aria_label="Images",
        hidden=True,
    )


def _choice(name: str, label: str, values: Iterable[tuple[str, str]]) -> Html:
    options = [el("option", text, value=value) for value, text in (("", "any"), *values)]
    return el(
        "div",
        el("label", label, for_=name),
        el("select", *options, id=name),
        class_="field",
    )


def _table(site: Site) -> Html:
    """Return the table; its roles stay when narrow screens lay rows out as cards."""
    sized = any(entry.size for entry in site.entries)
    heads = [el("th", name, scope="col", role="columnheader") for name in _COLUMNS]
    if sized:
        heads.append(el("th", _SIZE, scope="col", role="columnheader", class_="size"))
    return el(
        "table",
        el("caption", "Images and what is in them", class_="unseen"),
        el("thead", el("tr", *heads, role="row"), role="rowgroup"),
        el("tbody", *(_row(entry, site, sized=sized) for entry in site.entries), role="rowgroup"),
        id="images",
        class_="images",
        role="table",
        aria_label="Images",
    )


def _row(entry: Entry, site: Site, *, sized: bool) -> Html:
    name = el("a", el("strong", entry.name), el("span", f":{entry.tag}", class_="tag"), href=entry.path)
    badge = None
    if site.registry and entry.state != "published":
        badge = el("span", "not published", class_="badge")
    cells = (
        el("th", name, badge, scope="row", role="rowheader", data_sort=entry.title),
        _cell("Python", entry.python or dash(), entry.python),
        _cell("SDK", entry.sdk or dash(), entry.sdk),
        _cell("JupyterLab", entry.jupyterlab or dash(), entry.jupyterlab),
        _cell("CPU", dash() if entry.cuda else _tick(), "" if entry.cuda else "1"),
        _cell("CUDA", _cuda(entry), entry.cuda),
        _cell("Framework", _frameworks(entry), " ".join(map(str, entry.frameworks))),
    )
    size = _cell(_SIZE, size_words(entry.size) if entry.size else dash(), str(entry.size or ""))
    return el(
        "tr",
        *cells,
        size if sized else None,
        role="row",
        data_words=" ".join(dict.fromkeys(_words(entry))).lower(),
        data_python=entry.python,
        data_device=f"cuda cuda{entry.cuda}" if entry.cuda else "cpu",
        data_framework=" ".join(part.name for part in entry.frameworks),
    )


def _cell(label: str, content: Html | str, sort: str) -> Html:
    """Return a cell; `label` stands beside it on narrow screens."""
    kind = f"c-{label.lower()}" + ("" if sort else " empty")
    return el("td", content, role="cell", class_=kind, data_label=label, data_sort=sort)


def _tick() -> Html:
    return join(el("span", "✓", class_="tick", aria_hidden="true"), unseen("yes"))


def _cuda(entry: Entry) -> Html:
    if not entry.cuda:
        return dash()
    cudnn = el("small", f" cuDNN {entry.cudnn}") if entry.cudnn else None
    return join(entry.cuda, cudnn)


def _frameworks(entry: Entry) -> Html:
    if not entry.frameworks:
        return dash()
    shown = [
        el("span", part.name, " ", el("span", part.version, class_="version"), class_="framework")
        for part in entry.frameworks
    ]
    return join(shown[0], *(join(", ", one) for one in shown[1:]))


def _words(entry: Entry) -> Iterator[str]:
    """Yield what the search finds an image by."""
    yield from (entry.title, entry.base, entry.device, f"python {entry.python}")
    yield from map(str, entry.frameworks)
    yield from (
        f"{name} {version}"
        for name, version in ((OWN["sdk"], entry.sdk), (OWN["jupyterlab"], entry.jupyterlab))
        if version
    )
    yield from (part.name for part in entry.python_packages)


def _nothing() -> Html:
    return el(
        "p",
        "No image fits. ",
        el("button", "Show all of them", type="button", id="all", class_="quiet"),
        id="nothing",
        class_="nothing",
        hidden=True,
    )


def _left_out(missing: Sequence[Missing]) -> Iterator[Html]:
    """Yield what has no page, and why: a reader who looks for it shall know that it is not forgotten."""
    if not missing:
        return
    items = [el("li", el("strong", one.name), f": {one.reason}") for one in missing]
    yield el("h2", "Not shown")
    yield el("p", "These recipes could not be planned where this page was made:")
    yield el("ul", *items, class_="missing")
