"""Namespace: the engine's side of the one user and mount namespace in which builds use the image storage.

Outside tools enter it between fork and exec (`enter`); steps and modules of ours are started by the server
that holds it open (`start`). It is gone when the engine is, however that ends.
"""

from __future__ import annotations

import json
import os
import platform
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path

from avabuild.common.errors import HostError
from avabuild.host.means import Means
from avabuild.tools.inside import syscalls
from avabuild.tools.inside.fake_root import TABLES, FakeRoot
from avabuild.tools.inside.given import packed
from avabuild.tools.inside.id_maps import map_ids
from avabuild.tools.inside.refusals import refusals
from avabuild.tools.inside.step import Step

PATIENCE = 30  # seconds for the server to start: a machine may be busy
_ROOM = 1 << 20  # bytes of a request
_STARTS = 3


class Started:
    """Something that the server started."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self._file = channel.makefile("r")
        self._pid = int(self._file.readline() or 0)

    @contextmanager
    def ending(self) -> Iterator[int]:
        """Yield a descriptor that is readable once it has ended, or the server has."""
        yield self._channel.fileno()

    def wait(self) -> int:
        """Wait for the end; return the exit code, negative for a signal. Once."""
        with self._channel, self._file:
            return int(self._file.readline() or -9)

    def kill(self) -> None:
        """End it, and with it all that it started."""
        if self._pid:
            with suppress(ProcessLookupError):
                os.kill(self._pid, signal.SIGKILL)

    stop = kill


class Namespace:
    """Opened by the first who needs it, closed by `close`; safe to use from any thread.

    `find` tells how it is opened; it is asked once, when that matters.
    """

    def __init__(self, find: Callable[[], Means], environ: Mapping[str, str]) -> None:
        self._find = find
        self._environ = dict(environ)
        self._lock = threading.Lock()
        self._server: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._handles: tuple[tuple[int, int], ...] = ()
        self._filter: FakeRoot | None = None
        self._words: set[str] = set()

    @cached_property
    def means(self) -> Means:
        """How builds are done here."""
        return self._find()

    def open(self) -> None:
        """Open the namespace unless it is.

        Raises:
            HostError: the kernel or the programs that map ids refuse it.
        """
        with self._lock:
            if self._control is None:
                self._control = self._begin()

    def enter(self, directory: Path | None = None) -> Callable[[], None]:
        """Return what a process of ours calls between fork and exec, to be inside, and in `directory`."""
        self.open()
        path = os.fspath(directory or Path.cwd())

        def go_inside() -> None:
            for handle, kind in self._handles:
                syscalls.setns(handle, kind)
            os.chdir(path)
            syscalls.drop_inherited()
            with suppress(OSError):  # a keyring more than the user may have, or a kernel without them
                syscalls.leave_keyring()
            if self._filter:
                self._filter.load()
            syscalls.die_with_parent()

        return go_inside

    def step(self, step: Step, out: int, err: int, source: int | None = None) -> Started:
        """Start a step that writes to the descriptors, and reads from `source` when there is one.

        Raises:
            HostError: this machine's system calls are not known, so that it can't be filtered.
        """
        refusals(namespaces=False)
        return self._ask({"step": step.to_json()}, out, err, source)

    def module(self, name: str, arguments: Sequence[str], out: int, err: int) -> Started:
        """Start a module of ours: its `main(arguments)` is called, and returns an exit code."""
        return self._ask({"module": name, "arguments": list(arguments)}, out, err)

    @contextmanager
    def given(self, directory: Path, files: Mapping[str, bytes]) -> Iterator[None]:
        """Have `directory` hold `files` inside, in memory, for as long as the block runs.

        Raises:
            HostError: there is none to be had.
        """
        self._give("put", directory, packed(files))
        try:
            yield
        finally:
            with suppress(HostError, OSError):  # it was closed, and all of it is gone
                self._give("drop", directory)

    def _give(self, what: str, directory: Path, data: bytes = b"") -> None:
        source, said = os.memfd_create("given"), os.memfd_create("said")
        try:
            os.pwrite(source, data, 0)
            request: dict[str, object] = {
                "module": "avabuild.tools.inside.given",
                "arguments": [what, os.fspath(directory)],
            }
            if self._ask(request, said, said, source).wait():
                words = os.pread(said, _ROOM, 0).decode("utf-8", "replace").strip()
                raise HostError(f"a step can't be given its variables in memory: {words}")
        finally:
            os.close(source)
            os.close(said)

    def first(self, word: str) -> bool:
        """Return whether nobody asked for `word` before: what is to be said once."""
        with self._lock:
            known = word in self._words
            self._words.add(word)
        return not known

    def close(self) -> None:
        """Let the namespace go, and with it all that still runs inside."""
        with self._lock:
            if self._control is None:
                return
            self._control.close()
            self._control = None
            for handle, _ in self._handles:
                os.close(handle)
            self._handles = ()
            assert self._server  # noqa: S101 - it is what the control leads to
            self._server.wait()

    def _ask(self, request: dict[str, object], out: int, err: int, source: int | None = None) -> Started:
        self.open()
        ours, theirs = socket.socketpair()
        nothing = os.open(os.devnull, os.O_RDONLY)
        try:
            with self._lock, theirs:
                assert self._control  # noqa: S101 - it was opened
                streams = [theirs.fileno(), nothing if source is None else source, out, err]
                socket.send_fds(self._control, [json.dumps(request).encode()], streams)
        finally:
            os.close(nothing)
        return Started(ours)

    # -- opening -------------------------------------------------------------------------------------------

    def _begin(self) -> socket.socket:
        for _ in range(_STARTS):
            with suppress(_EndedError):
                return self._begun()
        raise _cannot("it ended")

    def _begun(self) -> socket.socket:
        means = self.means
        if means.mode == "none":
            raise HostError("no user namespace can be had here", hint="avabuild doctor says why")
        machine = platform.machine()
        if means.mode == "single" and machine not in TABLES:
            raise HostError(
                f"with one id, builds need a filter of system calls, and there is none for {machine}",
                hint="a range of subordinate ids needs no filter: avabuild doctor says how to have one",
            )
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _ROOM)
        ours.settimeout(PATIENCE)
        # Its encoding is not this host's: in an image's root, a codec can't be loaded any more.
        program = [sys.executable, "-X", "utf8", "-m", "avabuild.tools.inside.server", means.mode]
        if means.entry == "buildah":
            program = ["buildah", "unshare", *program, "entered"]
        environ = {**self._environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
        with theirs:
            self._server = subprocess.Popen(
                program, stdin=theirs.fileno(), stdout=subprocess.DEVNULL, env=environ
            )
        try:
            self._shake_hands(ours)
        except BaseException as error:
            ours.close()
            self._server.kill()
            self._server.wait()
            for handle, _ in self._handles:
                os.close(handle)
            self._handles = ()
            if isinstance(error, _EndedError) and means.entry != "buildah":
                raise _cannot("it ended") from None
            if isinstance(error, TimeoutError):
                raise HostError("the build's namespace did not open in time") from None
            raise
        ours.settimeout(None)
        self._filter = FakeRoot() if means.mode == "single" else None
        return ours

    def _shake_hands(self, control: socket.socket) -> None:
        """Have the server's ids mapped, and keep hold of its namespaces before it hides them."""
        pid, means = int(_expect(control, b"entered")), self.means
        if means.mode != "root" and means.entry == "own":
            map_ids(pid, ranges=means.mode == "subuid")
        kinds = (("user", syscalls.CLONE_NEWUSER),) if means.mode != "root" else ()
        self._handles = tuple(
            (os.open(f"/proc/{pid}/ns/{name}", os.O_RDONLY | os.O_CLOEXEC), kind)
            for name, kind in (*kinds, ("mnt", syscalls.CLONE_NEWNS))
        )
        control.sendall(b"mapped")
        _expect(control, b"ready")


def _expect(control: socket.socket, word: bytes) -> bytes:
    """Return what follows `word` in the server's next message."""
    said = control.recv(4096)
    if not said:
        raise _EndedError
    if not said.startswith(word):
        raise _cannot(said.decode("utf-8", "replace"))
    return said[len(word) :]


class _EndedError(Exception):
    """The server ended without a word, as buildah 1.28 does once in a while: see `tools.process`."""


def _cannot(why: str) -> HostError:
    return HostError(f"the build's namespace can't be opened: {why}", hint="avabuild doctor says why")
