"""Outgoing: local images get names, and go to registries from the store's own compressed blobs."""

from __future__ import annotations

import re
from dataclasses import dataclass

from avabuild import commands
from avabuild.build.layout import Composed
from avabuild.errors import AvabuildError, ImageError, RegistryError, StepError, StoreError, UnavailableError
from avabuild.registries import Push, Pushed, Registries, Remote
from avabuild.report import Report
from avabuild.resolve.cancellation import Cancellation
from avabuild.store import Scratch
from avabuild.workplace import Workplace

_LOCAL = "localhost/"
_REFUSED = ("unauthorized", "authentication required", "denied", "x509", "unsupported", "403", "401")


@dataclass(frozen=True, slots=True)
class Local:
    """An image of the local storage: its whole name there, and its id."""

    name: str
    identity: str

    @property
    def tag(self) -> str:
        """The tag of its name, empty when it was named by its id."""
        last = self.name.rpartition("/")[2]
        return last.partition(":")[2]


class Outgoing:
    """What can be done with images of the local storage.

    Args:
        workplace: the host, its storage and its store.
        report: where it tells what it does.
    """

    def __init__(self, workplace: Workplace, report: Report) -> None:
        self._report = report
        self._store = workplace.store
        self._tools = workplace.tools(report, "push")

    def find(self, image: str) -> Local:
        """Return the image of that name or id; `localhost/` may be left out, and the tag `latest`.

        Raises ImageError when there is none.
        """
        known = {name: id_.removeprefix("sha256:") for name, id_ in self._tools.image_ids().items()}
        named = image if ":" in image.rpartition("/")[2] else f"{image}:latest"
        for name in (image, f"{_LOCAL}{image}", named, f"{_LOCAL}{named}"):
            if name in known:
                return Local(name, known[name])
        wanted = image.removeprefix("sha256:")
        if len(wanted) >= 12:
            for identity in known.values():
                if identity.startswith(wanted):
                    return Local("", identity)
        near = sorted(name for name in known if image.rpartition("/")[2].partition(":")[0] in name)
        hint = f"there is {', '.join(near[:5])}" if near else "avabuild recipe builds images"
        raise ImageError(f"there is no image {image} in the local storage", hint=hint)

    def tag(self, image: str, name: str) -> str:
        """Give an image one more name, with its own tag where `name` has none; return the name.

        Raises ImageError for an unknown image, ValueError for what is no name.
        """
        found = self.find(image)
        remote = Remote.parse(name if _is_remote(name) else f"{_LOCAL}{name}")
        whole = str(remote if remote.tag else remote.tagged(found.tag or "latest"))
        self._tools.tag(found.identity, whole)
        return whole

    def push(self, image: str, destination: str | None, registries: Registries) -> Pushed:
        """Push an image to `destination`, or to the registry that its own name says.

        Raises:
            ImageError: there is no such image. ValueError: nothing says where to.
            RegistryError, UnavailableError, DiskFullError: as the registry has it.
        """
        found = self.find(image)
        name = Remote.parse(destination or (found.name if not found.name.startswith(_LOCAL) else image))
        name = name if name.tag else name.tagged(found.tag or "latest")
        composed = self._composed(found)
        if composed is not None:
            try:
                with Push(registries, name, self._store, self._report, Cancellation()) as push:
                    layers = {blob.digest: blob.size for blob in composed.blobs}
                    return push.finish(composed.digest, composed.config, layers)
            except StoreError:
                self._report.note("the cache lacks layers of the image: they are compressed anew")
        return self._copied(found, name, registries)

    def _composed(self, found: Local) -> Composed | None:
        """Return what the image was composed of, when it was built here and its manifest is still there."""
        data = self._store.recall("image", f"sha256:{found.identity}")
        try:
            composed = Composed.model_validate(data) if data else None
        except ValueError:
            return None
        whole = composed and self._store.has(composed.digest) and self._store.has(composed.config)
        return composed if whole else None

    def _copied(self, found: Local, name: Remote, registries: Registries) -> Pushed:
        """Have skopeo push the image out of the local storage, which keeps no layer compressed."""
        source, target = f"containers-storage:@{found.identity}", f"docker://{name}"
        with Scratch(self._store) as scratch, self._report.step(f"push {name} by skopeo", "push"):
            self._tools.temporary = scratch.directory("tmp")
            digest = scratch.path / "digest"
            argv = commands.publish(source, target, str(digest), verify=not registries.lets_off(name.host))
            try:
                self._tools.skopeo(argv, place="push", storage=True)
            except StepError as error:
                raise _explained(error, name) from error
            return Pushed(name=name, digest=digest.read_text().strip(), anew=True)


def _is_remote(name: str) -> bool:
    try:
        Remote.parse(name)
    except ValueError:
        return False
    return True


def _explained(error: StepError, name: Remote) -> AvabuildError:
    last = error.tail.strip().splitlines()[-1] if error.tail.strip() else error.message
    last = re.sub(r'^.*msg="?|"$', "", last)
    hint = f"full log: {error.log}"
    if any(words in last.lower() for words in _REFUSED):
        return RegistryError(f"{name.host} refuses: {last}", hint=f"avabuild login {name.host}; {hint}")
    return UnavailableError(f"{name} can't be pushed: {last}", hint=hint)
