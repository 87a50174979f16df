"""The live console: what runs and what is downloaded, redrawn on a terminal; finished steps stay above."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Self

from avabuild.cli.console import BIG, PlainConsole
from avabuild.cli.shown import escaped, shown

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import TaskID

    from avabuild.cli.table import Row
    from avabuild.common.errors import AvabuildError
    from avabuild.run.publish import Done
    from avabuild.tools.events import Event

_STYLES = {"warn": "yellow", "fail": "red"}
_LONGEST = 40


class LiveConsole(PlainConsole):
    """Spinners for steps that run, bars for big downloads and one for all of them.

    Args:
        console: a rich console on the terminal; the standard error by default.
    """

    def __init__(self, console: Console | None = None) -> None:
        from rich.console import Console, Group
        from rich.live import Live
        from rich.progress import (
            BarColumn,
            DownloadColumn,
            Progress,
            SpinnerColumn,
            TextColumn,
            TimeElapsedColumn,
        )

        super().__init__()
        self._console = console or Console(stderr=True, highlight=False)
        name = TextColumn("{task.description}", markup=False)
        self._steps = Progress(SpinnerColumn(), name, TimeElapsedColumn(), console=self._console)
        self._bars = Progress(TextColumn(" "), name, BarColumn(24), DownloadColumn(), console=self._console)
        self._live = Live(
            Group(self._steps, self._bars), console=self._console, transient=True, refresh_per_second=8
        )
        self._running: dict[str, TaskID] = {}
        self._files: dict[str, TaskID] = {}
        self._bytes: dict[str, dict[str, tuple[int, int]]] = {}
        self._all: dict[str, TaskID] = {}

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._live.stop()

    def take(self, event: Event) -> None:
        """Show one event."""
        event = shown(event)
        key = f"{self._of(event.image)}{event.step}"
        if event.kind == "start" and key not in self._running:
            self._running[key] = self._steps.add_task(key, total=None)
        elif event.kind in {"finish", "fail"} and key in self._running:
            self._steps.remove_task(self._running.pop(key))
        elif event.kind == "progress":
            self._progress(event)
        super().take(event)

    def _progress(self, event: Event) -> None:
        if event.total >= BIG and event.step not in self._files and event.done < event.total:
            self._files[event.step] = self._bars.add_task(_project(event.step), total=event.total)
        if event.step in self._files:
            self._bars.update(self._files[event.step], completed=event.done)
            if event.done >= event.total:
                self._bars.remove_task(self._files.pop(event.step))
        verb = event.text or "download"
        counted = self._bytes.setdefault(verb, {})
        counted[event.step] = (event.done, max(event.done, event.total))
        done, total = (sum(pair) for pair in zip(*counted.values(), strict=True))
        if verb not in self._all:
            self._all[verb] = self._bars.add_task(f"{verb}s", total=total)
        self._bars.update(self._all[verb], completed=done, total=total, visible=done < total)

    def image(self, done: Done, seconds: Mapping[str, float]) -> None:
        """Say what was built. Live drawing stops meanwhile: the reference goes to the standard output."""
        self._live.stop()
        super().image(done, seconds)
        self._live.start()

    def failed(self, error: AvabuildError, image: str = "") -> None:
        """Say that an image failed; when it is the only one, clear what still seems to run."""
        super().failed(error, image)
        if not self.several:
            self._live.stop()

    def table(self, rows: Sequence[Row]) -> None:
        """Show what became of several images, as the last thing on the terminal."""
        self._live.stop()
        super().table(rows)

    def _write(self, line: str, kind: str = "") -> None:
        self._console.print(escaped(line), style=_STYLES.get(kind), markup=False, soft_wrap=True)


def _project(filename: str) -> str:
    name = filename.partition("-")[0] if filename.endswith(".whl") else filename
    return name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1]}…"
