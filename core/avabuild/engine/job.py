"""Job and Built: what one build is given, and what it came to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from avabuild.engine.layout import Composed
from avabuild.engine.output import LOCAL, Output
from avabuild.engine.stages.workshop import Workshop
from avabuild.layer.base import Base
from avabuild.plan.plan import Plan
from avabuild.resolve import Fetcher, Indexes, Platform, Resolved
from avabuild.resolve.lock import Package, TargetLock
from avabuild.store.blob import Blob

Resolve = Callable[[Workshop], tuple[tuple[Package, ...], dict[str, str]]]


@dataclass(frozen=True, slots=True)
class Job:
    """What to build, and how far to go.

    Attributes:
        plan: the plan.
        base: what it stands on, in the store.
        lock: what the target resolved to before, or None.
        request: the digest of what is asked of the resolver now.
        content: what the recipe says, for the labels.
        directory: the recipe's.
        resolve: the resolver of this target: packages, and where their files were seen.
        fetcher: downloads.
        indexes: the host's.
        originals: downloads what compiles start from, beside `fetcher`.
        pins: exact pins, for a platform -> their files: what the Python of a stage is given.
        stage_base: code name of a Debian release -> its base, for compiles on another than the image's.
        upgrade: what the user wants newer versions of: names, `apt`, `*`.
        output: where the image goes.
        ready: told of each Python layer as soon as it is there: its blob and its name.
        check: whether the frameworks' checks run.
        anew: whether they do in an image that passed them before.
        locked: whether nothing may be resolved.
    """

    plan: Plan
    base: Base
    lock: TargetLock | None
    request: str
    content: dict[str, Any]
    directory: Path
    resolve: Resolve
    fetcher: Fetcher
    indexes: Indexes
    originals: Fetcher
    pins: Callable[[Sequence[str], Platform], tuple[Resolved, ...]]
    stage_base: Callable[[str], Base]
    upgrade: frozenset[str] = frozenset()
    output: Output = LOCAL
    ready: Callable[[Blob, str], None] = lambda blob, name: None  # noqa: ARG005
    check: bool = True
    anew: bool = False
    locked: bool = False

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
