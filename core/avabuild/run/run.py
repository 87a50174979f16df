"""Workplace: what all recipes of one run share: the host, its store and plugins, and the user's wishes."""

from __future__ import annotations

import os
import re
import shutil
import sys
import time
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from avabuild.engine.output import LOCAL, Output
from avabuild.host.host import Host
from avabuild.host.survey import means_of, survey
from avabuild.plugins.registry import Registry, of_site
from avabuild.resolve import Indexes, from_host, pip_conf_paths, uv_toml_paths
from avabuild.store import Elsewhere, Store
from avabuild.tools.buildah import Tools
from avabuild.tools.events import Report
from avabuild.tools.inside.namespace import Namespace

if TYPE_CHECKING:
    from avabuild.run.publish import Publisher


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the user asked for on the command line.

    Attributes:
        output: where images go.
        check: whether checks run; None means "where the image is in the local storage".
        locked: fail rather than resolve anything.
        upgrade: names of packages to resolve anew, `*` for everything.
        keep: leave the container of a failed step.
        force: build what the registry has too.
        insecure: registries may do without verified TLS.
    """

    output: Output = LOCAL
    check: bool | None = None
    locked: bool = False
    upgrade: frozenset[str] = frozenset()
    keep: bool = False
    force: bool = False
    insecure: bool = False

    @property
    def checks(self) -> bool:
        """Whether checks run."""
        return self.output.path is None if self.check is None else self.check


@dataclass(frozen=True)
class Workplace:
    """What all recipes of a run share: this host, its store, plugins and indexes, and the user's wishes.

    Attributes:
        renewed: names of bases, and digests of those whose package lists, this run has fetched anew.
        publisher: where images are pushed, or None.
        elsewhere: who else may have layers by key, or None.
    """

    host: Host
    registry: Registry
    indexes: Indexes
    wishes: Wishes = Wishes()
    renewed: set[str] = field(default_factory=set)
    publisher: Publisher | None = None
    elsewhere: Elsewhere | None = None

    @classmethod
    def on(
        cls,
        host: Host,
        wishes: Wishes | None = None,
        publisher: Publisher | None = None,
        elsewhere: Elsewhere | None = None,
    ) -> Workplace:
        """Return the workplace of `host`."""
        environ = host.environment
        confs = pip_conf_paths(environ, Path(sys.prefix)), uv_toml_paths(environ)
        indexes = from_host(environ, *confs)
        found = of_site(host.trust)
        return cls(host, found, indexes, wishes or Wishes(), publisher=publisher, elsewhere=elsewhere)

    @cached_property
    def store(self) -> Store:
        """The store; its directories are made when it is first asked for, after the recipes were read."""
        store = Store(self.host.cache, self.host.sharing)
        store.elsewhere = self.elsewhere
        return store

    @cached_property
    def confined(self) -> str:
        """Why no container can be started here; empty where they can."""
        host, environ = self.host, self.host.environment
        if self.namespace.means.mode != "none":
            there = shutil.which("buildah", path=environ.get("PATH"))
            return "" if there else "buildah is not on PATH: apt-get install buildah"
        if host.settings.mode == "none":
            return f"{host.settings.origin('mode')} says so"
        why = survey(host, environ).single.why
        limit = " (sysctl user.max_user_namespaces)" if "No space left" in why else ""
        return f"no user namespace can be opened: {why}{limit}"

    @cached_property
    def namespace(self) -> Namespace:
        """The namespace of this run, opened when it is first needed."""
        environ = self.host.environment
        return Namespace(lambda: means_of(self.host, environ), environ)

    def close(self) -> None:
        """Let go of the namespace, if there is one."""
        if "namespace" in self.__dict__:
            self.namespace.close()

    def tools(self, report: Report, words: str) -> Tools:
        """Return the outside tools, with a log of this run that `words` name."""
        log, insecure = self.log(words), self.wishes.insecure
        return Tools(self.host, self.namespace, report, log, insecure=insecure)

    def log(self, words: str) -> Path:
        """Return the path of a log of this run."""
        kept = re.sub(r"[^a-z0-9.]+", "-", words.lower())
        return self.store.root / "logs" / f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}-{kept}.log"
