"""What a command cost, and the machine that it ran on."""

from __future__ import annotations

import dataclasses
import os
import platform
import shlex
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median


@dataclass(frozen=True, slots=True)
class Cost:
    """Wall-clock seconds, the largest resident set of any one process in MB (10^6), processor seconds."""

    seconds: float
    peak: float
    processor: float = 0.0

    def __add__(self, other: Cost) -> Cost:
        processor = self.processor + other.processor
        return Cost(self.seconds + other.seconds, max(self.peak, other.peak), processor)


def middle(costs: Sequence[Cost]) -> Cost:
    """Return the median of each of them."""
    return Cost(*(median(values) for values in zip(*map(dataclasses.astuple, costs), strict=True)))


def run(
    argv: Sequence[str], log: Path, env: Mapping[str, str] | None = None, cwd: Path | None = None
) -> Cost:
    """Run `argv` with its output appended to `log`; return what it cost.

    Raises:
        SystemExit: it failed; a benchmark of a failure means nothing.
    """
    with log.open("a", encoding="utf-8") as out:
        print("$", shlex.join(argv), file=out, flush=True)
        started = time.perf_counter()
        process = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env={**os.environ, **(env or {})}, cwd=cwd
        )
        # wait4 and not wait: it also says what the process and the children it waited for used.
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        tail = "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-15:])
        raise SystemExit(
            f"{tail}\nbench: exit {process.returncode}: {shlex.join(argv)}\nbench: full log: {log}"
        )
    return Cost(seconds, usage.ru_maxrss * 1024 / 1e6, usage.ru_utime + usage.ru_stime)


def machine() -> str:
    """Describe this machine in one line: processor, cores, memory, kernel, tools."""
    model = _field(Path("/proc/cpuinfo"), "model name") or platform.machine()
    kilobytes = (_field(Path("/proc/meminfo"), "MemTotal") or "0 kB").split()[0]
    version = subprocess.run(["buildah", "--version"], capture_output=True, text=True, check=True).stdout
    cores = len(os.sched_getaffinity(0))
    memory = f"{int(kilobytes) * 1024 / 1e9:.0f} GB"
    tools = f"Linux {platform.release()}, buildah {version.split()[2]}"
    return f"{cores} cores ({model}), {memory} of memory, {tools}"


def _field(path: Path, name: str) -> str | None:
    lines = (line.partition(":") for line in path.read_text(encoding="utf-8").splitlines())
    return next((value.strip() for key, _, value in lines if key.strip() == name), None)
