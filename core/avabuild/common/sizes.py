"""Sizes in bytes as a person reads them."""

from __future__ import annotations


def human(size: int) -> str:
    """Return `size` bytes in decimal units: `27 kB`, `82.4 MB`, `1.57 GB`."""
    if size < 1_000_000:
        return f"{-(-size // 1000)} kB"
    return f"{size / 1e6:.1f} MB" if size < 1_000_000_000 else f"{size / 1e9:.2f} GB"
