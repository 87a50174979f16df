"""JSON events: one object a line on the standard output, for programs that watch a build."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from avabuild.cli.console import QuietConsole, described
from avabuild.cli.shown import echo
from avabuild.common.errors import exit_code_of

if TYPE_CHECKING:
    from avabuild.common.errors import AvabuildError
    from avabuild.registries.pushed import Pushed
    from avabuild.run.publish import Done
    from avabuild.tools.events import Event


class JsonConsole(QuietConsole):
    """Prints every event but the tools' own lines, then an object per image, or one for the error."""

    def take(self, event: Event) -> None:
        """Print one event: what is set of `image`, `step`, `text`, `done`, `total`, `seconds`."""
        if event.kind != "output":
            fields = {
                name: round(value, 3) if isinstance(value, float) else value
                for name, value in dataclasses.asdict(event).items()
                if value and name != "kind"
            }
            _print({"event": event.kind, **fields})

    def image(self, done: Done, seconds: Mapping[str, float]) -> None:
        """Print the finished image."""
        phases = {name: round(spent, 3) for name, spent in seconds.items()}
        found = {"made": done.built.made, "reused": done.built.reused}
        _print(
            {
                "event": "image",
                **described(done),
                **found,
                "seconds": round(done.seconds, 3),
                "phases": phases,
            }
        )

    def up_to_date(self, image: Mapping[str, object], seconds: float) -> None:
        """Print the image that needs nothing: no layer was made, and none was looked for."""
        self._warn_again(image)
        _print({"event": "image", **image, "made": [], "up_to_date": True, "seconds": round(seconds, 3)})

    def checked(self, image: str, frameworks: Sequence[str]) -> None:
        """Print the image whose checks passed."""
        _print({"event": "checked", "reference": image, "frameworks": list(frameworks)})

    def pushed(self, image: str, pushed: Pushed) -> None:
        """Print what came of a push."""
        data = {"reference": image, "name": str(pushed.name), **pushed.model_dump(exclude={"name"})}
        _print({"event": "pushed", "pushed": pushed.pinned, **data})

    def failed(self, error: AvabuildError, image: str = "") -> None:
        """Print the error that ends the build of `image`; it is told on the standard error too."""
        _print(
            {
                "event": "error",
                **({"image": image} if image else {}),
                "class": type(error).__name__,
                "exit_code": exit_code_of(error),
                "text": str(error),
            }
        )

    def skipped(self, image: str, why: str) -> None:
        """Print the image that was not begun."""
        _print({"event": "skip", "image": image, "text": why})


def _print(data: Mapping[str, object]) -> None:
    echo(json.dumps(data, ensure_ascii=False))
