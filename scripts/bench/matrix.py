"""`make bench-matrix`: a catalogue of seven recipes, cold, unchanged, and with one package added to all."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from avabuild.resolve import from_host, pip_conf_paths, uv_toml_paths
from bench.catalogue import ADDED, ROWS, containerfile, recipe, requirements
from bench.measure import Cost, machine, middle
from bench.setting import SETTLE, add_options, bootstrap, say
from bench.ways import Avabuild, Containerfile, host_settings, remove

DOCUMENT = Path(__file__).parents[2] / "docs" / "benchmarks-matrix.md"
LIMITS = {"cold": 0.35, "unchanged": None, "added": 0.15}
TITLES = {
    "cold": "all seven, cold",
    "unchanged": "all seven, nothing changed",
    "added": "all seven, one pip package added to each",
}
OURS, THEIRS = "avabuild", "Containerfiles, uv"
MOST_SECONDS, MOST_DISK = 1.0, 1.1


@dataclass(frozen=True, slots=True)
class Disk:
    """Bytes of the cache by directory, and of the layers that images have, each counted once."""

    parts: dict[str, int]
    layers: int

    @property
    def blobs(self) -> float:
        """What blobs and index take, in layers."""
        return (self.parts.get("blobs", 0) + self.parts.get("index", 0)) / self.layers

    @property
    def whole(self) -> float:
        """What the whole cache takes, in layers."""
        return sum(self.parts.values()) / self.layers


def ours(place: Path, base: Path, log: Path, jobs: int | None) -> tuple[dict[str, Cost], Disk]:
    """Measure avabuild from a cache and a storage that hold the base alone."""
    way = Avabuild(place, log)
    way.prepare(base)
    names = [f"{image.name}.toml" for image in ROWS]
    names += ["--jobs", str(jobs)] if jobs else []

    def written(added: Sequence[str]) -> Sequence[str]:
        for image in ROWS:
            text = recipe(image, added)
            (place / "recipe" / f"{image.name}.toml").write_text(text, encoding="utf-8")
        return names

    os.sync()
    costs = {"cold": _said(OURS, "cold", way.run(*written(())))}
    disk = _disk(place / "cache")
    costs["unchanged"] = _said(OURS, "unchanged", middle([way.run(*names) for _ in range(5)]))
    costs["added"] = _said(OURS, "added", way.run(*written((ADDED,))))
    return costs, disk


def theirs(place: Path, base: Path, log: Path) -> dict[str, Cost]:
    """Measure one `buildah build` after the other, on one storage and one cache mount."""
    way = Containerfile("uv", place, log)
    way.prepare(base)
    confs = pip_conf_paths(os.environ, Path(sys.prefix)), uv_toml_paths(os.environ)
    indexes = from_host(os.environ, *confs)
    environment = {**os.environ, **indexes.environment()}
    flags = ["--layers", "--isolation", "chroot", "--network", "host", "--pull-never"]
    flags += host_settings(environment)
    for path in indexes.local_paths():
        seen = path.parent if path.name == "simple" else path  # an index's pages link to files beside it
        flags += ["--volume", f"{seen}:{seen}:ro"]

    def build(added: Sequence[str]) -> Cost:
        total = Cost(0, 0)
        for image in ROWS:
            context = place / "context" / image.name
            context.mkdir(exist_ok=True)
            shutil.copy2(place / "context" / "uv", context / "uv")
            (context / "Containerfile").write_text(containerfile(image), encoding="utf-8")
            (context / "requirements.txt").write_text(requirements(image, added), encoding="utf-8")
            cost = way.buildah("build", *flags, "--tag", f"localhost/bench-{image.name}", str(context))
            say(f"  {image.name}: {cost.seconds:.1f} s")
            total += cost
        return total

    os.sync()
    return {
        "cold": _said(THEIRS, "cold", build(())),
        "unchanged": _said(THEIRS, "unchanged", build(())),
        "added": _said(THEIRS, "added", build((ADDED,))),
    }


def _said(way: str, key: str, cost: Cost) -> Cost:
    say(f"{way}: {TITLES[key]}: {cost.seconds:.2f} s, {cost.processor:.1f} s of processors")
    return cost


def _disk(cache: Path) -> Disk:
    parts = {
        directory.name: sum(p.stat().st_size for p in directory.rglob("*") if p.is_file())
        for directory in sorted(cache.iterdir())
        if directory.is_dir()
    }
    layers: dict[str, int] = {}
    for entry in (cache / "index" / "layer").iterdir():
        blob = json.loads(entry.read_bytes())["data"]
        layers[blob["digest"]] = blob["size"]
    for entry in (cache / "index" / "base").iterdir():
        layers |= {blob["digest"]: blob["size"] for blob in json.loads(entry.read_bytes())["data"]["layers"]}
    return Disk(parts, sum(layers.values()))


def table(costs: dict[str, dict[str, Cost]]) -> str:
    """Return the Markdown table of the scenarios, with what was promised and whether it was kept."""
    rows = [
        ["scenario", *costs, "ratio", "promised"],
        ["---", "---:", "---:", "---:", "---:"][: len(costs) + 3],
    ]
    for key, title in TITLES.items():
        cells = [_cell(found[key]) for found in costs.values()]
        limit = LIMITS[key]
        share = costs[OURS][key].seconds / costs[THEIRS][key].seconds if len(costs) == 2 else None
        missed = (share is not None and limit is not None and share > limit) or (
            key == "unchanged" and OURS in costs and costs[OURS][key].seconds > MOST_SECONDS
        )
        words = "" if share is None else f"{share:.2f}"
        promise = f"ratio {limit:g}" if limit else f"{MOST_SECONDS:g} s"
        rows.append([title, *cells, f"{words} (missed)".strip() if missed else words, promise])
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _cell(cost: Cost) -> str:
    return f"{cost.seconds:.2f} s ({cost.processor:.0f} s)"


def _report(costs: dict[str, dict[str, Cost]], disk: Disk | None, runs: int) -> str:
    return f"""\
