"""JSON events: one object a line on the standard output, for programs that watch a build."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Any, Self

import typer

if TYPE_CHECKING:
    from avabuild.report import Event
    from avabuild.session import Done


class JsonConsole:
    """Prints every event but the tools' own lines, then an object per image."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        """Nothing is held."""

    def take(self, event: Event) -> None:
        """Print one event: `event`, `step`, and those of `text`, `done`, `total`, `seconds` that are set."""
        if event.kind == "output":
            return
        fields = {name: value for name, value in dataclasses.asdict(event).items() if value and name != "kind"}
        self._print({"event": event.kind, **fields})

    def summary(self, done: Done, seconds: dict[str, float]) -> None:
        """Print the finished image."""
        built = done.built
        self._print(
            {
                "event": "image",
                "reference": done.plan.reference,
                "digest": built.composed.digest,
                "size": built.composed.size,
                "made": built.made,
                "reused": built.reused,
                "seconds": round(done.seconds, 3),
                "phases": {name: round(spent, 3) for name, spent in seconds.items()},
            }
        )

    def _print(self, data: dict[str, Any]) -> None:
        typer.echo(json.dumps(data, ensure_ascii=False))
