"""Running uv: argv made by a pure function, and its failures told apart."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from uv import find_uv_bin

from avabuild.common.errors import (
    AvabuildError,
    DiskFullError,
    HostError,
    ResolveError,
    StoreError,
    UnavailableError,
)
from avabuild.host.places import spare_cache
from avabuild.resolve.configured import inherited
from avabuild.resolve.facade import REFUSED
from avabuild.resolve.indexes import Indexes, redact
from avabuild.resolve.platforms import Platform
from avabuild.tools.cancellation import Cancellation

_NEEDS_BUILD = re.compile(
    r"Wheels are required for `(?P<name>[^`]+)` because building"
    r"|Building source distributions(?: for `(?P<name2>[^`]+)`)? is disabled"
)
_FAILED = re.compile(r"Failed to (?:download and )?build `(?P<source>[^`]+)`")
_UNREACHABLE = re.compile(
    r"error sending request|Request failed after|status server error|dns error|timed out"
    r"|Could not resolve host|Connection refused|Connection reset|429 Too Many"
)
_NO_SOLUTION = re.compile(r"No solution found|unsatisfiable")
_TLS = re.compile(r"certificate|handshake|\btls\b", re.IGNORECASE)
_GIT_HINT = (
    "try again later, or check the address and whether this user may read it: git itself is asked, with the "
    "user's own settings, ~/.netrc or SSH keys"
)
_FULL = ("No space left on device", "Disk quota exceeded", "os error 28", "os error 122")
# A file of uv's own cache, or that it can't be begun: the buckets of it have names with versions.
_IN_CACHE = re.compile(
    r"[^\s`'\"]*/(?:simple|flat-index|wheels|sdists|interpreter|archive|git|builds|environments|python|binaries)-v\d+"
    r"/[^\s`'\":]+|Failed to initialize cache[^\n]*"
)
_SECONDS = 1800


class NeedsBuild(ResolveError):  # noqa: N818 - it asks for something, and is no failure of the user's
    """Metadata of `names` needs a build; ask again with `build=True` where foreign code may run."""

    def __init__(self, message: str, names: tuple[str, ...]) -> None:
        super().__init__(message)
        self.names = names


class Unsolvable(ResolveError):  # noqa: N818 - a word of its own, as NeedsBuild
    """No versions satisfy all that is asked, or one that is asked for is on no index."""


class NeedsMetadata(ResolveError):  # noqa: N818 - as above
    """What `source` (`NAME==VERSION`, `NAME @ URL` or a URL) says of itself is wanted."""

    def __init__(self, message: str, source: str) -> None:
        super().__init__(message)
        self.source = source


@dataclass(frozen=True, slots=True)
class Command:
    """One run of uv, to be made here or in a container.

    Attributes:
        argv: the command; its paths are absolute, so a container mounts `directory` and `reads` in place.
        environment: what it needs beside the caller's own environment; holds credentials, never to be shown.
        directory: where it runs and writes.
        reads: what else it reads.
    """

    argv: tuple[str, ...]
    environment: tuple[tuple[str, str], ...]
    directory: Path
    reads: tuple[Path, ...] = ()

    def __repr__(self) -> str:
        return f"Command({shlex.join(self.argv)!r})"


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a command ended: its exit status and what it wrote to stderr."""

    status: int
    stderr: str


Runner = Callable[[Command], Outcome]


def find_uv() -> Path:
    """Return uv's binary; raise HostError when it is not installed with avabuild."""
    try:
        return Path(find_uv_bin())
    except FileNotFoundError as error:
        raise HostError(
            "uv is not installed beside avabuild", hint="reinstall avabuild with its dependencies"
        ) from error


def compile_argv(
    uv: Path,
    interpreter: Path,
    platform: Platform,
    sources: Sequence[Path],
    output: Path,
    *,
    annotated: bool = False,
    constraints: Path | None = None,
    build: bool = False,
    dependencies: bool = True,
    no_index: bool = False,
    offline: bool = False,
    refresh: Sequence[str] = (),
    metadata: Path | None = None,
) -> tuple[str, ...]:
    """Return the command that resolves the requirements files `sources` into the PEP 751 file `output`.

    When `annotated`, `output` is a requirements file that says by whom each package is needed.
    `build` lets sdists be chosen of which only a build tells what they need; without `dependencies` each line
    stands for itself, and an exact pin then needs no metadata. No code of theirs is run either way: the
    `interpreter` is to be a facade. `refresh` names projects to ask anew, `*` for all. The configuration
    `metadata` says what is known of sdists; no other is read.
    """
    written = ["--format", "pylock.toml", "--no-annotate"]
    if annotated:
        written = ["--format", "requirements.txt", "--annotation-style", "line"]
    # fmt: off
    argv = [
        str(uv), "pip", "compile", *map(str, sources), "--output-file", str(output), *written,
        "--python", str(interpreter), "--python-version", platform.python,
        "--python-platform", platform.uv_name(),
        "--no-header", "--no-progress", "--color", "never",
    ]
    # fmt: on
    argv += ["--config-file", str(metadata)] if metadata else ["--no-config"]
    argv += ["--constraints", str(constraints)] if constraints else []
    argv += ["--no-build-isolation"] if build or not dependencies else ["--no-build"]
    argv += [] if dependencies else ["--no-deps"]
    argv += ["--no-index"] if no_index else []
    argv += ["--offline"] if offline else []
    if "*" in refresh:
        return (*argv, "--refresh")
    return (*argv, *(part for name in refresh for part in ("--refresh-package", name)))


