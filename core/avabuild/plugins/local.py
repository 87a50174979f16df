"""Local plugins: files that a recipe or project names, read once each: what is run is what is hashed."""

from __future__ import annotations

import hashlib
import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from avabuild.common.errors import PluginError
from avabuild.common.regular import read as read_regular
from avabuild.plugins.provider import Kind, Provider

_HINT = (
    "a local plugin is one file that imports avabuild.api and what is installed; for more make a distribution"
)


@dataclass(frozen=True, slots=True)
class LocalPlugin:
    """A local plugin that was read and not yet run.

    Attributes:
        shown: its path as the recipe spells it.
        path: where it is; its `file` is that without links and detours, the same by every way to it.
        text: what it says; its `digest` is `sha256:HEX` of the bytes.
    """

    shown: str
    path: Path
    text: str
    digest: str

    @property
    def file(self) -> Path:
        """The file that it is."""
        return self.path.resolve()

    @property
    def module(self) -> str:
        """The name of its module, which no other text and no other file has."""
        place = hashlib.sha256(str(self.file).encode()).hexdigest()
        return f"{self.file.stem}_{self.digest[7:15]}{place[:4]}"

    def provider(self, name: str, kind: Kind) -> Provider:
        """Return it as the provider of something that it declares."""
        return Provider(name, self.module, self.shown, self.digest[:19], kind)


def read_local(shown: str, path: Path) -> LocalPlugin:
    """Read the local plugin at `path`; raise PluginError when that can't be done."""
    try:
        data = read_regular(path)
        text = data.decode("utf-8-sig")  # some editors write a byte order mark
        return LocalPlugin(shown, path, text, f"sha256:{hashlib.sha256(data).hexdigest()}")
    except OSError as error:
        raise PluginError(f"can't be read: {(error.strerror or str(error)).lower()}", place=shown) from error
    except UnicodeDecodeError as error:
        raise PluginError("is not UTF-8 text, which Python must be", place=shown) from error


def run_local(plugin: LocalPlugin) -> types.ModuleType:
    """Run the plugin as a module, once in a process, and return it; no bytecode is left beside the file.

    Raises:
        PluginError: it can't be compiled, or raised; names the file and line.
    """
    if (known := sys.modules.get(plugin.module)) is not None:
        return known
    module = types.ModuleType(plugin.module)
    module.__file__ = str(plugin.path)
    sys.modules[plugin.module] = module  # where pydantic and dataclasses look for the names of annotations
    try:
        with blamed_on_line(plugin):
            code = compile(plugin.text, str(plugin.path), "exec", dont_inherit=True)  # no __future__ of ours
            exec(code, vars(module))  # noqa: S102 - what it is for
    except BaseException:
        del sys.modules[plugin.module]
        raise
    return module


@contextmanager
def blamed_on_line(plugin: LocalPlugin) -> Iterator[None]:
    """Turn whatever the plugin's own text raises into a PluginError at its line."""
    try:
        yield
    except (Exception, SystemExit) as error:
        line = error.lineno if isinstance(error, SyntaxError) else line_in(error, str(plugin.path))
        what = error.msg if isinstance(error, SyntaxError) else str(error)
        raise PluginError(
            f"can't be imported: {type(error).__name__}: {what}",
            place=f"{plugin.shown}:{line}" if line else plugin.shown,
            hint=_HINT if isinstance(error, ImportError) else None,
        ) from error


def line_in(error: BaseException, filename: str) -> int | None:
    """Return the line of `filename` that raised `error` or called what did; None for neither."""
    found, trace = None, error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == filename:
            found = trace.tb_lineno
        trace = trace.tb_next
    return found
