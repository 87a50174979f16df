"""What every installed plugin declares, without importing any here: a child does, and its answer is kept."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import PackageNotFoundError, distribution
from typing import Any, Protocol

from avabuild import __version__
from avabuild.common.value import digest_of
from avabuild.plugins.contract import CONTRACT, source_of
from avabuild.plugins.provider import Provider, Trust

_FORMAT = 1
_START = 20.0  # seconds for the child to start
_CHUNK = 1 << 16

Declared = dict[str, Any]
"""What is told of a provider: `summary`, `series`, `options`, `pythons`, `devices`, or why not: `problem`."""


class Memory(Protocol):
    """What keeps answers for later runs, as a store does."""

    def recall(self, kind: str, key: str) -> object:
        """Return what was recorded, None where nothing was."""

    def record(self, kind: str, key: str, data: Any) -> None:
        """Remember `data`, which JSON can say."""


def roster(
    providers: Sequence[Provider], trust: Trust, memory: Memory, installed: Callable[[], str]
) -> tuple[Declared, ...]:
    """Return what each provider declares, in the order of `providers`.

    A plugin is asked once for as long as its distribution and its files are the same; one that is broken,
    until anything else is installed, which the digest `installed` tells. Those that are not allowed here are
    not asked.
    """
    told: dict[Provider, Declared] = {}
    for provider in providers:
        if not trust.allows(provider.distribution):
            told[provider] = {"problem": f"{trust.origin} does not allow {provider.distribution}"}
        elif (kept := _kept(provider, memory, trust.patience, installed)) is not None:
            told[provider] = kept
    asked = [provider for provider in providers if provider not in told]
    while asked:
        for provider, answer in _ask(asked, trust.patience):
            told[provider] = answer
            broken = "problem" in answer
            key = _key(provider, trust.patience if broken else None, installed)
            memory.record("plugin", key, answer)
        asked = [provider for provider in asked if provider not in told]
    return tuple(told[provider] for provider in providers)


def _kept(
    provider: Provider, memory: Memory, patience: float, installed: Callable[[], str]
) -> Declared | None:
    for known in (None, patience):
        kept = memory.recall("plugin", _key(provider, known, installed))
        if isinstance(kept, dict):
            return kept
    return None


def _key(provider: Provider, patience: float | None, installed: Callable[[], str]) -> str:
    """Return the digest of all that decides what the provider declares.

    That one is broken depends on what else is installed, and on the `patience` that it was given.
    """
    parts = [_FORMAT, __version__, CONTRACT, sys.version, str(provider), provider.module, provider.kind]
    others = [patience, installed()] if patience else ""
    return digest_of([*parts, _record(provider), _files(provider.module), others])


def _record(provider: Provider) -> str:
    try:
        return distribution(provider.distribution).read_text("RECORD") or ""
    except PackageNotFoundError:
        return ""


def _files(module: str) -> list[str]:
    """Return the state of the module's own files, which those of an editable install have no record of."""
    path, depth = source_of(module), module.partition(":")[0].count(".")
    if path is None:
        return []
    package = path.name == "__init__.py"
    top = path.parents[depth if package else depth - 1] if package or depth else path
    found = sorted(top.rglob("*.py")) if top.is_dir() else [top]
    return [f"{file} {file.stat().st_size} {file.stat().st_mtime_ns}" for file in found]


def _ask(providers: Sequence[Provider], patience: float) -> Iterator[tuple[Provider, Declared]]:
    """Yield what a child says of `providers`, up to and including the first that ends or hangs it."""
    command = [sys.executable, "-P", "-m", "avabuild.plugins.installed_child", str(patience)]
    words = json.dumps([[p.name, p.module, p.distribution, p.version, p.kind] for p in providers])
    child = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    assert child.stdin  # noqa: S101 - a pipe
    assert child.stdout  # noqa: S101 - likewise
    try:
        with child.stdin as pipe:
            pipe.write(words.encode())
        waiting = list(providers)
        whole = 2 * patience + _START  # the child itself stops what is not stuck outside of Python
        for line in _lines(child.stdout.fileno(), whole):
            yield waiting.pop(0), json.loads(line)
        if waiting:
            yield waiting[0], {"problem": _cause(child, whole)}
    finally:
        _kill(child)


def _lines(source: int, patience: float) -> Iterator[bytes]:
    """Yield lines as they come, until the end or until nothing came for `patience` seconds."""
    data, until = b"", time.monotonic() + patience
    while (left := until - time.monotonic()) > 0:
        if not select.select([source], [], [], left)[0]:
            return
        more = os.read(source, _CHUNK)
        if not more:
            return
        *lines, data = (data + more).split(b"\n")
        if lines:
            until = time.monotonic() + patience
        yield from lines


def _cause(child: subprocess.Popen[bytes], patience: float) -> str:
    try:
        status = child.wait(1)
    except subprocess.TimeoutExpired:
        return f"can't be imported: it takes longer than {patience:g} s"
    ended = f"by {signal.Signals(-status).name}" if status < 0 else f"with status {status}"
    return f"can't be imported: it ends the process {ended}"


def _kill(child: subprocess.Popen[bytes]) -> None:
    if child.poll() is None:
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()
    if child.stdout:
        child.stdout.close()
