"""docs/cli.md: what it says of exit codes and events is what there is, and is said once."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

from avabuild.cli import BUG, INTERRUPTED
from avabuild.common import errors

PAGE = (Path(__file__).parents[2] / "docs" / "cli.md").read_text()


def section(title: str) -> str:
    found = re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    assert found
    return found[1]


def test_every_exit_code_is_told_once_in_order_with_its_class():
    rows = re.findall(r"^\| (\d+) \| (?:`(\w+)`)? ?\|", section("Exit codes"), re.MULTILINE)
    classes = {
        kind.__name__: kind.exit_code
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, errors.AvabuildError) and "exit_code" in vars(kind)
    }
    codes = [int(code) for code, _ in rows]
    assert codes == sorted(set(codes))
    assert {name: int(code) for code, name in rows if name} == classes
    assert {int(code) for code, name in rows if not name} == {0, BUG, INTERRUPTED}


def test_no_heading_and_no_row_of_a_table_is_there_twice():
    lines = [line for line in PAGE.splitlines() if re.match(r"#+ |\| `?[\w-]", line)]
    assert [line for line, count in Counter(lines).items() if count > 1] == []


def test_no_event_is_explained_twice():
    text = " ".join(section("Events").split())
    names = re.findall(r"[.;] `(\w+)`(?: has | names | of | is the end)", text)
    assert {"image", "checked", "locked", "error", "skip"} <= set(names)
    assert [name for name, count in Counter(names).items() if count > 1] == []
