"""Rules about checks: programs for the target's Python, judged by their text."""

from __future__ import annotations

import ast
from collections.abc import Iterator

_OLDEST = (3, 7)  # the oldest grammar that ast knows


def faults(program: str, python: str) -> Iterator[tuple[str, str]]:
    """Yield what is wrong with a check for `python`, with what to change."""
    number = tuple(int(part) for part in python.split("."))
    version = (3, max(number[1], _OLDEST[1])) if number[0] == 3 else _OLDEST
    try:
        tree = ast.parse(program, feature_version=version)
    except (SyntaxError, ValueError) as error:
        line = getattr(error, "lineno", None)
        where = f" in line {line}" if line else ""
        hint = "write it for the oldest Python of the row" if number[0] == 3 else (
            "write what both 2.7 and 3 can read, with from __future__ import print_function"
        )  # fmt: skip
        yield f"is no program for Python {python}: {getattr(error, 'msg', error)}{where}", hint
        return
    nodes = list(ast.walk(tree))
    if python == "2.7" and any(isinstance(node, ast.JoinedStr) for node in nodes):
        yield "has an f-string, which Python 2.7 can't read", 'write "%s" % value'
    if not any(_prints(node) for node in nodes):
        yield "prints nothing", "end it with print(name, version): the build shows that line"


def _prints(node: ast.AST) -> bool:
    if not isinstance(node, ast.Call):
        return False
    called = node.func
    return (isinstance(called, ast.Name) and called.id == "print") or (
        isinstance(called, ast.Attribute) and called.attr == "write"
    )
