"""How a recipe's problems are worded: dotted paths and the nearest known word."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

KeyPath = tuple[str | int, ...]
"""Where a value is in a document: keys of tables and indexes of arrays, `("run", 0, "shell")`."""

_BARE = re.compile(r"[A-Za-z0-9_-]+")


def dotted(path: KeyPath) -> str:
    """Return `path` as TOML spells it, with indexes: `run[0].env."A B"`."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            word = part if _BARE.fullmatch(part) else f'"{part}"'
            text += f".{word}" if text else word
    return text


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return `; did you mean "keras"?` for the known word most like `word`, or nothing when none is near."""
    by_lower = {name.lower(): name for name in known}
    near = difflib.get_close_matches(word.lower(), by_lower, n=1)
    return f'; did you mean "{by_lower[near[0]]}"?' if near else ""


def listed(words: Iterable[str]) -> str:
    """Return the words sorted and separated by commas, or `none`."""
    return ", ".join(sorted(words)) or "none"
