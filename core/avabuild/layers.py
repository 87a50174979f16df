"""The closed set of layer kinds: what a plugin or a recipe may ask to have in an image.

A kind is data. Nothing here says how it is made; that is the engine's, which is why a plugin that needs a
new verb asks for a new kind instead of passing a callable.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from avabuild.value import Value

Mode = Annotated[str, Field(pattern=r"^0?[0-7]{3,4}$")]
Owner = Annotated[str, Field(pattern=r"^\d+(:\d+)?$")]


class Apt(Value):
    """Packages of the base's distribution, installed without recommended ones."""

    kind: Literal["apt"] = "apt"
    packages: tuple[str, ...]


class Python(Value):
    """Python requirements (PEP 508), resolved together with every other framework's.

    Attributes:
        requirements: what is wanted, with all that it needs.
        alone: exact pins (`ava-sdk==0.1.3`) that are installed without what they say they need, and have no
            part in the resolution: for packages whose metadata can't be met.
        constraints: requirements that limit versions without asking for a package.
    """

    kind: Literal["python"] = "python"
    requirements: tuple[str, ...] = ()
    alone: tuple[str, ...] = ()
    constraints: tuple[str, ...] = ()


class File(Value):
    """One file, or a directory's whole content, put at `target`.

    Attributes:
        target: absolute path in the image; a trailing `/` means "into this directory".
        source: absolute path on the host, or None when `content` is given.
        content: the text of the file itself, or None.
        mode: octal permission bits, or None to keep the executable bit and nothing else.
        owner: numeric `UID` or `UID:GID`.
    """

    target: str
    source: str | None = None
    content: str | None = None
    mode: Mode | None = None
    owner: Owner = "0:0"


class Files(Value):
    """Files of the recipe or the plugin, streamed into a layer without a container."""

    kind: Literal["files"] = "files"
    files: tuple[File, ...]


class Mount(Value):
    """A host directory or file that one run step sees, and the image never holds."""

    source: str
    target: str
    writable: bool = False


class Run(Value):
    """A shell command that runs as root in a working container.

    Attributes:
        shell: the text given to `sh -ec`.
        stage: `system` runs on the base before any package; `last` on top of everything.
        env: variables of this step alone; they never reach the image's config.
        secrets: names of host environment variables passed to this step alone, never stored or logged.
        mounts: host paths this step sees.
    """

    kind: Literal["run"] = "run"
    shell: str
    stage: Literal["system", "last"] = "last"
    env: tuple[tuple[str, str], ...] = ()
    secrets: tuple[str, ...] = ()
    mounts: tuple[Mount, ...] = ()


class Env(Value):
    """Environment variables of the image's config."""

    kind: Literal["env"] = "env"
    variables: tuple[tuple[str, str], ...]


Layer = Annotated[Apt | Python | Files | Run | Env, Field(discriminator="kind")]
