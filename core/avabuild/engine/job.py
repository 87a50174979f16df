"""Job and Built: what one build is given, and what it came to."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from avabuild.engine.layout import Composed
from avabuild.engine.output import LOCAL, Output
from avabuild.engine.python.resolution import Inquiry
from avabuild.layer.base import Base
from avabuild.plan.plan import Plan
from avabuild.resolve import Indexes
from avabuild.resolve.lock import TargetLock


@dataclass(frozen=True, slots=True)
class Job:
    """What to build, and how far to go.

    Attributes:
        inquiry: the plan, and what a resolver is asked for it where the lock does not answer.
        base: what it stands on, in the store.
        lock: what the target resolved to before, as far as that is to be kept, or None.
        content: what the recipe says, for the labels.
        output: where the image goes.
        check: whether the frameworks' checks run.
        anew: whether they do in an image that passed them before.
        locked: whether nothing may be resolved.
    """

    inquiry: Inquiry
    base: Base
    lock: TargetLock | None
    content: dict[str, Any]
    output: Output = LOCAL
    check: bool = True
    anew: bool = False
    locked: bool = False

    @property
    def plan(self) -> Plan:
        """What to build."""
        return self.inquiry.plan

    @property
    def directory(self) -> Path:
        """The recipe's."""
        return self.inquiry.directory

    @property
    def indexes(self) -> Indexes:
        """Where packages come from."""
        return self.inquiry.indexes

    @property
    def imported(self) -> bool:
        """Whether the image gets into the local storage: to stay there, or to be checked before a push."""
        checked = self.check and bool(self.plan.checks)
        return self.output.kind == "storage" or (self.output.kind == "nowhere" and checked)


@dataclass
class Built:
    """What a build came to.

    Attributes:
        composed: the image's digests and size.
        identity: its id in the local storage, empty for other outputs.
        lock: what the target resolved to.
        made: names of the layers that were made now; `reused` those that were there.
        parts: the named inputs of every layer's key, to explain the next rebuild.
        driver: the oldest NVIDIA driver that the image runs with on a GPU, empty for an image without CUDA.
        unpacked: the bytes of each layer's tar, by its name.
    """

    composed: Composed
    identity: str
    lock: TargetLock
    made: list[str] = field(default_factory=list)
    reused: list[str] = field(default_factory=list)
    parts: dict[str, list[list[str]]] = field(default_factory=dict)
    driver: str = ""
    unpacked: dict[str, int] = field(default_factory=dict)
