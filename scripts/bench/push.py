"""`make bench-push`: build and push, to an empty registry, and then a second image that shares tensorflow."""

from __future__ import annotations

import argparse
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from bench.measure import Cost, machine
from bench.setting import SETTLE, bootstrap, say
from bench.variant import START, containerfile, recipe, requirements
from bench.ways import Avabuild, Containerfile, host_settings, remove

DOCUMENT = Path(__file__).parents[2] / "docs" / "benchmarks-push.md"
LIMITS = {"cold": 0.4, "second": 0.1}
TITLES = {
    "cold": "tensorflow, jupyterlab, requests; cold",
    "second": "tensorflow, jupyterlab, scikit-learn; after it",
}
OURS, THEIRS = "avabuild", "Containerfile, uv"
SECOND = replace(START, pip=("scikit-learn",))


@dataclass(frozen=True, slots=True)
class Published:
    """What a build and a push cost: all of it, seconds of the push where that is a command, and new bytes."""

    cost: Cost
    push: float
    uploaded: int


@dataclass
class Site:
    """A registry of a benchmark's own on the loopback address, without TLS or users."""

    directory: Path
    port: int

    @property
    def size(self) -> int:
        """Bytes of all blobs that it has."""
        return sum(
            path.stat().st_size for path in self.directory.glob("docker/registry/v2/blobs/sha256/*/*/data")
        )


@contextmanager
def site(directory: Path) -> Iterator[Site]:
    """Run Debian's docker-registry while the block does."""
    directory.mkdir(parents=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = {
        "version": "0.1",
        "log": {"level": "error"},
        "storage": {"filesystem": {"rootdirectory": str(directory)}},
        "http": {"addr": f"127.0.0.1:{port}"},
    }
    file = directory.with_suffix(".yml")
    file.write_text(json.dumps(settings), encoding="utf-8")
    with directory.with_suffix(".log").open("ab") as log:
        process = subprocess.Popen(["docker-registry", "serve", str(file)], stdout=log, stderr=log)
    try:
        time.sleep(0.5)
        yield Site(directory, port)
    finally:
        process.terminate()
        process.wait()


def second_recipe() -> str:
    """Return the recipe of the second image."""
    return recipe(SECOND).replace('name = "bench"', 'name = "second"')


def ours(place: Path, base: Path, log: Path) -> dict[str, Published]:
    """Measure `avabuild recipe --push`, from a cache that holds the base alone."""
    way = Avabuild(place, log)
    way.prepare(base)
    found = {}
    with site(place.with_name(f"{place.name}-registry")) as registry:
        for key, text in {"cold": recipe(START), "second": second_recipe()}.items():
            (place / "recipe" / f"{key}.toml").write_text(text, encoding="utf-8")
            os.sync()
            before = registry.size
            cost = way.run(f"{key}.toml", "--push", f"127.0.0.1:{registry.port}/bench", "--insecure")
            found[key] = _said(OURS, key, Published(cost, 0, registry.size - before))
    return found


def theirs(place: Path, base: Path, log: Path) -> dict[str, Published]:
    """Measure `buildah build` and `buildah push`, from a storage that holds the base alone."""
    way = Containerfile("uv", place, log)
    way.prepare(base)
    flags = ["--layers", "--isolation", "chroot", "--network", "host", "--pull-never"]
    context = place / "context"
    (context / "Containerfile").write_text(containerfile("uv", START), encoding="utf-8")
    found = {}
    with site(place.with_name(f"{place.name}-registry")) as registry:
        for key, wanted in {"cold": requirements(START), "second": requirements(SECOND)}.items():
            (context / "requirements.txt").write_text(wanted, encoding="utf-8")
            name = f"127.0.0.1:{registry.port}/bench/{key}:py311-cpu"
            os.sync()
            before = registry.size
            built = way.buildah("build", *flags, *host_settings(os.environ), "--tag", name, str(context))
            pushed = way.buildah("push", "--quiet", "--tls-verify=false", name)
            found[key] = _said(THEIRS, key, Published(built + pushed, pushed.seconds, registry.size - before))
    return found


def _said(way: str, key: str, one: Published) -> Published:
    say(f"{way}: {TITLES[key]}: {one.cost.seconds:.2f} s, {one.uploaded / 1e6:.1f} MB")
    return one


def table(found: dict[str, dict[str, Published]]) -> str:
    """Return the Markdown table: a row an image, with what was promised and whether it was kept."""
    rows = [["image", *found, "ratio", "at most"], ["---", *["---:"] * (len(found) + 2)]]
    for key, title in TITLES.items():
        cells = [_cell(ways[key]) for ways in found.values()]
        share = found[OURS][key].cost.seconds / found[THEIRS][key].cost.seconds if len(found) == 2 else None
        words = "" if share is None else f"{share:.2f}" + (" (missed)" if share > LIMITS[key] else "")
        rows.append([title, *cells, words, f"{LIMITS[key]:g}"])
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _cell(one: Published) -> str:
    push = f", {one.push:.1f} s of it the push" if one.push else ""
    return f"{one.cost.seconds:.2f} s{push}; {one.uploaded / 1e6:.1f} MB"


def _report(found: dict[str, dict[str, Published]]) -> str:
    return f"""\
# Benchmarks of pushing

Built and pushed to Debian's docker-registry on the same machine, by `make bench-push` on
{time.strftime("%Y-%m-%d")}, one run. Machine: {machine()}.

{table(found)}
- Seconds from the command to the end of the push; megabytes are what the registry's blobs grew by.
- The first image starts with caches and storage that hold the base and nothing else, and an empty registry;
  downloads are timed. The second one comes after it, has both frameworks in common, and a package of its own.
- avabuild builds and pushes by one command, `avabuild recipe --push`, with its checks off, since the
  Containerfiles prove nothing either; the image is in no local storage. They build under `buildah build
  --layers --isolation chroot` with a cache mount, compile bytecode as avabuild does, and are pushed by
  `buildah push`.
- The registry is spoken to without TLS by both; it shares the processors with them.
"""


def main() -> None:
    """Measure what was asked for."""
    options = _options()
    if os.geteuid() != 0:
        raise SystemExit("bench: run it as root: buildah gives only root a storage set aside for each run")
    work = Path(tempfile.mkdtemp(prefix="avabuild-push-", dir=options.work))
    log = work / "log"
    say(f"log: {log} (its directory stays when something fails)")
    base = options.base or bootstrap(work, log, options.mirror)
    found: dict[str, dict[str, Published]] = {}
    for number, (name, measure) in enumerate({OURS: ours, THEIRS: theirs}.items()):
        if number:
            time.sleep(SETTLE)
        found[name] = measure(work / str(number), base, log)
        remove(work / str(number))
    text = _report(found)
    sys.stdout.write(text)
    if options.write:
        DOCUMENT.write_text(text, encoding="utf-8")
    remove(work)


def _options() -> argparse.Namespace:
    words = "Time building and pushing against buildah."
    parser = argparse.ArgumentParser(prog="make bench-push", description=words)
    parser.add_argument("--work", default="/var/tmp", help="where 20 GB fit (default: %(default)s)")
    parser.add_argument(
        "--base", type=lambda text: Path(text).resolve(), help="a root file system to use as base"
    )
    parser.add_argument(
        "--mirror", help="the Debian mirror to make the base from (default: mmdebstrap's own)"
    )
    parser.add_argument("--write", action="store_true", help="also write docs/benchmarks-push.md")
    return parser.parse_args()


if __name__ == "__main__":
    main()
