"""What all pages of a site have in common: head, skip link, header, footer. Pure."""

from __future__ import annotations

from avabuild.catalog.markup import Html, el, join
from avabuild.common.sizes import human

STYLE, SCRIPT, DATA = "site.css", "site.js", "catalog.json"
NONE = "\N{EN DASH}"


def page(title: str, path: str, skip: str, *content: Html, brand: str = "") -> str:
    """Return a whole page that stands at `path` below the site's root.

    `skip` words the skip link, `brand` the link to the front page, which has none itself.
    """
    root = "../" * path.count("/")
    head = el(
        "head",
        el("meta", charset="utf-8"),
        el("meta", name="viewport", content="width=device-width, initial-scale=1"),
        el("meta", name="color-scheme", content="light dark"),
        el("meta", name="generator", content="avabuild catalog"),
        el("title", title),
        el("link", rel="icon", href="data:,"),
        el("link", rel="stylesheet", href=root + STYLE),
        el("script", src=root + SCRIPT),
    )
    body = el(
        "body",
        el("a", skip, class_="skip", href="#main"),
        _top(brand, f"{root}index.html"),
        el("main", *content, id="main", tabindex="-1"),
        _bottom(root),
        el("div", id="said", class_="unseen", role="status", aria_live="polite"),
    )
    return f"<!doctype html>\n{el('html', head, body, lang='en')}\n"


def _top(brand: str, home: str) -> Html:
    mark = el("span", class_="mark", aria_hidden="true")  # a stack of layers
    link = el("a", mark, brand, class_="brand", href=home) if brand else None
    toggle = el("button", type="button", id="theme", class_="quiet", hidden=True)
    return el("header", link, toggle, class_="top")


def _bottom(root: str) -> Html:
    data = el("a", "the same as data", href=root + DATA)
    return el("footer", el("p", "Made by avabuild from recipes and their locks · ", data), class_="bottom")


def size_words(size: int) -> str:
    """Return a size for people, or a dash where it is unknown."""
    return human(size).replace(" ", "\N{NO-BREAK SPACE}") if size else NONE


def counted(number: int, one: str, many: str = "") -> str:
    """Return `1 image`, `2 images`."""
    return f"{number} {one if number == 1 else many or one + 's'}"


def listed(words: tuple[str, ...]) -> str:
    """Return `a`, `a and b`, `a, b and c`."""
    *most, last = words or ("",)
    return f"{', '.join(most)} and {last}" if most else last


def unseen(text: str) -> Html:
    """Return text that is only heard."""
    return el("span", text, class_="unseen")


def dash() -> Html:
    """Return what stands where there is nothing: seen as a dash, heard as `none`."""
    return join(el("span", NONE, class_="none", aria_hidden="true"), unseen("none"))
