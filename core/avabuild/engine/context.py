"""Context: what every part of one build shares."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from avabuild.common.errors import AvabuildError, StepError
from avabuild.engine.import_image import Intake
from avabuild.engine.layout import Composed
from avabuild.host.host import Host
from avabuild.layer.keys import FLAT
from avabuild.store import Scratch, Store
from avabuild.tools.buildah import Tools
from avabuild.tools.cancellation import Cancellation
from avabuild.tools.container import Container, container
from avabuild.tools.events import Report


@dataclass
class Context:
    """One build's store, scratch space, tools and report.

    Attributes:
        keep: leave the working container of a failed step for a look inside.
        cleanup: what to undo on every way out.
        failed: set when a part of the build failed, so that the others stop.
        downloads: how what the build downloads is stopped.
        containers: how many working containers were started: none in a build that is all cached.
        log: the build's full log.
    """

    store: Store
    scratch: Scratch
    tools: Tools
    report: Report
    host: Host
    log: Path
    keep: bool = False
    cleanup: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)
    containers: int = 0
    failed: threading.Event = field(default_factory=threading.Event)
    downloads: Cancellation = field(default_factory=Cancellation)
    layouts: list[Path] = field(default_factory=list)

    @property
    def flat(self) -> bool:
        """Whether layers will do whose files are all root's, since no others can be made here."""
        return self.tools.mode in FLAT

    @contextlib.contextmanager
    def importing(self) -> Iterator[None]:
        """Held while an image is imported, or names of images change, by all builds with this store.

        Two imports at once would both unpack what they share. Two programs that name one image at once write
        each other's names back, for the storage changes the list of them that it read before.
        """
        with self.store.claims.hold("the local storage"), self.store.lock("local storage", "images"):
            yield

    def layout(self) -> Path:
        """Return the next layout's directory.

        An image that is imported from it gets its name, hence the build's id; the name goes away with the
        build, however far the import came.
        """
        if not self.layouts:
            self.cleanup.callback(self.tools.reopen_for_cleanup, self._untag)
        self.layouts.append(self.scratch.path / f"avabuild-{self.scratch.build}-{len(self.layouts) + 1}")
        return self.layouts[-1]

    def _untag(self) -> None:
        """Remove the names that this build gave."""
        with contextlib.ExitStack() as held:
            with contextlib.suppress(AvabuildError):  # a full disk has no room for a lock
                held.enter_context(self.importing())
            # A container whose start was stopped would keep its image, and no list shows it. Else none of
            # ours is left but one that is to be kept, and force might end another build's.
            self.tools.untag(self.layouts, force=self.tools.stopped and not self.keep)

    def import_image(self, composed: Composed) -> str:
        """Import an image into the local storage and return its id there."""
        return self.intake.take(composed, self.layout)

    def import_ahead(self, composed: Composed) -> None:
        """Import the layers of an image on which this build's will stand."""
        self.intake.ahead(composed, self.layout)

    def name_image(self, composed: Composed, identity: str, reference: str) -> str:
        """Give an image that was imported its name; return its id.

        It is imported once more where another program took it for one that nobody names.
        """
        with self.importing():
            try:
                self.tools.tag(identity, reference)
            except StepError as error:
                if "image not known" not in error.tail:
                    raise
                identity = self.import_image(composed)
                self.tools.tag(identity, reference)
        return identity

    @cached_property
    def intake(self) -> Intake:
        """What hands images to the local storage."""
        made = Intake(self.store, self.tools, self.scratch.path, self.host.cores)
        self.cleanup.callback(self._close, made)
        return made

    def _close(self, intake: Intake) -> None:
        """End the intake, after the names that this build gave are gone."""
        intake.close()
        if not intake.loose:
            return
        with contextlib.ExitStack() as held:
            with contextlib.suppress(AvabuildError):  # as above
                held.enter_context(self.importing())
            self.tools.reopen_for_cleanup(intake.withdraw)

    @contextlib.contextmanager
    def container(self, image: str, words: str) -> Iterator[Container]:
        """A working container on the local image `image`; its name tells a later sweep whose it was."""
        self.containers += 1
        kept = "".join(letter if letter.isalnum() else "-" for letter in words.lower())
        name = f"avabuild-{self.scratch.build}-{self.containers}-{kept[:40]}"
        with container(self.tools, image, name, keep=self.keep) as started:
            yield started
