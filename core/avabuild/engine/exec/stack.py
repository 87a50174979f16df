"""The chain of exec layers: base, system steps, apt packages; each made in a container on those below."""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from avabuild.common.errors import StepError
from avabuild.engine.context import Context
from avabuild.engine.layout import compose_image
from avabuild.layer.base import Base
from avabuild.layer.blob import Compression
from avabuild.layer.keys import ExecLayer, Stack, flat
from avabuild.plugins.target import Target
from avabuild.store.blob import Blob
from avabuild.store.oci import Piece, Settings
from avabuild.tools.argv import Bind
from avabuild.tools.container import Container

MADE = "avabuild: "  # before a layer's name in an image's history
GIVEN = "/run/avabuild"  # where a step finds what it is given; never part of a layer


class Chain:
    """What exec layers have made so far, and a way to run the next one on top of it.

    Attributes:
        stack: what the key of the next layer depends on.
        pieces: the layers made so far, above the base.
        flattened: whether one of them is as a user with one id makes it.
    """

    def __init__(
        self,
        context: Context,
        base: Base,
        target: Target,
        compression: Compression,
        keep: Sequence[str] = (),
    ) -> None:
        self.context = context
        self.base = base
        self.target = target
        self.stack = Stack(base.digest, compression, keep)
        self.pieces: list[Piece] = []
        self.parts: dict[str, list[list[str]]] = {}
        self.flattened = False
        self._image: tuple[str, str] | None = None
        self._began = 0.0  # when the container of the next layer was started

    def add(self, layer: ExecLayer, blob: Blob, *, own: bool = False) -> None:
        """Put a layer on top; the next one stands on it.

        `own` says that all of it is of the distribution's own packages.
        """
        self.pieces.append(Piece(blob=blob, created_by=f"{MADE}{layer.name}"))
        self.parts[layer.name] = [list(part) for part in layer.parts]
        self.stack.put(layer.key, own=own)

    @property
    def digest(self) -> str:
        """The digest of everything below the next layer."""
        return self.stack.digest

    @property
    def compression(self) -> Compression:
        """Of the layers."""
        return self.stack.compression

    def fork(self) -> Chain:
        """Return a chain that stands where this one does and goes its own way from here."""
        other = Chain(self.context, self.base, self.target, self.compression, self.stack.keep)
        other.stack, other.pieces, other._image = self.stack.fork(), list(self.pieces), self._image
        other.parts, other.flattened = dict(self.parts), self.flattened
        return other

    def see(self, settings: Settings) -> None:
        """Have the steps from here on see the environment and the directory of the image with `settings`."""
        self.stack.seen, self._image = settings.surroundings, None

    @property
    def workdir(self) -> str:
        """The directory in which containers of the image start: the settings', else the base's."""
        below, seen = self.base.read_config(self.context.store).get("config") or {}, self.stack.seen
        return (seen and seen.workdir) or str(below.get("WorkingDir") or "/")

    def image(self) -> str:
        """Return the local image of the chain so far, importing it when it has changed since."""
        if self._image and self._image[0] == self.digest:
            return self._image[1]
        context = self.context
        composed = compose_image(
            context.store, self.base, self.pieces, self.stack.seen or Settings(), self.target.oci_arch
        )
        with context.importing(), context.report.step("import the base", "import"):
            identity = context.import_image(composed)
        self._image = (self.digest, identity)
        return identity

    @contextmanager
    def container(self, name: str) -> Iterator[Container]:
        """A working container on the chain so far."""
        image = self.image()
        self._began = time.time()
        with self.context.container(image, name) as container:
            yield container

    def found(self, layer: ExecLayer, *, private: bool = False) -> Blob | None:
        """Return the blob of `layer` when the store has it."""
        store = self.context.store
        blob = store.layer(layer.key, private=private)
        if blob is None and self.context.flat:
            blob = store.layer(flat(layer.key), private=private)
            self.flattened |= blob is not None
        return blob

    def make(
        self,
        layer: ExecLayer,
        container: Container,
        run: Callable[[], None],
        drop: Sequence[str],
        *,
        private: bool = False,
    ) -> tuple[Blob, bool]:
        """Return the blob of `layer`, made by `run` in `container` unless the store has it."""
        context = self.context

        def capture(out: Path) -> Blob:
            run()
            arguments = [str(out), repr(self._began), self.compression, *drop]
            blob, told = changes(container, [*arguments, *(f"+{one}" for one in self.stack.keep)], layer.name)
            if told:
                context.report.warn(f"{layer.name}: {told}")
            return blob

        if not context.flat:
            return context.store.make_layer(layer.key, context.scratch.path, capture, private=private)
        if blob := context.store.layer(layer.key, private=private):
            return blob, False
        if context.tools.namespace.first("owners"):
            context.report.warn(
                "new files are owned by root in the image: this user has one id here (see: avabuild doctor)"
            )
        self.flattened = True
        return context.store.make_layer(flat(layer.key), context.scratch.path, capture, private=private)


def changes(container: Container, arguments: Sequence[str], place: str) -> tuple[Blob, str]:
    """Write what changed in `container` to a layer, inside the namespace; `arguments` are of `layer.diff`.

    Returns also what to say of files that it left out.

    Raises StepError that names `place` for what can't be in a layer.
    """
    answer = json.loads(container.module("avabuild.layer.diff", "", arguments))
    if "problem" in answer:
        raise StepError(f"what it left can't be in an image: {answer['problem']}", place=place)
    return Blob.model_validate(answer["blob"]), str(answer["told"])


@contextmanager
def given(
    context: Context,
    shell: str,
    env: Mapping[str, str],
    files: Mapping[str, str | bytes | Path],
    inherited: Mapping[str, str] | None = None,
) -> Iterator[tuple[list[str], list[Bind]]]:
    """Prepare what a step is given; yield the command that runs `shell` with it and the mounts it needs.

    The text, the environment and the host's certificates are files in a private directory that is mounted
    at GIVEN: nothing of them is ever an argument, on a disk, in a log or in a layer. `inherited` is what
    the step gets of the host's variables: by default all that steps of a recipe get.
    """
    context.containers += 1
    directory = context.scratch.directory(f"step-{context.containers}")
    directory.chmod(0o700)
    own = context.host.step_environment(f"{GIVEN}/ca.pem") if inherited is None else inherited
    variables = {**own, **env}
    everything: dict[str, str | bytes | Path] = {
        "env": "".join(f"{name}={shlex.quote(value)}\n" for name, value in variables.items()),
        "step": shell if shell.endswith("\n") else f"{shell}\n",
        **files,
    }
    if context.host.ca_bundle:
        everything["ca.pem"] = context.host.ca_bundle
    read = {name: _bytes(content) for name, content in everything.items()}
    with context.tools.namespace.given(directory, read):
        start = f"set -a; . {GIVEN}/env; set +a; exec /bin/sh -e {GIVEN}/step"
        yield ["/bin/sh", "-c", start], [Bind(source=str(directory), target=GIVEN)]


def _bytes(content: str | bytes | Path) -> bytes:
    if isinstance(content, Path):
        return content.read_bytes()
    return content.encode() if isinstance(content, str) else content
