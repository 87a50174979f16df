"""Keys of compiled layers: what a compile depends on, and what it does not. Pure.

What is asked for decides, together with what the build packages turned out to be. Those are looked at once,
at the first compile, and again when the user wants upgrades: a security update of the compiler forces no
compile by itself (docs/decisions/0012).
"""

from __future__ import annotations

from collections.abc import Sequence

from avabuild.common.value import Value, digest_of
from avabuild.layer.keys import ExecLayer
from avabuild.plugins.kinds import Compile
from avabuild.resolve.lock import Deb

FORMAT = 1


class Ground(Value):
    """What a compile stands on, and for which image it is.

    Attributes:
        image: the chain's digest of base and system steps that the layer is put on.
        stage: the same of the stage; another one where `distribution` is set.
        python: the stage's interpreter, absolute, or None without Python.
        site: the image's site-packages, absolute, or None.
    """

    image: str
    stage: str
    python: str | None
    site: str | None


def asked(compiled: Compile, ground: Ground, compression: str) -> tuple[tuple[str, str], ...]:
    """Return the named inputs of a compile, all that is known before a container is started."""
    return (
        ("format", str(FORMAT)),
        ("compression", compression),
        ("base", ground.image),
        ("stage", ground.stage),
        ("python", ground.python or ""),
        ("site-packages", ground.site or ""),
        ("shell", compiled.shell),
        ("env", digest_of(sorted(compiled.env))),
        ("packages", " ".join(sorted(compiled.packages))),
        ("requirements", " ".join(sorted(compiled.requirements))),
        *sorted(("repository", one.identity) for one in compiled.repositories),
        *sorted((f"source {file.filename}", file.sha256) for file in compiled.source_files),
    )


def tools_of(debs: Sequence[Deb]) -> str:
    """Return the digest of the Debian packages that a stage was given."""
    return digest_of(sorted([deb.name, deb.version, deb.arch, deb.sha256] for deb in debs))


def compiled_layer(name: str, inputs: Sequence[tuple[str, str]], tools: str) -> ExecLayer:
    """Return the layer of a compile with `inputs`, made with `tools`."""
    parts = (*inputs, ("build packages", tools))
    return ExecLayer(name=name, parts=parts, key=digest_of(["compile", parts]))
