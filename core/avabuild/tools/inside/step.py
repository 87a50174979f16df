"""Step: one command in a working container, and what it gets of the host."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Literal, Self

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

Network = Literal["host", "none"]
Privilege = Literal["userns"]


@dataclass(frozen=True, slots=True)
class Step:
    """A command and its surroundings; values that JSON has, since it goes to another process.

    Attributes:
        root: where the container's file system is, in the build's namespace.
        argv: the command; looked up in the PATH of `env`.
        env: all its variables.
        cwd: its directory in the container, made when absent.
        user: who runs it, as an image's config says it (OCI image-spec, config.md): empty for root.
        binds: host path, path in the container, whether it may be written.
        network: the host's, or none but a loopback device.
        privileges: `userns` for user namespaces of its own, and what can be done in them.
        set_uid: whether set-user-ID programs, set-group-ID ones and file capabilities do what they are for.
        clear: whether what had to be made to mount upon is removed at the end; not while other steps run in
            the same container, whose mounts would go with it.
    """

    root: str
    argv: Sequence[str]
    env: dict[str, str] = field(default_factory=dict)
    cwd: str = "/"
    user: str = ""
    binds: Sequence[tuple[str, str, bool]] = ()
    network: Network = "host"
    privileges: Sequence[Privilege] = ()
    set_uid: bool = False
    clear: bool = True

    def to_json(self) -> str:
        """Return the step as JSON."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Return the step that `to_json` wrote."""
        return cls(**json.loads(text))
