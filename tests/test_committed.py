"""What no committed file may hold: hosts of indexes and mirrors, and anybody's own paths."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# The kinds of names that indexes, registries and mirrors have; none of them is written here either.
_TOP = r"\.(?:org|com|net|edu|io|cn)\b"
HOSTS = (
    r"\bpypi(?:\.[\w-]+)?" + _TOP,
    r"\b(?:deb|security|snapshot|archive|files|mirrors?|download|packages|ftp)\.[\w-]+" + _TOP,
)
SETTINGS = ("PIP_FIND_LINKS", "PIP_INDEX_URL", "UV_DEFAULT_INDEX", "UV_INDEX", "AVABUILD_DEBIAN_MIRROR")


def forbidden(environ: Mapping[str, str]) -> list[str]:
    """Patterns of hosts, of this clone's own path and of what this host's index settings say."""
    settings = " ".join(environ.get(name, "") for name in SETTINGS).split()
    return [*HOSTS, *(re.escape(text) for text in (str(ROOT), *settings))]


def committed() -> list[Path]:
    """Every file that git has or would add; in an export without git, all of them."""
    listed = subprocess.run(
        ["git", "-C", ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        check=False, capture_output=True, text=True,
    )  # fmt: skip
    names = listed.stdout.split("\0") if listed.returncode == 0 else []
    return [path for name in names if name and (path := ROOT / name).is_file()]


@pytest.mark.skipif(shutil.which("git") is None, reason="git knows what is committed")
@pytest.mark.parametrize("pattern", forbidden(os.environ))
def test_no_committed_file_names_a_registry_a_mirror_or_a_path_of_someones_machine(pattern: str) -> None:
    files = committed()
    assert files, "git lists no file"
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()[:100]}"
        for path in files
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1)
        if re.search(pattern, line)
    ]
    assert found == []


@pytest.mark.parametrize(
    "host", ["pypi" + ".org", "deb.debian" + ".org", "mirrors.example" + ".edu", "pypi.x" + ".com"]
)
def test_the_patterns_know_a_registry_when_they_see_one(host: str) -> None:
    assert any(re.search(pattern, f"see https://{host}/simple") for pattern in HOSTS)


@pytest.mark.parametrize(
    "text", ["resolve/pypi.py", "packaging.python.org", "example.invalid", "docs.pytest.org"]
)
def test_the_patterns_leave_other_names_alone(text: str) -> None:
    assert not any(re.search(pattern, text) for pattern in HOSTS)
