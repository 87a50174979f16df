"""Consoles: how the events of builds look to a person who reads a log, or only the result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Self, cast

from avabuild.cli.shown import echo, shown
from avabuild.cli.table import Row, about, lines_of
from avabuild.cli.units import human

if TYPE_CHECKING:
    from avabuild.common.errors import AvabuildError
    from avabuild.registries.pushed import Pushed
    from avabuild.run.publish import Done
    from avabuild.tools.events import Event

BIG = 5_000_000  # bytes of a download that is worth showing on its own


def _named(done: Done) -> str:
    """Return how to get the image: its name in the local storage, or the pinned one in a registry."""
    return done.pushed.pinned if done.pushed else done.plan.reference


class QuietConsole:
    """Prints nothing but warnings, and the references of finished images on the standard output.

    Attributes:
        several: whether more than one image is built, so that each line says which it is of.
    """

    several = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        """Nothing is held."""

    def take(self, event: Event) -> None:
        """Show one event."""
        event = shown(event)
        if event.kind == "warn":
            echo(f"{self._of(event.image)}warning: {event.text}", err=True)

    def _warn_again(self, image: Mapping[str, object]) -> None:
        """Say what the run that made an image warned of, and what holds still."""
        if "warnings" in image:
            from avabuild.tools.events import Event

            for text in cast("list[str]", image["warnings"]):
                self.take(Event("warn", text=text, image=str(image["reference"])))

    def _of(self, reference: str) -> str:
        """What stands before a line of one image."""
        return f"[{short(reference)}] " if self.several and reference else ""

    def image(self, done: Done, seconds: Mapping[str, float]) -> None:  # noqa: ARG002 - of all consoles
        """Say that an image is finished; `seconds` are those of its phases."""
        echo(_named(done))

    def up_to_date(self, image: Mapping[str, object], seconds: float) -> None:  # noqa: ARG002
        """Say that there was nothing to do for an image, as `described` remembered it."""
        self._warn_again(image)
        echo(image.get("pushed", image["reference"]))

    def checked(self, image: str, frameworks: Sequence[str]) -> None:
        """Say that the checks of a finished image passed: each was shown as it ran."""

    def pushed(self, image: str, pushed: Pushed) -> None:  # noqa: ARG002 - of all consoles
        """Say that a local image is in a registry."""
        echo(pushed.pinned)

    def failed(self, error: AvabuildError, image: str = "") -> None:
        """Take the error that ends the build of `image`; the one who catches it shows it to people."""

    def skipped(self, image: str, why: str) -> None:
        """Say that an image was not begun."""

    def table(self, rows: Sequence[Row]) -> None:
        """Show what became of several images."""


class PlainConsole(QuietConsole):
    """One line a step, for logs; with `verbose`, every line that the tools print too."""

    def __init__(self, *, verbose: bool = False) -> None:
        self._verbose = verbose

    def take(self, event: Event) -> None:
        """Show one event."""
        event = shown(event)
        if event.kind == "output" and self._verbose:
            self._write(f"  {self._of(event.image)}{event.step}| {event.text}")
        elif event.kind == "progress" and event.done == event.total >= BIG:
            verb = event.text or "download"
            self._write(f"{self._of(event.image)}{verb} {event.step}: {human(event.total)}")
        elif line := line_of(event):
            self._write(f"{self._of(event.image)}{line}", event.kind)

    def image(self, done: Done, seconds: Mapping[str, float]) -> None:
        """Say what was built, of what size, from how much that was there, and where the time went."""
        built = done.built
        echo(_named(done))
        if self.several:
            size, counted = human(built.composed.size), f"{len(built.made)} built, {len(built.reused)} reused"
            line = f"built in {done.seconds:.1f} s: {size}, layers {counted}"
            self._write(f"{self._of(done.plan.reference)}{line}")
            return
        self._write(f"  digest   {built.composed.digest}")
        if done.pushed:
            self._write(f"  pushed   {done.pushed.name}: {done.pushed}")
        self._write(f"  size     {human(built.composed.size)} in {len(built.composed.layers)} layers")
        self._write(f"  layers   {len(built.made)} built, {len(built.reused)} reused")
        if built.driver:
            self._write(f"  driver   NVIDIA {built.driver} or later, on the machine that runs it")
        phases = sorted(seconds.items(), key=lambda item: (-item[1], item[0]))
        named = ", ".join(f"{name} {spent:.1f}" for name, spent in phases if spent >= 0.05)
        at_once = "; phases overlap" if sum(seconds.values()) > done.seconds else ""
        self._write(f"  seconds  {done.seconds:.1f}" + (f" ({named}{at_once})" if named else ""))

    def up_to_date(self, image: Mapping[str, object], seconds: float) -> None:  # noqa: ARG002
        """Say that there was nothing to do for an image."""
        self._warn_again(image)
        echo(image.get("pushed", image["reference"]))
        if not self.several:
            self._write(f"  digest   {image['digest']}")
            where = "the registry has it: " if "pushed" in image else ""
            self._write(f"  up to date: {where}nothing to do")

    def failed(self, error: AvabuildError, image: str = "") -> None:
        """Say that an image failed while others go on; its error is shown at the end."""
        if self.several and image:
            self._write(f"{self._of(image)}failed: {str(error).splitlines()[0]}", "fail")

    def skipped(self, image: str, why: str) -> None:
        """Say that an image was not begun."""
        self._write(f"{self._of(image)}skipped: {why}", "warn")

    def table(self, rows: Sequence[Row]) -> None:
        """Show what became of several images."""
        self._write("")
        for line in lines_of(rows):
            self._write(line)

    def _write(self, line: str, kind: str = "") -> None:  # noqa: ARG002 - the live one has colours
        echo(line, err=True)


def line_of(event: Event) -> str:
    """Return the line of a finished step, a note or a warning; empty for everything else."""
    match event.kind:
        case "finish":
            words = f"{event.step}: {event.text}" if event.text else event.step
            return f"{words} ({event.seconds:.1f} s)"
        case "fail":
            return f"{event.step}: failed ({event.seconds:.1f} s)"
        case "note":
            return event.text
        case "warn":
            return f"warning: {event.text}"
    return ""


def described(done: Done) -> dict[str, object]:
    """Return what a program, or a later run with nothing to do, is told of an image."""
    composed = done.built.composed
    return {
        "reference": done.plan.reference,
        **({"pushed": done.pushed.pinned, "uploaded": done.pushed.uploaded} if done.pushed else {}),
        "digest": composed.digest,
        "size": composed.size,
        "layers": len(composed.layers),
        **({"driver": done.built.driver} if done.built.driver else {}),
        **about(done.plan, done.built.lock.python),
        **({"warnings": list(done.warnings)} if done.warnings else {}),
    }


def short(reference: str) -> str:
    """Return the image's name and tag, without the registry."""
    return reference.removeprefix("localhost/")
