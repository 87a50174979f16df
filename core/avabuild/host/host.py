"""Host: what this machine and user offer a build, read once and given to the engine as a value."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from pathlib import Path

from pydantic import Field

from avabuild.common.value import Value
from avabuild.host.places import cache_directory
from avabuild.host.settings import Settings, settings_of
from avabuild.host.sharing import Sharing, sharing
from avabuild.plugins.provider import Trust

_PROXIES = ("http_proxy", "https_proxy", "ftp_proxy", "no_proxy", "all_proxy")
_CA_VARIABLES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "PIP_CERT", "CURL_CA_BUNDLE")
_CA_BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)
_INDEX_VARIABLES = (
    "PIP_INDEX_URL",
    "PIP_EXTRA_INDEX_URL",
    "PIP_TRUSTED_HOST",
    "UV_DEFAULT_INDEX",
    "UV_INDEX",
    "UV_INDEX_URL",
    "UV_EXTRA_INDEX_URL",
)
_CA_CONSUMERS = (*_CA_VARIABLES, "GIT_SSL_CAINFO", "NODE_EXTRA_CA_CERTS")


class Host(Value):
    """A frozen description of the host.

    Attributes:
        uid: the user's id; 0 is root.
        arch: the machine as `uname -m` names it.
        cores: processors this process may use.
        cache: where the store is.
        environment: the variables that outside tools get.
        ca_bundle: the host's certificate bundle, or None.
        mirror: the Debian mirror to use instead of the tool's default, or None.
        settings: what the user chose of how builds are done.
        sharing: the cache of others that is looked into, or None.
    """

    uid: int
    arch: str
    cores: int
    cache: Path
    variables: tuple[tuple[str, str], ...] = Field(repr=False)  # tokens, proxies with passwords
    ca_bundle: Path | None
    mirror: str | None = Field(repr=False)
    settings: Settings = Settings()
    sharing: Sharing | None = None

    @property
    def environment(self) -> dict[str, str]:
        """The variables that outside tools get."""
        return dict(self.variables)

    @property
    def proxies(self) -> tuple[str, ...]:
        """The names of the variables that name proxies: what they say may hold a password."""
        own = self.environment
        return tuple(name for proxy in _PROXIES for name in (proxy, proxy.upper()) if own.get(name))

    @property
    def trust(self) -> Trust:
        """What is said here of plugins."""
        return self.settings.trust

    def with_index(self, url: str) -> Host:
        """Return this host with one package index, `url`, in place of those that its environment names."""
        kept = [pair for pair in self.variables if pair[0] not in _INDEX_VARIABLES]
        own = [("PIP_INDEX_URL", url), ("UV_DEFAULT_INDEX", url)]
        return self.model_copy(update={"variables": tuple(sorted([*kept, *own]))})

    def step_environment(self, ca_path: str) -> dict[str, str]:
        """What a step in a container gets of the host: proxies, indexes, the bundle mounted at `ca_path`."""
        own = self.environment
        indexes = {name: own[name] for name in _INDEX_VARIABLES if name in own}
        return self.network_environment(ca_path) | indexes

    def network_environment(self, ca_path: str) -> dict[str, str]:
        """What a step that asks no package index gets of the host: proxies, the bundle at `ca_path`."""
        own = self.environment
        wanted = [name for proxy in _PROXIES for name in (proxy, proxy.upper())]
        env = {name: own[name] for name in wanted if name in own}
        if self.ca_bundle:
            env.update(dict.fromkeys(_CA_CONSUMERS, ca_path))
        return env


def probe(environ: Mapping[str, str], settings: Settings | None = None) -> Host:
    """Look at this machine through `environ` and a few files; start no process.

    `settings` are the user's; by default what the environment alone says.

    Raises:
        SettingsError: a variable has a value that is none of its setting's.
    """
    chosen = settings or settings_of(environ)
    return Host(
        uid=os.geteuid(),
        arch=platform.machine(),
        cores=len(os.sched_getaffinity(0)),
        cache=chosen.cache or cache_directory(environ),
        variables=tuple(sorted(environ.items())),
        ca_bundle=ca_bundle(environ),
        mirror=chosen.debian_mirror,
        settings=chosen,
        sharing=sharing(chosen, os.geteuid()),
    )


def ca_bundle(environ: Mapping[str, str]) -> Path | None:
    """Return the certificate bundle that the user's tools are told of, else the distribution's, else None."""
    named = [environ[name] for name in _CA_VARIABLES if environ.get(name)]
    return next((Path(path) for path in [*named, *_CA_BUNDLES] if Path(path).is_file()), None)
