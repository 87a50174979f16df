"""What the fixtures of `avabuild.testing` give a test."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from avabuild.plugins.framework import Request
    from avabuild.plugins.kinds import Layer


@dataclass(frozen=True)
class Answer:
    """What a framework answers for one target.

    Attributes:
        request: what it was asked with.
        layers: what it contributes.
        check: its program.
    """

    request: Request
    layers: tuple[Layer, ...]
    check: str

    @property
    def requirements(self) -> tuple[str, ...]:
        """The requirements of all of its `Python` layers."""
        return tuple(text for layer in self.layers if layer.kind == "python" for text in layer.requirements)


@dataclass(frozen=True)
class Image:
    """An image that was made and checked.

    Attributes:
        digest: of its manifest.
        checks: what each framework's check printed, by name.
        layers: the names of its layers, as a build shows them.
        labels: of its config.
        files: the path of everything in it, without a leading slash, the base's too.
    """

    digest: str
    checks: dict[str, str]
    layers: tuple[str, ...]
    labels: dict[str, str]
    files: frozenset[str]


class BuildFailed(AssertionError):  # noqa: N818 - what a test says of it
    """An image could not be built, was refused, or failed a check; its text is what avabuild says."""