@cache
def default_index() -> str:
    """Return the URL of the index that uv asks when nobody names one; asks none."""
    argv = [
        str(find_uv()),
        "pip",
        "compile",
        "-",
        "--emit-index-url",
        "--no-header",
        "--quiet",
        "--offline",
        "--no-config",
    ]
    done = subprocess.run(
        argv, input="", env=_inherited(os.environ), capture_output=True, text=True, check=True
    )
    return str(done.stdout.split()[1])


def _inherited(environ: Mapping[str, str]) -> dict[str, str]:
    """Return what uv gets of the environment: nothing that chooses versions, a cache that can be written."""
    own = inherited(environ)
    spare = spare_cache("uv", environ)
    return {"UV_CACHE_DIR": str(spare), **own} if spare else own


def run_here(command: Command, stop: Cancellation | None = None) -> Outcome:
    """Run `command` on this host until it ends, or is told to `stop`.

    Raises:
        UnavailableError: it took half an hour.
        HostError: it can't start.
        CancelledError: it was stopped.
    """
    try:
        process = subprocess.Popen(
            command.argv,
            cwd=command.directory,
            env=_inherited(os.environ) | dict(command.environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
        )
    except OSError as error:
        raise HostError(f"uv can't be started: {error.strerror}", place=command.argv[0]) from error
    with process, (stop or Cancellation()).ending(process.kill):
        try:
            _, stderr = process.communicate(timeout=_SECONDS)
        except subprocess.TimeoutExpired as error:
            raise UnavailableError(
                f"uv did not finish in {_SECONDS // 60} minutes", hint="try again later"
            ) from error
        finally:
            process.kill()
    return Outcome(process.returncode, stderr)


def _of_its_cache(words: str) -> AvabuildError | None:
    """Return the error for a cache of uv that is full or damaged; None when it is not about that."""
    if any(full in words for full in _FULL):
        return DiskFullError(f"the disk with uv's cache is full:\n{words}", hint="free some space")
    if not (found := _IN_CACHE.findall(words)):
        return None
    return StoreError(
        f"uv's cache is damaged, or can't be used: {found[-1]}\n{words}",
        hint="remove that, or all of the cache with `uv cache clean`; uv fills it again",
    )


def _wanted(words: str) -> ResolveError | None:
    """Return what uv wants to know of sources, in a form that can be answered; None where it wants none."""
    if REFUSED in words and (wanted := _FAILED.search(words)):
        source = wanted["source"]
        return NeedsMetadata(f"{redact(source)} comes only as source:\n{words}", source)
    builds = [found["name"] or found["name2"] or "" for found in _NEEDS_BUILD.finditer(words)]
    if builds:
        return NeedsBuild(f"some packages come only as source:\n{words}", tuple(sorted({*builds} - {""})))
    return None


def failure(outcome: Outcome, indexes: Indexes) -> AvabuildError:
    """Return the error that a failed run stands for, with uv's own explanation in it."""
    words = _explanation(outcome.stderr)
    if (broken := _of_its_cache(words)) is not None:
        return broken
    if (wanted := _wanted(words)) is not None:
        return wanted
    if "network was disabled" in words:
        return UnavailableError(f"the network is switched off:\n{words}", hint="unset UV_OFFLINE")
    if "Git operation failed" in words:
        return UnavailableError(f"a git repository can't be fetched:\n{words}", hint=_GIT_HINT)
    if _UNREACHABLE.search(words) and "status client error" not in words:
        hint = "try again later, or check the index settings (UV_*, PIP_* or pip.conf) and proxies"
        if _TLS.search(words):
            bundle = indexes.ca_bundle or "the built-in one"
            hint = f"set SSL_CERT_FILE to a bundle that has the index's authority; now it is {bundle}"
        return UnavailableError(f"an index did not answer:\n{words}", hint=hint)
    kind = Unsolvable if _NO_SOLUTION.search(words) else ResolveError
    return kind(f"the requirements can't be resolved:\n{words}")


def _explanation(stderr: str) -> str:
    """Return uv's words from its first error on, indented, without credentials."""
    start = stderr.find("error: ")
    lines = redact(stderr[start:] if start >= 0 else stderr).strip().removeprefix("error: ").splitlines()
    return "\n".join(f"  {line}".rstrip() for line in lines) or "  uv gave no reason"
