"""The outside tools, run through `sh`: found, version-checked, logged, stopped together."""

from __future__ import annotations

import json
import re
import shlex
import threading
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import Any

import sh

from avabuild import commands
from avabuild.commands import Bind, Isolation
from avabuild.errors import DiskFullError, HostError, StepError
from avabuild.host import Host
from avabuild.local_storage import LocalStorage
from avabuild.report import Event, Report
from avabuild.streams import Pipe, read_lines

MINIMUM = (1, 28)
TAIL = 40
_NO_IDS = ("insufficient uids or gids", "unable to pick chroot mode automatically", "finding newuidmap")
# buildah's copy of itself in memory was still being written by a fork of ours: it did nothing, and says so.
_NOT_STARTED = "sealing memfd copy"
_STARTS = 3
_FULL = ("no space left on device", "disk quota exceeded", "io: read/write on closed pipe")


class Tools:
    """buildah, skopeo and mmdebstrap on this host; they put temporary files into `temporary` when it is set.

    Every call is logged with its output; a non-zero exit or a signal raises StepError with the quoted
    command and the last lines of what it printed. `stop` ends whatever runs, from any thread.
    """

    def __init__(self, host: Host, report: Report, log: Path) -> None:
        self.host = host
        self.log = log
        self._report = report
        self._running: dict[int, Any] = {}
        self._lock = threading.Lock()
        self._stopped = False
        self._checked = False
        self.temporary: Path | None = None

    def buildah(self, argv: Sequence[str], *, place: str | None = None, cwd: Path | None = None) -> str:
        """Run buildah and return what it printed on its standard output."""
        self._check_version()
        return self.call("buildah", [*commands.storage(self.host.driver), *argv], place=place, cwd=cwd)

    def skopeo(self, argv: Sequence[str], *, place: str | None = None) -> str:
        """Run skopeo and return what it printed."""
        return self.call("skopeo", argv, place=place)

    def call(
        self,
        tool: str,
        argv: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        place: str | None = None,
        cwd: Path | None = None,
    ) -> str:
        """Run `tool` with exactly `argv`; `env` is added to the host's environment."""
        try:
            command = sh.Command(tool)
        except sh.CommandNotFound:
            raise HostError(f"{tool} is not on PATH", hint=f"install it: apt-get install {tool}") from None
        out: list[str] = []
        tail: deque[str] = deque(maxlen=TAIL)
        shown = shlex.join([tool, *argv])
        with self.log.open("a", encoding="utf-8") as log:
            log.write(f"$ {shown}\n")

            def line(text: str, *, keep: bool) -> None:
                if keep:
                    out.append(text)
                tail.append(text.rstrip("\n"))
                log.write(text)
                self._report.emit(Event("output", place or tool, text.rstrip("\n")))

            # What a killed tool leaves in its TMPDIR is as big as a layer: it must be where it is swept.
            own = {"TMPDIR": str(self.temporary)} if self.temporary else {}
            variables = {**self.host.environment, **own, **(env or {})}
            code = self._wait(command, argv, line, variables, cwd)
            for _ in range(_STARTS):
                if code == 0 or not any(_NOT_STARTED in text for text in tail):
                    break
                out.clear()
                tail.clear()
                code = self._wait(command, argv, line, variables, cwd)
        if code != 0:
            raise _failure(tool, shown, code, "\n".join(tail), str(self.log), place)
        return "".join(out)

    def _wait(
        self, command: Any, argv: Sequence[str], line: Any, env: dict[str, str], cwd: Path | None
    ) -> int:
        with Pipe() as out, Pipe() as err:
            with self._lock:
                if self._stopped:
                    raise KeyboardInterrupt
                process = command(
                    *argv,
                    _out=out.writer,
                    _err=err.writer,
                    _env=env,
                    _cwd=str(cwd) if cwd else None,
                    _tty_out=False,
                    _bg=True,
                    _bg_exc=False,
                    _new_session=True,
                )
                self._running[id(process)] = process
            out.started()
            err.started()
            try:
                said = {out.reader: lambda text: line(text, keep=True)}
                read_lines(process.pid, {**said, err.reader: lambda text: line(text, keep=False)})
                process.wait()
            except (sh.ErrorReturnCode, sh.SignalException) as error:
                return int(error.exit_code)
            finally:
                with self._lock:
                    self._running.pop(id(process), None)
                    stopped = self._stopped
                if stopped:
                    raise KeyboardInterrupt
            return 0

    def stop(self) -> None:
        """End every running command and its children; only `reopen_for_cleanup` starts more."""
        with self._lock:
            self._stopped = True
            running = list(self._running.values())
        for process in running:
            with suppress(ProcessLookupError, OSError):
                process.signal_group(15)

    def _check_version(self) -> None:
        if self._checked:
            return
        self._checked = True
        text = self.call("buildah", ["--version"])
        found = re.search(r"(\d+)\.(\d+)", text)
        if not found or (int(found[1]), int(found[2])) < MINIMUM:
            needed = ".".join(map(str, MINIMUM))
            raise HostError(
                f"buildah {needed} or later is needed; found: {text.strip() or 'no version'}",
                hint="install a newer one (Debian 12 and Ubuntu 23.04 have it)",
            )

    # -- images and working containers -------------------------------------------------------------------

    def pull(self, layout: Path) -> str:
        """Import the OCI layout at `layout` into the local storage; return the image's id.

        The image is named after the layout's directory, which is the caller's to remove with `untag`.
        """
        return self.buildah(commands.pull(layout.name), place="import", cwd=layout.parent).split()[-1]

    @cached_property
    def storage(self) -> LocalStorage:
        """The local storage's own files, for what is asked of it often."""
        return LocalStorage.of(json.loads(self.buildah(commands.info())))

    def held_layers(self) -> dict[str, int] | None:
        """Return the diff IDs of the storage's layers with their sizes; None when that can't be told."""
        return self.storage.layers()

    def tag(self, image: str, name: str) -> None:
        """Give a local image one more name; an image that had it loses it."""
        self.buildah(commands.tag(image, name))

    def untag(self, layouts: Sequence[Path]) -> None:
        """Remove the names that `pull` gave, and with them images that have no other."""
        with suppress(StepError):
            self.buildah(commands.remove_images([f"localhost/{path.name}:latest" for path in layouts]))

    def remove_image(self, name: str) -> None:
        """Take the name from a local image, and with its last name the image."""
        self.reopen_for_cleanup(lambda: self.buildah(commands.remove_images([name])))

    @contextmanager
    def container(self, image: str, name: str, isolation: Isolation, *, keep: bool = False) -> Iterator[str]:
        """A working container on the local image `image`; removed on every way out but `keep` and failure."""
        try:
            self.buildah(commands.start(image, name, isolation))
            yield name
        except BaseException as error:
            if not (keep and isinstance(error, StepError)):
                self.remove(name)
            raise
        self.remove(name)

    def remove(self, name: str) -> None:
        """Drop a working container, also while everything else is being stopped."""
        self.reopen_for_cleanup(lambda: self.buildah(commands.remove_container(name)))

    def reopen_for_cleanup(self, act: Any) -> None:
        """Run `act` even after `stop`, swallowing what a half-made container answers."""
        with self._lock:
            stopped, self._stopped = self._stopped, False
        try:
            with suppress(StepError):
                act()
        finally:
            with self._lock:
                self._stopped = stopped or self._stopped

    def run(
        self,
        container: str,
        command: Sequence[str],
        isolation: Isolation,
        binds: Sequence[Bind] = (),
        *,
        place: str,
    ) -> str:
        """Run `command` as root in a working container; return what it printed."""
        return self.buildah(commands.run(container, command, isolation, binds), place=place)

    def container_names(self) -> tuple[str, ...]:
        """Return the names of all working containers."""
        listed = json.loads(self.buildah(commands.containers()) or "[]") or []
        return tuple(container["containername"] for container in listed)

    def image_ids(self) -> dict[str, str]:
        """Return name -> id of the local images."""
        listed = json.loads(self.buildah(commands.images()) or "[]") or []
        return {name: image["id"] for image in listed for name in image.get("names") or []}


def _failure(tool: str, shown: str, code: int, tail: str, log: str, place: str | None) -> Exception:
    lowered = tail.lower()
    if any(words in lowered for words in _FULL):
        return DiskFullError(
            f"no space left while running: {shown}",
            place=place,
            hint="free some space in the image storage and in TMPDIR",
        )
    if any(words in lowered for words in _NO_IDS):
        return HostError(
            f"{tool} needs a range of subordinate user ids, and this user has none",
            place=place,
            hint="ask an administrator for one: usermod --add-subuids 100000-165535 "
            "--add-subgids 100000-165535 USER, and the package uidmap; wheels and files on an archive "
            "or image base need none with --output oci:DIR",
        )
    how = f"was killed by signal {-code}" if code < 0 else f"failed with exit code {code}"
    return StepError(f"{tool} {how}", command=shown, tail=tail, log=log, place=place)
