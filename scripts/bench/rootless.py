"""`make bench-rootless`: what probing, the namespace and a step cost, and builds of users of every kind."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from avabuild.host.subids import COUNT, free_range
from bench.measure import machine, run
from bench.setting import bootstrap, say

DOCUMENT = Path(__file__).parents[2] / "docs" / "benchmarks-rootless.md"
WORKER = Path(__file__).with_name("rootless_worker.py")
PYTHON = f"/usr/bin/python{sys.version_info[0]}.{sys.version_info[1]}"  # ours may be in a home of root
MODES = ("root", "subuid", "single")
USERS = {"root": "root", "subuid": "avabenchsub", "single": "avabenchone"}
RANGES = (Path("/etc/subuid"), Path("/etc/subgid"))
LIMITS, MOST_RATIO = {"probe": 0.15, "start": 0.3, "over": 0.03}, 1.1
TITLES = {
    "probe": "probing the host, once a boot",
    "probe again": "probing, as it is remembered",
    "enter": "opening the namespace",
    "start": "remembered probe and namespace",
    "step": "a step that runs `true`",
    "command": "`true` alone",
    "over": "a step over its command",
}
"""What is measured, in the order of the page; its limits are in seconds."""
RECIPE = """
name = "bench-rootless"
base = { archive = "base.tar" }
[packages]
apt = ["git", "openssh-client", "tree"]
pip = ["requests"]
[[run]]
shell = "useradd -m ada; install -o ada -d /home/ada/data"
[[run]]
shell = "dd if=/dev/zero of=/zeros bs=1M count=64 2>/dev/null; chown ada /zeros"
"""


@contextmanager
def users(work: Path) -> Iterator[None]:
    """Make the users, one with a range of ids and one without, with homes in `work`."""
    names = [name for name in USERS.values() if name != "root"]
    try:
        for name in names:
            home = work / name
            subprocess.run(["useradd", "--no-create-home", "--home-dir", str(home), name], check=True)
            home.mkdir()
            shutil.chown(home, name, name)
        line = f"{USERS['subuid']}:{free_range()}:{COUNT}\n"
        for path in RANGES:
            write_ranges(path, names, line)
        yield
    finally:
        for name in names:
            subprocess.run(["userdel", name], check=False)
        for path in RANGES:
            write_ranges(path, names)


def write_ranges(path: Path, names: Sequence[str], line: str = "") -> None:
    """Have `line` in place of the ranges of `names`; what others write meanwhile stays."""
    lines = path.read_text().splitlines(keepends=True)
    kept = [one for one in lines if one.partition(":")[0] not in names]
    path.write_text("".join([*kept, line]))


def become(mode: str, argv: Sequence[str]) -> list[str]:
    """Return argv that runs `argv` as the user of the mode."""
    name = USERS[mode]
    return [
        *(["setpriv", "--reuid", name, "--regid", name, "--init-groups", "--"] if mode != "root" else []),
        *argv,
    ]


def environment(work: Path, mode: str) -> dict[str, str]:
    """Return what is said of the host: homes, caches and storages in `work` alone."""
    home = work / USERS[mode]
    home.mkdir(exist_ok=True)
    configuration = work / "storage.conf"
    configuration.write_text(f'[storage]\ndriver="overlay"\ngraphroot="{work}/graph"\nrunroot="{work}/run"\n')
    beyond = (path for path in sys.path if path and not Path(path).is_relative_to(sys.base_prefix))
    paths = os.pathsep.join(beyond)  # PYTHON has a standard library of its own
    own = {"CONTAINERS_STORAGE_CONF": str(configuration)} if mode == "root" else {}
    return {
        "HOME": str(home),
        "AVABUILD_CACHE": str(home / "cache"),
        "PYTHONPATH": paths,
        "XDG_RUNTIME_DIR": "",
        **own,
    }


def parts(work: Path, base: Path, mode: str, count: int) -> dict[str, float | str]:
    """Measure the small things as the user of the mode."""
    home = work / USERS[mode]
    env = environment(work, mode)
    root = home / "root"
    root.mkdir(exist_ok=True)
    shutil.chown(root, USERS[mode])
    inner = ("./bin", "./lib", "./lib64", "./usr/bin/true", "./usr/lib", "./usr/lib64")
    unpack = ["tar", "-C", str(root), "--no-same-owner", "-xf", str(base), *inner]
    subprocess.run(become(mode, unpack), check=True)
    argv = become(mode, [PYTHON, "-c", WORKER.read_text(), str(root), str(count)])
    done = subprocess.run(argv, env={**os.environ, **env}, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    found: dict[str, float | str] = json.loads(done.stdout)
    if found["mode"] != mode:
        raise SystemExit(f"bench: mode {found['mode']} was found where {mode} was meant")
    return found


def build(work: Path, base: Path, mode: str, log: Path) -> float:
    """Return the seconds of a build from an empty cache, its base and its downloads apart."""
    env, home = environment(work, mode), work / USERS[mode]
    for name in ("base.tar", "recipe.toml"):
        target = home / name
        target.unlink(missing_ok=True)
        target.write_text(RECIPE) if name == "recipe.toml" else os.link(base, target)
    shutil.chown(home / "recipe.toml", USERS[mode])
    program = [PYTHON, "-c", "from avabuild.cli import main; main()", "recipe", "recipe.toml"]
    for part in ("index/layer", "stamps"):
        shutil.rmtree(home / "cache" / part, ignore_errors=True)
    return run(become(mode, program), log, env, home).seconds


def report(found: dict[str, dict[str, float | str]], builds: dict[str, list[float]], rounds: int) -> str:
    """Return the page."""
    lines = [
        "# What builds cost without root",
        "",
        f"`make bench-rootless`, {rounds} rounds, medians; {machine()}.",
        "",
    ]
    lines += ["| | " + " | ".join(MODES) + " | at most |", "|---|" + "---:|" * (len(MODES) + 1)]
    for key, title in TITLES.items():
        most = LIMITS.get(key)
        cells = [_cell(_value(found[mode], key), most) for mode in MODES]
        lines.append(f"| {title} | {' | '.join(cells)} | {'' if most is None else f'{most * 1e3:.0f} ms'} |")
    middle = {mode: median(builds[mode]) for mode in MODES}
    lines.append(
        f"| a build with packages and steps | {' | '.join(f'{middle[mode]:.2f} s' for mode in MODES)} | |"
    )
    ratio = middle["single"] / middle["subuid"]
    promise = f"promised: {MOST_RATIO}{', missed' if ratio > MOST_RATIO else ''}"
    lines += ["", f"A user with one id takes {ratio:.2f} of the time of one with a range ({promise})."]
    return "\n".join(lines) + "\n"


def _cell(seconds: float, most: float | None) -> str:
    missed = " (missed)" if most is not None and seconds > most else ""
    return f"{seconds * 1e3:.1f} ms{missed}"


def _value(found: dict[str, float | str], key: str) -> float:
    if key == "start":
        return float(found["probe again"]) + float(found["enter"])
    if key == "over":
        return float(found["step"]) - float(found["command"])
    return float(found[key])


def main() -> None:
    """Measure what was asked for."""
    parser = argparse.ArgumentParser(
        prog="make bench-rootless", description="Time builds of users without root."
    )
    parser.add_argument("--rounds", type=int, default=5, help="builds of each user (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=50, help="steps of each user (default: %(default)s)")
    parser.add_argument("--work", default="/var/tmp", help="where 5 GB fit (default: %(default)s)")
    parser.add_argument(
        "--mirror", help="the Debian mirror to make the base from (default: mmdebstrap's own)"
    )
    parser.add_argument("--write", action="store_true", help=f"also write docs/{DOCUMENT.name}")
    options = parser.parse_args()
    if os.geteuid() != 0:
        raise SystemExit("bench: run it as root: it makes the users that it measures")
    work = Path(tempfile.mkdtemp(prefix="avabuild-rootless-", dir=options.work))
    work.chmod(0o755)
    log = work / "log"
    base = bootstrap(work, log, options.mirror)
    base.chmod(0o644)
    with users(work):
        found = {mode: parts(work, base, mode, options.steps) for mode in MODES}
        builds: dict[str, list[float]] = {mode: [] for mode in MODES}
        for number in range(options.rounds + 1):
            for mode in MODES:
                say(f"round {number}, {mode}")
                seconds = build(work, base, mode, log)
                if number:  # the first has the base imported and everything downloaded
                    builds[mode].append(seconds)
    text = report(found, builds, options.rounds)
    sys.stdout.write(text)
    if options.write:
        DOCUMENT.write_text(text, encoding="utf-8")
    shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    main()