# Benchmarks of a catalogue

Seven recipes of the current era on the CPU (pure, sdk, mxnet, caffe, tensorflow, pytorch, keras), on Debian
12 with its Python 3.11, by `make bench-matrix` on {time.strftime("%Y-%m-%d")}, {_rounds(runs)}.
Machine: {machine()}.
In brackets: seconds of processors.

{table(costs)}
- *cold*: cache and storage hold the base and nothing else; downloads are timed.
- avabuild builds them by one command, `avabuild recipe *.toml`; its checks are off, since the Containerfiles
  prove nothing either. The Containerfiles run one after the other under `buildah build --layers --isolation
  chroot`, with one cache mount for uv, and compile bytecode as avabuild does.
- Both ask for equal packages. The recipes of sdk, mxnet and caffe name theirs under `[packages]`; caffe is
  what pycaffe needs beside its compiled module.
{_disk_words(disk) if disk else ""}"""


def _rounds(runs: int) -> str:
    return "one run" if runs == 1 else f"the median of {runs} runs"


def _disk_words(disk: Disk) -> str:
    parts = sorted(disk.parts.items(), key=lambda part: -part[1])
    named = ", ".join(f"{name} {size / 1e6:.0f} MB" for name, size in parts if size > 500_000)
    return f"""
## Disk

The unique layers of the catalogue and its base take {disk.layers / 1e6:.0f} MB. After the cold run the
store (blobs and index) takes {disk.blobs:.2f} of that (promised: {MOST_DISK:g}), and the whole cache, with
downloads and bytecode, {disk.whole:.2f}: {named}.
"""


def main() -> None:
    """Measure what was asked for."""
    options = _options()
    if os.geteuid() != 0:
        raise SystemExit("bench: run it as root: buildah gives only root a storage set aside for each run")
    work = Path(tempfile.mkdtemp(prefix="avabuild-matrix-", dir=options.work))
    log = work / "log"
    say(f"log: {log} (its directory stays when something fails)")
    base = options.base or bootstrap(work, log, options.mirror)
    all_: dict[str, dict[str, list[Cost]]] = {}
    disk = None
    for number in range(options.runs):
        if number:
            time.sleep(SETTLE)
        for way in options.ways:
            place = work / f"{number}-{way}"
            if way == OURS:
                found, disk = ours(place, base, log, options.jobs)
                _add(all_, OURS, found)
            else:
                _add(all_, THEIRS, theirs(place, base, log))
            remove(place)
    ordered = {way: all_[way] for way in (OURS, THEIRS) if way in all_}
    costs = {way: {key: middle(runs) for key, runs in found.items()} for way, found in ordered.items()}
    text = _report(costs, disk, options.runs)
    sys.stdout.write(text)
    if options.write:
        DOCUMENT.write_text(text, encoding="utf-8")
    remove(work)


def _add(all_: dict[str, dict[str, list[Cost]]], way: str, found: dict[str, Cost]) -> None:
    for key, cost in found.items():
        all_.setdefault(way, {}).setdefault(key, []).append(cost)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench-matrix", description="Time a catalogue of recipes.")
    parser.add_argument("--ways", nargs="+", choices=(OURS, "uv"), default=[OURS, "uv"])
    parser.add_argument("--jobs", type=int, help="images at a time (default: avabuild's own)")
    add_options(parser, DOCUMENT)
    return parser.parse_args()


if __name__ == "__main__":
    main()
