"""Frameworks in tables of images: some have a column of their own, all others share one. Pure."""

from __future__ import annotations

from collections.abc import Mapping

OWN = {"sdk": "ava-sdk", "jupyterlab": "jupyterlab"}  # by column
_TOLD = frozenset({"python", "cuda"})  # their columns are there for every image


def split(versions: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """Return the versions by column, empty where an image lacks one, and all others by framework."""
    own = {column: str(versions.get(name, "")) for column, name in OWN.items()}
    told = _TOLD.union(OWN.values())
    return own, {str(name): str(version) for name, version in versions.items() if name not in told}
