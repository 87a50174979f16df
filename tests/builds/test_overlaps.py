"""Two wheels with one path: the later name's file is in the image, and every run tells of it."""

from __future__ import annotations

import random
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .user import User

pytestmark = [pytest.mark.build, pytest.mark.root_builder]  # none of it depends on who builds

RECIPE = """
    name = "ava-test-overlaps"
    base = { debian = "bookworm" }
    [packages]
    pip = ["./avazzz-1.0-py3-none-any.whl", "./avaaaa-1.0-py3-none-any.whl"]
"""
WARNING = "avaaaa and avazzz all have /opt/venv/lib/python3.11/site-packages/both.py; the one of avazzz is in the image"


def wheel(place: Path, name: str, size: int) -> None:
    info = f"{name}-1.0.dist-info"
    with zipfile.ZipFile(place / f"{name}-1.0-py3-none-any.whl", "w") as archive:
        archive.writestr("both.py", f"WHO = {name!r}\n")
        archive.writestr(f"{name}.bin", random.Random(name).randbytes(size))
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")


def test_the_later_name_wins_whatever_the_wheels_weigh(builder: User) -> None:
    wheel(builder.home, "avaaaa", 10)
    wheel(builder.home, "avazzz", 21_000_000)  # heavy: in a layer of its own, below the light one
    recipe = builder.recipe(RECIPE)
    first = builder.avabuild("recipe", recipe, "--json")
    assert first.code == 0, first.err
    image = str(first.image["reference"])
    who = "/opt/venv/bin/python -c 'import both; print(both.WHO)'"
    assert builder.inside(image, who) == "avazzz\n"
    listed = builder.inside(
        image, "cat /opt/venv/lib/python3.11/site-packages/avazzz-1.0.dist-info/direct_url.json"
    )
    assert '"url": "file:///avazzz-1.0-py3-none-any.whl"' in listed
    assert WARNING in first.out
    builder.recipe(RECIPE + '    [image]\n    env = { A = "1" }\n')
    again = builder.avabuild("recipe", recipe, "--json")
    assert again.image["made"] == []
    assert WARNING in again.out
    nothing = builder.avabuild("recipe", recipe)
    assert "nothing to do" in nothing.err
    assert WARNING in nothing.err
    planned = builder.avabuild("plan", recipe)
    assert WARNING in planned.err
    assert "files of several wheels" in planned.out
    assert "all 8 layers are cached" in planned.out
