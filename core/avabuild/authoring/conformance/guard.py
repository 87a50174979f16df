"""Guard: runs a plugin's own code and refuses what a pure function has no use for, by name and line."""

from __future__ import annotations

import gc
import os
import random
import sys
import sysconfig
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import date
from pathlib import Path
from types import FrameType
from typing import Any, TypeVar

_Answer = TypeVar("_Answer")

_EVENTS = {
    "open": "opens a file",
    "os.listdir": "reads a directory",
    "os.scandir": "reads a directory",
    "os.mkdir": "writes to the disk",
    "os.remove": "writes to the disk",
    "os.rename": "writes to the disk",
    "os.putenv": "sets the environment",
    "os.system": "starts a program",
    "os.exec": "starts a program",
    "os.fork": "starts a program",
    "os.posix_spawn": "starts a program",
    "subprocess.Popen": "starts a program",
    "ctypes.dlopen": "loads a library of this host",
}
_CLOCKS = {
    id(getattr(time, name))
    for name in (
        "asctime",
        "clock_gettime",
        "clock_gettime_ns",
        "ctime",
        "gmtime",
        "localtime",
        "monotonic",
        "monotonic_ns",
        "perf_counter",
        "perf_counter_ns",
        "process_time",
        "process_time_ns",
        "sleep",
        "strftime",
        "thread_time",
        "thread_time_ns",
        "time",
        "time_ns",
    )
}
_HOST = (
    "access",
    "cpu_count",
    "getcwd",
    "getlogin",
    "getpid",
    "getuid",
    "lstat",
    "readlink",
    "stat",
    "uname",
)
_ENVIRONMENT = {
    getattr(type(os.environ), name).__code__ for name in ("__getitem__", "__iter__", "__len__", "__setitem__")
}
_SEED = random.Random.seed.__code__
_OWN = f"{Path(__file__).parents[2]}{os.sep}"
_LIBRARY = f"{sysconfig.get_path('stdlib')}{os.sep}"
_INSTALLED = (  # below the library where Python is no virtual environment's
    *(f"{sysconfig.get_path(name)}{os.sep}" for name in ("purelib", "platlib")),
    *(f"{_LIBRARY}{name}{os.sep}" for name in ("site-packages", "dist-packages")),
)


class ImpureError(Exception):
    """Raised inside the plugin at the very call that is refused."""


class Watch:
    """What was refused while it was in force: what happened and where, each once."""

    def __init__(self) -> None:
        self.touched: dict[tuple[str, str], None] = {}

    def refuse(self, what: str, frame: FrameType | None) -> None:
        """Note `what` and raise, unless Python itself imports a module just now."""
        place = ""
        while frame is not None:
            name = frame.f_code.co_filename
            if name.startswith("<frozen importlib"):
                return
            if not place and not _is_ours(name):
                place = f"{name}:{frame.f_lineno}"
            frame = frame.f_back
        self.touched[what, place] = None
        raise ImpureError(f"it {what}")

    def profiled(self, frame: FrameType, event: str, argument: Any) -> None:
        """Take an event of `sys.setprofile`: clocks and the environment tell no audit hook."""
        if event == "call" and frame.f_code in _ENVIRONMENT:
            self.refuse("reads the environment", frame.f_back)
        if event == "call" and frame.f_code is _SEED and frame.f_locals.get("a") is None:
            self.refuse("takes random numbers (random.Random without a seed)", frame.f_back)
        if event == "c_call" and (what := _refused(argument)):
            self.refuse(what, frame)


def _is_ours(filename: str) -> bool:
    """Whether a file is of avabuild or of Python's library, rather than of a plugin or what it imports."""
    if filename.startswith(("<", _OWN)):
        return True
    return filename.startswith(_LIBRARY) and not filename.startswith(_INSTALLED)


def _refused(function: Any) -> str:
    """Return what a built-in function does that is refused, empty for the others."""
    name, owner = getattr(function, "__name__", ""), getattr(function, "__self__", None)
    if id(function) in _CLOCKS:
        return f"reads the clock (time.{name})"
    if isinstance(owner, type) and issubclass(owner, date) and name in {"now", "today", "utcnow"}:
        return f"reads the clock ({owner.__name__}.{name})"
    if getattr(function, "__module__", "") == "posix":
        if name in _HOST:
            return f"asks this host (os.{name})"
        if name == "urandom":
            return "takes random numbers (os.urandom)"
    if owner is random._inst and name in {"random", "getrandbits"}:
        return "takes random numbers"
    return ""


_watch: ContextVar[Watch | None] = ContextVar("watch", default=None)
_hooked: list[bool] = []


def _audited(event: str, arguments: tuple[Any, ...]) -> None:
    watch = _watch.get()
    if watch is None:
        return
    if event.startswith("socket."):
        watch.refuse(f"uses the network ({event})", sys._getframe(1))
    if event in _EVENTS:
        about = f" ({arguments[0]})" if arguments and isinstance(arguments[0], str | Path) else f" ({event})"
        watch.refuse(_EVENTS[event] + about, sys._getframe(1))


@contextmanager
def guarded(watch: Watch) -> Iterator[None]:
    """Refuse files, network, clock, random numbers, environment and programs while the block runs."""
    if not _hooked:
        sys.addaudithook(_audited)  # for the life of the process, and idle without a watch
        _hooked.append(True)
    before, collecting = sys.getprofile(), gc.isenabled()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # to show one reads the source it is about
        token = None
        try:
            gc.disable()  # what others left may close files when it is collected
            token = _watch.set(watch)
            sys.setprofile(watch.profiled)
            yield
        finally:
            sys.setprofile(before)
            if token is not None:
                _watch.reset(token)
            if collecting:
                gc.enable()


def asked_twice(watch: Watch, ask: Callable[[], _Answer]) -> tuple[_Answer, _Answer]:
    """Return both answers of `ask`; what it raises goes on, as an answer that failed."""
    with guarded(watch):
        return ask(), ask()
