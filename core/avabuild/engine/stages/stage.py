"""A stage: a throw-away container with build tools, which reach no image."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Self

from avabuild.engine.exec.apt import install_debs, resolve_debs
from avabuild.engine.exec.stack import Chain, given
from avabuild.plugins.kinds import Apt
from avabuild.resolve import find_uv
from avabuild.resolve.lock import Deb
from avabuild.tools.argv import Bind
from avabuild.tools.container import Container
from avabuild.tools.inside.step import Network

UV = "/run/avabuild-uv"
EPOCH = "315532800"


class Stage:
    """A working container on a chain of its own, started when it is first needed; a context manager.

    Args:
        below: gives the chain that it stands on; asked once, and may wait for it.
        name: of the container.
    """

    def __init__(self, below: Callable[[], Chain], name: str) -> None:
        self._below = below
        self._name = name
        self._stack = contextlib.ExitStack()
        self._container: Container | None = None
        self._lock = threading.Lock()
        self._installed: set[str] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.__exit__(*error)  # type: ignore[arg-type] # the container is kept after some failures

    @cached_property
    def chain(self) -> Chain:
        """What the stage stands on; waits until it is made."""
        return self._below().fork()

    def start(self) -> Container:
        """Return the container, started if it was not yet."""
        with self._lock:
            if self._container is None:
                self._container = self._stack.enter_context(self.chain.container(self._name))
                self._container.shared = True
            return self._container

    def install(self, packages: Sequence[str]) -> None:
        """Install packages of the distribution, whichever versions it has now."""
        wanted = [package for package in packages if package not in self._installed]
        if wanted:
            apt = Apt(packages=tuple(wanted))
            self.install_resolved(apt, self.resolve(apt))
            self._installed.update(wanted)

    def resolve(self, apt: Apt) -> tuple[Deb, ...]:
        """Return what would be installed for `apt` now, downloaded."""
        if not apt.packages:
            return ()
        with self.chain.context.store.lock("apt", "archives"):
            return resolve_debs(self.chain, self.start(), apt)

    def install_resolved(self, apt: Apt, debs: Sequence[Deb]) -> None:
        """Install exactly `debs`, which `apt` resolved to."""
        if debs:
            with self.chain.context.store.lock("apt", "archives"):
                install_debs(self.chain, self.start(), apt, debs)

    def run(self, shell: str, env: Mapping[str, str], binds: Sequence[Bind], place: str) -> str:
        """Run `shell` with `env` and nothing of the host's; return what it printed.

        Everything that it reads is there, so it has no network, where the runner can take that away.
        """
        context, container = self.chain.context, self.start()
        network: Network = "none" if context.tools.namespace.means.runner == "own" else "host"
        with given(context, shell, env, {}, {}) as (command, mounts):
            return container.run(command, [*mounts, *binds], place=place, network=network)


def uv_environment(env: Mapping[str, str]) -> dict[str, str]:
    """Return the variables with which uv runs in a stage: `env`, and that it keeps and fetches nothing."""
    own = {"UV_NO_CACHE": "1", "UV_OFFLINE": "1", "UV_NO_CONFIG": "1", "UV_PYTHON_DOWNLOADS": "never"}
    return {**env, **own, "SOURCE_DATE_EPOCH": EPOCH, "HOME": "/tmp"}  # noqa: S108 - the container's


def uv_binds() -> list[Bind]:
    """Return what makes uv seen in a stage; a cache that others' stages use is not."""
    return [Bind(source=str(find_uv()), target=UV)]
