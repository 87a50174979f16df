"""`make bench`: run the scenarios, print the table."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

from bench.measure import Cost, machine, middle, run
from bench.setting import SETTLE, add_options, bootstrap, say
from bench.table import table
from bench.variant import EDITS, SCENARIOS, START
from bench.ways import AVABUILD, WAYS, remove, way

DOCUMENT = Path(__file__).parents[2] / "docs" / "benchmarks.md"


def main() -> None:
    """Measure what was asked for."""
    options = _options()
    if os.geteuid() != 0:
        raise SystemExit("bench: run it as root: buildah gives only root a storage set aside for each run")
    work = Path(tempfile.mkdtemp(prefix="avabuild-bench-", dir=options.work))
    log = work / "log"
    say(f"log: {log} (its directory stays when something fails)")
    base = options.base or bootstrap(work, log, options.mirror)
    costs: dict[str, dict[str, list[Cost]]] = {key: {} for key in options.scenarios}
    for number in range(options.runs):
        if number:
            time.sleep(SETTLE)
        for name in options.ways:
            for key, cost in _series(name, options.scenarios, work / f"{number}-{name}", base, log).items():
                costs[key].setdefault(name, []).append(cost)
        for place in work.glob(f"{number}-*"):
            remove(place)
    middles = {key: {name: middle(all_) for name, all_ in ways.items()} for key, ways in costs.items()}
    text = _report(table(middles, options.ways), options.runs, _help(log))
    sys.stdout.write(text)
    if options.write:
        DOCUMENT.write_text(text, encoding="utf-8")
    remove(work)


def _series(name: str, keys: tuple[str, ...], place: Path, base: Path, log: Path) -> dict[str, Cost]:
    """Run the scenarios `keys` of one way; edits come after a cold build of the same place."""
    found: dict[str, Cost] = {}
    if "oci" in keys:
        found["oci"] = _timed(name, "oci", place.with_name(f"{place.name}-oci"), base, log)
    if set(keys) & {"cold", *EDITS}:
        found["cold"] = _timed(name, "cold", place, base, log)
    for key in EDITS:
        if key in keys:
            found[key] = way(name, place, log).build(EDITS[key].variant)
            say(f"{name}: {SCENARIOS[key].title}: {found[key].seconds:.2f} s")
    return {key: found[key] for key in keys}


def _timed(name: str, key: str, place: Path, base: Path, log: Path) -> Cost:
    fresh = way(name, place, log)
    fresh.prepare(base)
    os.sync()
    cost = fresh.export(START) if key == "oci" else fresh.build(START)
    os.sync()
    say(f"{name}: {SCENARIOS[key].title}: {cost.seconds:.2f} s")
    return cost


def _help(log: Path) -> Cost:
    return middle([run([str(AVABUILD), "--help"], log) for _ in range(20)])


def _report(results: str, runs: int, help_cost: Cost) -> str:
    return f"""\
# Benchmarks

tensorflow-cpu, jupyterlab and requests on Debian 12 with its Python 3.11, by `make bench` on
{time.strftime("%Y-%m-%d")}, {"one run" if runs == 1 else f"the median of {runs} runs"}.
Machine: {machine()}.
In brackets: the largest resident set of any one process.

{results}
- *cold*: caches and storage hold the base and nothing else; downloads are timed. The other rows are each
  one edit of the recipe or Containerfile, after a cold build.
- The Containerfiles run under `buildah build --layers --isolation chroot`, with cache mounts; the one of uv
  compiles bytecode, as avabuild does. Their way to an OCI layout is a cold build and `buildah push`.
- An apt package is added below the Python packages of a Containerfile, where it costs least. The first one
  pays `apt-get update` (0.8 s of it), as theirs does; another finds lists that are good for an hour.

`avabuild --help`: {help_cost.seconds * 1000:.0f} ms, the median of 20 (promised: under 150).
"""


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench", description="Time avabuild against Containerfiles.")
    parser.add_argument("--scenarios", nargs="+", choices=SCENARIOS, default=list(SCENARIOS))
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    add_options(parser, DOCUMENT)
    options = parser.parse_args()
    options.scenarios, options.ways = tuple(options.scenarios), tuple(options.ways)
    return options


if __name__ == "__main__":
    main()
