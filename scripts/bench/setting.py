"""What all benchmarks start from: a base, and words for who waits."""

from __future__ import annotations

import argparse
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


def add_options(parser: argparse.ArgumentParser, document: Path) -> None:
    """Add the options that all benchmarks have; `document` is what they write."""
    parser.add_argument(
        "--runs", type=int, default=1, help="rounds, of which the median is shown (default: 1)"
    )
    parser.add_argument("--work", default="/var/tmp", help="where 20 GB fit (default: %(default)s)")
    parser.add_argument(
        "--base", type=lambda text: Path(text).resolve(), help="a root file system to use as base"
    )
    parser.add_argument(
        "--mirror", help="the Debian mirror to make the base from (default: mmdebstrap's own)"
    )
    name = "/".join(document.parts[-2:])
    parser.add_argument("--write", action="store_true", help=f"also write {name}")
