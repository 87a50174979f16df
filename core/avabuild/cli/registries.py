"""What a run of `avabuild recipe` has to do with registries: where it pushes, and where layers may be."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import typer

from avabuild.host.host import Host
from avabuild.registries.name import Remote
from avabuild.run.publish import Publisher
from avabuild.tools.events import Report

if TYPE_CHECKING:
    from avabuild.registries.cache import Cache

Outsiders: TypeAlias = "tuple[Publisher | None, Cache | None]"


@dataclass(frozen=True, slots=True)
class Outside:
    """What was asked for on the command line.

    Attributes:
        push: the namespace that images go to, or None.
        cache: the repository of layers, or None.
        insecure: whether registries may do without verified TLS.
    """

    push: Remote | None = None
    cache: Remote | None = None
    insecure: bool = False

    @classmethod
    def of(cls, push: str | None, cache: str | None, *, insecure: bool) -> Outside:
        """Read the options; both name repositories, without tags."""
        return cls(_repository(push, "--push"), _repository(cache, "--cache"), insecure)

    @contextmanager
    def open(self, host: Host, report: Report) -> Iterator[Outsiders]:
        """Open what is needed; what is on its way is finished in the end."""
        if self.push is None and self.cache is None:
            yield None, None
            return
        # httpx takes a tenth of a second to import, and most builds need no registry.
        from avabuild.registries.cache import Cache
        from avabuild.registries.connections import BRIEF, Registries

        with (
            Registries(host, insecure=self.insecure) as registries,
            Registries(host, insecure=self.insecure, policy=BRIEF) as brief,
        ):
            publisher = Publisher(registries, self.push) if self.push else None
            if self.cache is None:
                yield publisher, None
                return
            with Cache(brief, self.cache, report) as cache:
                yield publisher, cache


def _repository(text: str | None, option: str) -> Remote | None:
    if text is None:
        return None
    try:
        name = Remote.parse(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint=option) from None
    if name.tag or name.digest:
        raise typer.BadParameter(f'"{text}" has a tag; name a repository', param_hint=option)
    return name
