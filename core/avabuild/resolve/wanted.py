"""What is to be downloaded, and how often it is tried."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Policy:
    """How often to try without progress, and the first pause in seconds, which doubles each time."""

    attempts: int = 5
    pause: float = 0.5


@dataclass(frozen=True, slots=True)
class Wanted:
    """One file to get: `url` of http, https or file; `sha256` in hex; `size` in bytes, 0 where unknown."""

    url: str = field(repr=False)  # it may have a password in it
    sha256: str
    size: int
    filename: str
