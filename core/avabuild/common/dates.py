"""Dates of images, as recipes and hosts say them and as configs have them. Pure."""

from __future__ import annotations

from datetime import UTC, datetime


def date_of(given: str | int) -> str:
    """Return a date as configs have it, of seconds since the epoch or of text by RFC 3339.

    Raises ValueError for what is neither.
    """
    text = str(given).strip()
    date = datetime.fromtimestamp(int(text), UTC) if text.isdecimal() else datetime.fromisoformat(text)
    if date.tzinfo is None:
        raise ValueError(f"{text} has no time zone")
    return date.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
