"""The registries of one run: each is opened once, with this user's credentials, and closed in the end."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from types import TracebackType
from typing import Self

from avabuild.host.host import Host
from avabuild.registries.client import Registry
from avabuild.registries.credentials import AuthFiles, Credentials
from avabuild.registries.name import Remote
from avabuild.registries.repository import Repository
from avabuild.registries.tls import Trust
from avabuild.resolve.wanted import Policy
from avabuild.tools.cancellation import Cancellation

BRIEF = Policy(attempts=2, pause=0.2)  # where somebody waits, or nothing is lost
AT_ONCE = 4  # transfers: more gain nothing on one link


class Registries:
    """A context manager; safe to use from several threads.

    Attributes:
        files: where credentials are.
        pool: the threads of all transfers of the run.
    """

    def __init__(self, host: Host, *, insecure: bool = False, policy: Policy | None = None) -> None:
        self.files = AuthFiles(host.environment)
        self._trust = Trust.of(host, insecure=insecure)
        self._policy = policy
        self._lock = threading.Lock()
        self._known: dict[tuple[str, str], Credentials | None] = {}
        self._open: dict[tuple[str, Credentials | None, bool], Registry] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if "pool" in self.__dict__:
            self.pool.shutdown(cancel_futures=error is not None)
        for registry in self._open.values():
            registry.close()

    @cached_property
    def pool(self) -> ThreadPoolExecutor:
        """The threads of all transfers of the run."""
        return ThreadPoolExecutor(AT_ONCE, "transfer")

    def repository(self, name: Remote, stop: Cancellation | None = None) -> Repository:
        """Return the repository that `name` is in; `stop` ends what is under way."""
        return Repository(self.registry(name.host, name.repository), name.repository, stop)

    def registry(self, host: str, repository: str = "") -> Registry:
        """Return the registry, for whom this user's files say when it is asked for first."""
        with self._lock:
            if (host, repository) not in self._known:
                self._known[host, repository] = self.files.find(host, repository)
            credentials = self._known[host, repository]
        return self.registry_for(host, credentials, repository)

    def registry_for(self, host: str, credentials: Credentials | None, repository: str = "") -> Registry:
        """Return the registry as it is for somebody."""
        let_off = self._trust.lets_off(host, repository)
        with self._lock:
            key = (host, credentials, let_off)
            if key not in self._open:
                self._open[key] = Registry(host, self._trust, credentials, self._policy, let_off=let_off)
            return self._open[key]
