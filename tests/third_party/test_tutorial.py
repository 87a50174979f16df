"""The tutorial of docs/plugins.md, typed as it is written, by somebody with a fresh environment."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

pytestmark = [pytest.mark.network, pytest.mark.build]

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "plugins.md").read_text()
TUTORIAL = PAGE.partition("\n## An afternoon")[2].partition("\n## ")[0]
BLOCKS = re.findall(r"^```(sh|text|python|toml)( [^\n]*)?\n(.*?)^```$", TUTORIAL, re.MULTILINE | re.DOTALL)


def without_numbers(text: str) -> str:
    """What a page can promise of an output: releases and counts are the index's and the day's."""
    return re.sub(r"\d+(\.\d+)*( \d+(\.\d+)*)*", "N", text)


def test_the_tutorial_is_what_happens(stranger, kept, tmp_path):
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    env = clean | kept | {"PATH": f"{stranger.bin}:{os.environ['PATH']}", "COLUMNS": "200"}
    here, said = tmp_path / "home", ""
    here.mkdir()
    try:
        for language, about, text in BLOCKS:
            if language in {"python", "toml"}:
                (here / about.strip().removeprefix("file=")).write_text(text)
            elif language == "sh":
                said = ""
                for line in text.splitlines():  # each by itself: a shell forgives what is left of an &&
                    done = subprocess.run(
                        ["bash", "-ec", f"{line}\npwd > {tmp_path}/pwd"],
                        cwd=here, env=env, capture_output=True, text=True, check=False, timeout=900,
                    )  # fmt: skip
                    said += done.stdout + done.stderr
                    assert (done.returncode == 0) == ("fails" not in about), f"{line}\n{said}"
                    here = Path((tmp_path / "pwd").read_text().strip()) if done.returncode == 0 else here
            else:
                missing = [
                    line
                    for line in text.splitlines()
                    if without_numbers(line.strip()) not in without_numbers(said)
                ]
                assert missing == [], said
    finally:
        stranger.remove("avabuild-lightgbm")


def test_the_tutorial_has_commands_files_and_a_failure():
    assert [language for language, *_ in BLOCKS].count("sh") >= 4
    assert sum("file=" in about for _, about, _ in BLOCKS) == 3
    assert any("fails" in about for _, about, _ in BLOCKS)
    assert not [text for language, _, text in BLOCKS if language == "sh" and "&&" in text]
