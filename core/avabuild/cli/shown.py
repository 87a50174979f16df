"""What is printed: no name or output of a stranger moves a terminal's cursor, hides or turns a text."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from avabuild.tools.events import Event

# C0 but tabs and line feeds, DEL and C1; what turns the direction of writing; halves of UTF-16, which no
# encoding has: bytes of a name that are no UTF-8 come as such.
_CONTROL = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)


def escaped(text: str) -> str:
    """Return `text` with control characters spelt as JSON and TOML spell them, so that these stay valid."""
    return _CONTROL.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def on_one_line(text: str) -> str:
    """Return a name or a title with its line feeds escaped too: it can't look like another message."""
    return escaped(text).replace("\n", "\\u000a")


def shown(event: Event) -> Event:
    """Return an event as people see it."""
    return replace(event, step=on_one_line(event.step), text=escaped(event.text))


def echo(text: object = "", *, err: bool = False, nl: bool = True) -> None:
    """Print `text`, escaped, on the standard output or error."""
    import typer

    typer.echo(escaped(str(text)), err=err, nl=nl)
