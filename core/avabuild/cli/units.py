"""Sizes and ages: as a person reads them, and as a person writes them."""

from __future__ import annotations

import re

from avabuild.common.sizes import human

__all__ = ["age", "human", "read_age", "read_size"]

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]?)(i?)b?", re.IGNORECASE)
_AGE = re.compile(r"(\d+(?:\.\d+)?)\s*([smhdw])", re.IGNORECASE)
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


def read_size(text: str) -> int:
    """Read `50GB`, `512 MiB` or `0` as bytes; raise ValueError for anything else."""
    found = _SIZE.fullmatch(text.strip())
    if not found or (found[3] and not found[2]):
        raise ValueError(f'"{text}" is no size; write 50GB, 800MB or 2GiB')
    return int(float(found[1]) * (1024 if found[3] else 1000) ** " kmgt".index(found[2].lower() or " "))


def read_age(text: str) -> float:
    """Read `30d`, `12h`, `2w` as seconds; raise ValueError for anything else."""
    found = _AGE.fullmatch(text.strip())
    if not found:
        raise ValueError(f'"{text}" is no age; write 30d, 12h or 2w')
    return float(found[1]) * _SECONDS[found[2].lower()]


def age(seconds: float) -> str:
    """Return how long something has been as a person says it: `3 minutes`, `5 days`."""
    for unit, length in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if seconds >= length:
            count = int(seconds // length)
            return f"{count} {unit}" + ("s" if count > 1 else "")
    return "now"
