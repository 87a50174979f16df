"""What all benchmarks start from: a base, and words for who waits."""

from __future__ import annotations

import sys
from pathlib import Path

from bench.measure import run
from bench.variant import BASE_PACKAGES

# ext4 looks for inodes to reuse among those just deleted: for so long after a big removal every file
# that is made is slow to make.
SETTLE = 40


def bootstrap(work: Path, log: Path, mirror: str | None) -> Path:
    """Make the root file system that every way starts from, and return its archive."""
    say("making the base archive")
    base = work / "base.tar"
    flags = ["--quiet", "--variant=minbase", f"--include={','.join(BASE_PACKAGES)}"]
    run(["mmdebstrap", *flags, "bookworm", str(base), *([mirror] if mirror else [])], log)
    return base


def say(text: str) -> None:
    """Say how far it is."""
    print(f"bench: {text}", file=sys.stderr, flush=True)
