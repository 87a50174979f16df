"""Working containers: started on a local image, commands run in them as steps, always removed."""

from __future__ import annotations

import json
import os
import shlex
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Any

from avabuild.common.errors import HostError, StepError
from avabuild.tools import argv as commands
from avabuild.tools.argv import Bind
from avabuild.tools.buildah import Tools
from avabuild.tools.inside.namespace import Started
from avabuild.tools.inside.profile import profile
from avabuild.tools.inside.step import PATH, Network, Privilege, Step


class Container:
    """A working container.

    Attributes:
        name: as buildah knows it.
        shared: whether several steps may run in it at once; nobody will look at what they leave then.
    """

    def __init__(self, tools: Tools, name: str) -> None:
        self.name = name
        self.shared = False
        self._tools = tools

    def run(
        self,
        command: Sequence[str],
        binds: Sequence[Bind] = (),
        *,
        place: str,
        network: Network = "host",
        privileges: Sequence[Privilege] = (),
        set_uid: bool = False,
        timeout: float | None = None,
        workdir: str = "/",
    ) -> str:
        """Run `command` as root in `workdir`; return what it printed.

        On top of the image's environment it has its own by file, never here.

        `privileges` and `set_uid` are those of a `Step`.

        Raises:
            StepError: it failed, or took longer than `timeout` seconds.
            HostError: `buildah run` is to run it, without a network or with a privilege.
        """
        if self._tools.namespace.means.runner == "own":
            step = Step(
                self.root,
                tuple(command),
                self._env,
                workdir,
                binds=_plain(binds),
                network=network,
                privileges=tuple(privileges),
                set_uid=set_uid,
                clear=not self.shared,
            )
            return self._run(step, place, timeout)
        asked = "take the network from a step" if network == "none" else ""
        if privileges:
            asked = f"give a step the privilege {', '.join(privileges)}"
        if asked:
            raise HostError(
                f"`buildah run` without an OCI runtime can't {asked}",
                place=place,
                hint="leave out --runner buildah",
            )
        argv = commands.run(self.name, command, self._shut(binds), workdir)
        return self._tools.buildah(argv, place=place, timeout=timeout)

    def run_as_image(
        self,
        command: Sequence[str],
        binds: Sequence[Bind] = (),
        env: Sequence[tuple[str, str]] = (),
        *,
        place: str,
        timeout: float | None = None,
    ) -> str:
        """Run `command` with the image's own user and directory, and its environment with `env` on top.

        Raises:
            StepError: it failed, or took longer than `timeout` seconds.
        """
        if self._tools.namespace.means.runner == "buildah":
            argv = commands.run_as_image(self.name, command, self._shut(binds), env)
            return self._tools.buildah(argv, place=place, timeout=timeout)
        config = self._config
        where, who = str(config.get("WorkingDir") or "/"), str(config.get("User") or "")
        variables = {**self._env, **dict(env)}
        step = Step(self.root, tuple(command), variables, where, who, _plain(binds))
        return self._run(step, place, timeout)

    def begin(self, command: Sequence[str], source: int, out: int, err: int) -> Started:
        """Start `command` as root with the descriptors as its standard streams."""
        variables = {**self._env, "TERM": self._tools.host.environment.get("TERM", "dumb")}
        step = Step(self.root, tuple(command), variables, set_uid=True)
        return self._tools.namespace.step(step, out, err, source)

    def module(self, name: str, inner: str, arguments: Sequence[str]) -> str:
        """Call a module of ours in the namespace, and return the last line that it prints.

        Its first argument is where the container's path `inner` is, then come `arguments`.
        """
        printed = self._call(name, [f"{self.root}{inner}", *arguments], "capture")
        return printed.strip().splitlines()[-1]

    def _call(self, module: str, arguments: Sequence[str], place: str) -> str:
        def start(out: int, err: int) -> Started:
            return self._tools.namespace.module(module, arguments, out, err)

        return self._tools.step(shlex.join([module, *arguments]), start, place)

    def _shut(self, binds: Sequence[Bind]) -> list[Bind]:
        """Return `binds` for `buildah run`, which leaves writable what is mounted below what is only read."""
        read = [bind.source for bind in binds if not bind.writable]
        place = self._tools.namespace.means.place / "shut"
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        said = iter(
            self._call("avabuild.tools.inside.shut", [str(place), self.root, *read], "run").splitlines()
        )
        return [bind if bind.writable else bind.model_copy(update={"source": next(said)}) for bind in binds]

    @cached_property
    def root(self) -> str:
        """Where its file system is, in the namespace."""
        return self._tools.buildah(commands.mount(self.name)).strip()

    def _run(self, step: Step, place: str, timeout: float | None = None) -> str:
        def start(out: int, err: int) -> Started:
            return self._tools.namespace.step(step, out, err)

        return self._tools.step(shlex.join(step.argv), start, place, timeout)

    @property
    def image(self) -> str:
        """The id of the image that it stands on."""
        return str(self._about.get("FromImageID", ""))

    @cached_property
    def _about(self) -> Mapping[str, Any]:
        known: dict[str, Any] = json.loads(self._tools.buildah(commands.inspect_container(self.name)))
        return known

    @property
    def _config(self) -> Mapping[str, Any]:
        """The config of its image (OCI image-spec, config.md: `config`)."""
        return (self._about.get("OCIv1") or {}).get("config") or {}

    @property
    def _env(self) -> dict[str, str]:
        own = dict(entry.split("=", 1) for entry in self._config.get("Env") or [] if "=" in entry)
        return {"PATH": PATH, **own}


def kept_words(name: str) -> str:
    """Return how to look into a container that was kept, and how to let it go."""
    return f"it was kept; look inside: avabuild enter {name}\n  let it go: avabuild leave {name}"


def _profile(tools: Tools) -> str:
    """Return the file of the calls that `buildah run` is to refuse; nothing where the runner is ours."""
    means = tools.namespace.means
    if means.runner == "own":
        return ""
    path = means.place / "seccomp.json"
    means.place.mkdir(mode=0o700, parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    partial.write_text(profile())
    partial.replace(path)
    return str(path)


@contextmanager
def container(tools: Tools, image: str, name: str, *, keep: bool = False) -> Iterator[Container]:
    """A working container on the local image `image`; removed on every way out but `keep` and failure."""
    try:
        tools.buildah(commands.start(image, name, _profile(tools)))
        yield Container(tools, name)
    except BaseException as error:
        if not (keep and isinstance(error, StepError)):
            tools.remove(name)
        raise
    tools.remove(name)


def _plain(binds: Sequence[Bind]) -> tuple[tuple[str, str, bool], ...]:
    return tuple((bind.source, bind.target, bind.writable) for bind in binds)
