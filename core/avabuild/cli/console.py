"""Consoles: how a build's events look to a person: live on a terminal, a line a step elsewhere, or not at all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import typer

if TYPE_CHECKING:
    from avabuild.report import Event
    from avabuild.session import Done


class QuietConsole:
    """Prints nothing but warnings and the references of finished images."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        """Nothing is held."""

    def take(self, event: Event) -> None:
        """Show one event."""
        if event.kind == "warn":
            typer.echo(f"warning: {event.text}", err=True)

    def summary(self, done: Done, seconds: dict[str, float]) -> None:  # noqa: ARG002 - one shape for all consoles
        """Say that an image is finished."""
        typer.echo(done.plan.reference)


class PlainConsole(QuietConsole):
    """One line a step, for logs; with `verbose`, every line that the tools print too."""

    def __init__(self, *, verbose: bool = False) -> None:
        self._verbose = verbose

    def take(self, event: Event) -> None:
        """Show one event."""
        line = _line(event)
        if event.kind == "output" and self._verbose:
            line = f"  {event.step}| {event.text}"
        if line:
            self._write(line)

    def _write(self, line: str) -> None:
        typer.echo(line, err=True)

    def summary(self, done: Done, seconds: dict[str, float]) -> None:
        """Say what was built, of what size, from how much that was there, and where the time went."""
        built = done.built
        typer.echo(f"{done.plan.reference}")
        self._write(f"  digest  {built.composed.digest}")
        self._write(f"  size    {built.composed.size / 1e6:.1f} MB in {len(built.composed.layers)} layers")
        self._write(f"  layers  {len(built.made)} built, {len(built.reused)} reused")
        phases = ", ".join(f"{name} {spent:.1f}" for name, spent in sorted(seconds.items(), key=lambda x: -x[1]))
        self._write(f"  seconds {done.seconds:.1f} ({phases}; phases overlap)")


class RichConsole(PlainConsole):
    """Live lines with bars for what runs, and a line above them for each finished step."""

    def __init__(self) -> None:
        super().__init__()
        from rich.console import Console
        from rich.progress import BarColumn, DownloadColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        self._console = Console(stderr=True, highlight=False)
        self._bytes = Progress(TextColumn("  {task.description}"), BarColumn(24), DownloadColumn(), transient=True)
        self._steps = Progress(
            SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn(), transient=True
        )
        self._tasks: dict[str, Any] = {}
        self._files: dict[str, Any] = {}

    def __enter__(self) -> Self:
        from rich.console import Group
        from rich.live import Live

        self._live = Live(Group(self._steps, self._bytes), console=self._console, transient=True, refresh_per_second=8)
        self._live.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._live.stop()

    def take(self, event: Event) -> None:
        """Show one event."""
        if event.kind == "start":
            self._tasks[event.step] = self._steps.add_task(event.step, total=None)
        elif event.kind in {"finish", "fail"} and event.step in self._tasks:
            self._steps.remove_task(self._tasks.pop(event.step))
        elif event.kind == "progress":
            self._progress(event)
        if line := _line(event):
            self._write(line)

    def _progress(self, event: Event) -> None:
        if event.total < 5_000_000:  # too small to be worth a bar that flickers
            return
        if event.step not in self._files:
            self._files[event.step] = self._bytes.add_task(event.step.split("-")[0], total=event.total)
        self._bytes.update(self._files[event.step], completed=event.done)
        if event.done >= event.total:
            self._bytes.remove_task(self._files.pop(event.step))

    def _write(self, line: str) -> None:
        self._console.print(line, markup=False, soft_wrap=True)


def _line(event: Event) -> str:
    """Return the line of a finished step, a note or a warning; empty for everything else."""
    if event.kind == "finish":
        words = f"{event.step}: {event.text}" if event.text else event.step
        return f"{words} ({event.seconds:.1f} s)"
    if event.kind == "fail":
        return f"{event.step}: failed ({event.seconds:.1f} s)"
    if event.kind in {"note", "warn"}:
        return f"{'warning: ' if event.kind == 'warn' else ''}{event.text}"
    return ""


