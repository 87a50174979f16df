"""The outside tools, run through `sh`: found, version-checked, logged, stopped together."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO

import sh

from avabuild.common.errors import HostError, StepError
from avabuild.host.host import Host
from avabuild.host.means import BUILDAH, FEEDER, Mode, came_together, new_enough, slowness
from avabuild.tools import argv as commands
from avabuild.tools.events import Report
from avabuild.tools.inside.namespace import Namespace, Started
from avabuild.tools.inside.private_home import settle
from avabuild.tools.process import ProcessRunner
from avabuild.tools.storage import LocalLayer, LocalStorage
from avabuild.tools.streams import Pipe, ending

_TRIES = 4
_GOING = "layer not known"
_ONE_THREAD = {"GOMAXPROCS": "1"}  # an import does one thing after another: threads only hand it on


class _Child:
    """A program that `sh` runs for us, in a session of its own."""

    def __init__(self, process: Any) -> None:
        self._process = process

    def ending(self) -> AbstractContextManager[int]:
        return ending(self._process.pid)

    def wait(self) -> int:
        try:
            self._process.wait()
        except (sh.ErrorReturnCode, sh.SignalException) as error:
            return int(error.exit_code)
        return 0

    def stop(self) -> None:
        self._process.signal_group(15)

    def kill(self) -> None:
        self._process.signal_group(9)


class Tools:
    """The outside tools on this host; they put temporary files into `temporary` when it is set.

    buildah and steps run inside the namespace, all others as the user does. Every call is logged with its
    output; a non-zero exit or a signal raises StepError with the quoted command and the last lines of what
    it printed. `stop` ends whatever runs, from any thread.
    """

    def __init__(
        self, host: Host, namespace: Namespace, report: Report, log: Path, *, insecure: bool = False
    ) -> None:
        self._runner = ProcessRunner(report, log)
        self.host = host
        self.insecure = insecure  # whether registries may do without verified TLS
        self.namespace = namespace
        self._checked = False
        self.temporary: Path | None = None

    def buildah(
        self,
        argv: Sequence[str],
        *,
        place: str | None = None,
        cwd: Path | None = None,
        timeout: float | None = None,
        env: Mapping[str, str] | None = None,
    ) -> str:
        """Run buildah inside the namespace and return what it printed on its standard output."""
        self._check_version()
        known = {**self._private, **(env or {})}
        return self.call("buildah", argv, env=known, place=place, cwd=cwd, timeout=timeout, inside=True)

    @property
    def log(self) -> Path:
        """Where each call is logged with its output."""
        return self._runner.log

    def warn(self, text: str) -> None:
        """Tell the user of something that goes on otherwise than they may think."""
        self._runner.report.warn(text)

    def stop(self) -> None:
        """End whatever runs, from any thread; only `reopen_for_cleanup` starts more."""
        self._runner.stop()

    @property
    def stopped(self) -> bool:
        """Whether what ran was ended in the middle of what it did."""
        return self._runner.stopped

    def reopen_for_cleanup(self, act: Callable[[], Any]) -> None:
        """Run `act` even after `stop`, in this thread; what a half-made container answers is swallowed."""
        self._runner.reopen_for_cleanup(act)

    @property
    def mode(self) -> Mode:
        """What user namespaces allow; see `Means`."""
        return self.namespace.means.mode

    @property
    def contain(self) -> bool:
        """Whether containers can be started, and the local storage be used."""
        return (
            self.mode != "none"
            and shutil.which("buildah", path=self.host.environment.get("PATH")) is not None
        )

    @cached_property
    def _private(self) -> dict[str, str]:
        means = self.namespace.means
        if (slow := slowness(means)) and self.namespace.first("slow"):
            self._runner.report.warn(f"{slow} (see: avabuild doctor)")
        return settle(means, self.host.environment)

    def skopeo(self, argv: Sequence[str], *, place: str | None = None, storage: bool = False) -> str:
        """Run skopeo and return what it printed; inside the namespace when it reads the local `storage`."""
        env = self._private if storage else None
        return self.call("skopeo", argv, env=env, place=place, inside=storage)

    def call(
        self,
        tool: str,
        argv: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        place: str | None = None,
        cwd: Path | None = None,
        timeout: float | None = None,
        inside: bool = False,
        source: BinaryIO | None = None,
    ) -> str:
        """Run `tool` with exactly `argv`; `env` is added to the host's environment, or all it has `inside`.

        It reads from `source` when there is one, and is ended after `timeout` seconds.
        """
        try:
            command = sh.Command(tool)
        except sh.CommandNotFound:
            raise HostError(f"{tool} is not on PATH", hint=f"install it: apt-get install {tool}") from None
        # What a killed tool leaves in its TMPDIR is as big as a layer: it must be where it is swept.
        own = {"TMPDIR": str(self.temporary)} if self.temporary else {}
        given = env or {}
        variables = {**given, **own} if inside else {**self.host.environment, **own, **given}
        enter = self.namespace.enter(cwd) if inside else None

        def prepare() -> None:
            if tool != "skopeo":  # what it writes is this user's; others make the roots of images
                os.umask(0o022)
            if enter:
                enter()

        def start(out: Pipe, err: Pipe) -> _Child:
            return _Child(
                command(
                    *argv,
                    _in=source,
                    _out=out.writer,
                    _err=err.writer,
                    _env=variables,
                    _cwd=str(cwd) if cwd else None,
                    _preexec_fn=prepare,
                    _encoding="utf-8",  # whatever the locale of this host is
                    _tty_out=False,
                    _bg=True,
                    _bg_exc=False,
                    _new_session=True,
                )
            )

        return self._runner.follow(tool, shlex.join([tool, *argv]), place, timeout, start)

    def step(
        self,
        shown: str,
        start: Callable[[int, int], Started],
        place: str | None = None,
        timeout: float | None = None,
    ) -> str:
        """Wait for what `start` starts inside with two descriptors to write to; return what it printed.

        `shown` stands for it in the log and in errors.
        """

        def begin(out: Pipe, err: Pipe) -> Started:
            return start(out.writer, err.writer)

        return self._runner.follow("the command", shown, place, timeout, begin)

    def _check_version(self) -> None:
        if self._checked:
            return
        self._checked = True
        text = self.call("buildah", ["--version"], env=self._private, inside=True)
        found = re.search(r"\d+\.\d+", text)
        if not found or not new_enough(found[0]):
            needed = ".".join(map(str, BUILDAH))
            raise HostError(
                f"buildah {needed} or later is needed; found: {text.strip() or 'no version'}",
                hint="install a newer one (Debian 12 and Ubuntu 23.04 have it)",
            )

    # -- images and working containers -------------------------------------------------------------------

    def pull(self, layout: Path) -> str:
        """Import the OCI layout at `layout` into the local storage; return the image's id.

        The image is named after the layout's directory, which is the caller's to remove with `untag`.
        """
        for _ in range(_TRIES - 1):
            with _layers_going():
                return self._pull(layout)
        return self._pull(layout)

    def _pull(self, layout: Path) -> str:
        argv = commands.pull(layout.name)
        return self.buildah(argv, place="import", cwd=layout.parent, env=_ONE_THREAD).split()[-1]

    @cached_property
    def storage(self) -> LocalStorage:
        """The local storage's own files, for what is asked of it often."""
        return LocalStorage.of(json.loads(self.buildah(commands.info())))

    def held_layers(self) -> dict[str, int] | None:
        """Return the diff IDs of the storage's layers with their sizes; None when that can't be told."""
        return self.storage.layers()

    @cached_property
    def feeds(self) -> bool:
        """Whether single layers can be given to the local storage."""
        path = self.host.environment.get("PATH")
        buildah, feeder = (shutil.which(tool, path=path) for tool in ("buildah", FEEDER))
        return came_together(Path(buildah) if buildah else None, Path(feeder) if feeder else None)

    def listed_layers(self) -> dict[str, LocalLayer] | None:
        """Return the storage's whole layers by id; None when they can't be told."""
        return self.storage.whole_layers()

    def feed_layer(self, layer: str, parent: str, source: BinaryIO) -> str:
        """Extract the tar that `source` has as `layer` on `parent`; return what is known of it."""
        argv = commands.import_layer(layer, parent)
        env = {**self._private, **_ONE_THREAD}
        return self.call(FEEDER, argv, env=env, place="import", inside=True, source=source)

    def drop_layers(self, layers: Collection[str]) -> None:
        """Remove those of the layers that no image, no container and no other layer stands on."""
        loose: tuple[str, ...] = ()
        with suppress(OSError, ValueError, LookupError, TypeError, AttributeError):
            loose = self.storage.loose(layers)
        if loose:
            argv = commands.delete_layers(loose)
            self.reopen_for_cleanup(lambda: self.call(FEEDER, argv, env=self._private, inside=True))

    def tag(self, image: str, name: str) -> None:
        """Give a local image one more name; an image that had it loses it."""
        self.buildah(commands.tag(image, name))

    def untag(self, layouts: Sequence[Path], *, force: bool = False) -> None:
        """Remove the names that `pull` gave, and with them images that have no other; see `remove_image`."""
        names = [f"localhost/{path.name}:latest" for path in layouts]
        for _ in range(_TRIES):
            with suppress(StepError):
                self.buildah(commands.remove_images(names, force=force))
                return
            there = self.image_ids()  # without those that were never pulled
            names = [name for name in names if name in there]
            if not names:
                return

    def remove_image(self, name: str, *, force: bool = False) -> None:
        """Take the name from a local image, and with its last name the image.

        By `force` containers of it go too: one whose start was killed is in nobody's list and keeps it.
        """
        self.reopen_for_cleanup(lambda: self.buildah(commands.remove_images([name], force=force)))

    def remove_tree(self, path: Path) -> None:
        """Remove a directory that holds files of ids which are ours inside alone."""
        with suppress(StepError):
            self.call("rm", ["-rf", "--", str(path)], inside=True)

    def remove(self, name: str) -> None:
        """Drop a working container, also while everything else is being stopped."""
        self.reopen_for_cleanup(lambda: self.buildah(commands.remove_container(name)))

    def container_names(self) -> tuple[str, ...]:
        """Return the names of all working containers."""
        listed = json.loads(self.buildah(commands.containers()) or "[]") or []
        return tuple(container["containername"] for container in listed)

    def image_ids(self) -> dict[str, str]:
        """Return name -> id of the local images."""
        listed = json.loads(self.buildah(commands.images()) or "[]") or []
        return {name: image["id"] for image in listed for name in image.get("names") or []}


@contextmanager
def _layers_going() -> Iterator[None]:
    """Swallow that a layer, which the storage had a moment ago, went away with another build's image."""
    try:
        yield
    except StepError as error:
        if _GOING not in error.tail:
            raise
