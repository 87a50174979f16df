"""Contract: its number, how a plugin states the one it was written for, and how what is to go warns first."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import re
from pathlib import Path

CONTRACT = 2
"""The contract that this avabuild has. Each release that adds to it or changes it raises the number.

A plugin's module states the one it was written for, as `AVABUILD_CONTRACT = 1` on a line of its own. A module
that says nothing is of contract 1. What a contract has keeps working in later ones.
"""

_STATED = re.compile(r"^AVABUILD_CONTRACT[ \t]*(?::[^=\n]*)?=(?!=)[ \t]*(.*?)[ \t]*(?:#.*)?$", re.MULTILINE)


class Deprecation(DeprecationWarning):
    """Something of the contract that a later release removes, used by a plugin.

    It works until then: the command line shows the warning with the plugin's file and line. A hook that is
    to go has it as pluggy's `warn_on_impl`; anything else gives it to `warnings.warn` when it is used.
    """

    def __init__(self, what: str, *, removed_in: str, instead: str) -> None:
        super().__init__(f"{what} goes away in avabuild {removed_in}: {instead}")


def stated(text: str) -> int:
    """Return the contract that the source text of a plugin's module states, 1 when it states none.

    Raises:
        ValueError: it states something other than a whole number from 1 on, written out: avabuild reads the
            text, and does not run it.
    """
    found = _STATED.search(text)
    if not found:
        return 1
    if not re.fullmatch(r"[1-9][0-9]{0,5}", found[1]):
        raise ValueError(f"AVABUILD_CONTRACT must be a number that is written out, not {found[1]}")
    return int(found[1])


def source_of(module: str) -> Path | None:
    """Return the file of a module that can be imported, importing nothing; None for one without a text.

    `module` is what an entry point names: `my_plugin`, `my_package.part` or `my_plugin:object`.
    """
    top, *parts = module.partition(":")[0].split(".")
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return None
    for part in parts:
        if spec is None or spec.submodule_search_locations is None:
            return None
        name = f"{spec.name}.{part}"
        spec = importlib.machinery.PathFinder.find_spec(name, list(spec.submodule_search_locations))
    path = Path(spec.origin) if spec and spec.origin else None
    return path if path and path.suffix == ".py" and path.is_file() else None


def contract_of(module: str) -> int:
    """Return the contract that an installed module states, without importing it; raises as `stated` does."""
    path = source_of(module)
    return stated(path.read_text(encoding="utf-8-sig", errors="replace")) if path else 1
