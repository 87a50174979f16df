"""HTML as values: text is escaped by being text, and only what these functions made is markup. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

_VOID = frozenset({"br", "col", "input", "link", "meta"})


class Html(str):
    """Finished markup. Made here alone: whoever makes one elsewhere answers for its escaping."""

    __slots__ = ()


def el(name: str, /, *children: Html | str | Iterable[Html | str] | None, **attributes: object) -> Html:
    """Return an element; texts among its children are escaped, and so is every attribute's value.

    An attribute's name is written with underscores (`aria_label`, `class_`); True is an attribute without a
    value, None and False leave it out.
    """
    opening = f"<{name}{''.join(_attribute(*pair) for pair in attributes.items())}>"
    return Html(opening if name in _VOID else f"{opening}{join(*children)}</{name}>")


def join(*children: Html | str | Iterable[Html | str] | None) -> Html:
    """Return children one after another, texts escaped."""
    return Html("".join(map(_text, children)))


def _text(child: Html | str | Iterable[Html | str] | None) -> str:
    if child is None:
        return ""
    if isinstance(child, Html):
        return str(child)
    return escape(child, quote=False) if isinstance(child, str) else "".join(map(_text, child))


def _attribute(name: str, value: object) -> str:
    name = name.rstrip("_").replace("_", "-")
    if value is None or value is False:
        return ""
    return f" {name}" if value is True else f' {name}="{escape(str(value))}"'
