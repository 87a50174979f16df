"""Trust: which certificates a registry may show, and where plain http is allowed.

The host's bundle, with what `certs.d` adds for one registry (containers-certs.d(5)): `*.crt` are authorities,
`NAME.cert` with `NAME.key` is a certificate of ours. Anything less than verified TLS has to be asked for: by
`--insecure`, or by `insecure = true` in registries.conf(5).
"""

from __future__ import annotations

import ssl
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from avabuild.common.errors import HostError
from avabuild.host.host import Host
from avabuild.host.registry_files import registries_conf, settings_directories


@dataclass(frozen=True)
class Trust:
    """What this host trusts.

    Attributes:
        bundle: the authorities' certificates, or None for OpenSSL's own.
        insecure: whether all registries are let off.
        directories: where `certs.d` is, the user's own first.
        settings: the registries.conf that counts and what is dropped in beside it; the last counts most.
    """

    bundle: Path | None = None
    insecure: bool = False
    directories: tuple[Path, ...] = ()
    settings: tuple[Path, ...] = ()

    @classmethod
    def of(cls, host: Host, *, insecure: bool = False) -> Trust:
        """Return what `host` trusts."""
        environ = host.environment
        return cls(host.ca_bundle, insecure, settings_directories(environ), registries_conf(environ))

    def lets_off(self, registry: str, repository: str = "") -> bool:
        """Whether `repository` of `registry` may do without verified TLS: as the most exact entry has it."""
        name = f"{registry}/{repository}" if repository else registry
        fitting = [prefix for prefix in self._entries if _covers(prefix, registry, name)]
        return self.insecure or bool(fitting and self._entries[max(fitting, key=len)])

    @cached_property
    def _entries(self) -> dict[str, bool]:
        """Whether a registry, or what is below a namespace of it, is let off."""
        return dict(entry for path in self.settings for entry in _entries(path))

    def context(self, registry: str, *, verify: bool) -> ssl.SSLContext:
        """Return the TLS settings for `registry`.

        Raises:
            HostError: a certificate or key file can't be read as one.
        """
        made = ssl.create_default_context(cafile=str(self.bundle) if self.bundle else None)
        for directory in self.directories:
            for path in sorted((directory / "certs.d" / registry).glob("*")):
                try:
                    if path.suffix == ".crt":
                        made.load_verify_locations(cafile=str(path))
                    elif path.suffix == ".cert":
                        made.load_cert_chain(str(path), str(path.with_suffix(".key")))
                except (OSError, ssl.SSLError) as error:
                    raise HostError(f"is no certificate with its key: {error}", place=str(path)) from error
        if not verify:
            made.check_hostname = False
            made.verify_mode = ssl.CERT_NONE
        return made


def _covers(prefix: str, registry: str, name: str) -> bool:
    """Whether an entry of registries.conf(5) is about `name`: `host`, `host/namespace` or `*.domain`."""
    if prefix.startswith("*."):
        return registry.endswith(prefix[1:])
    return name == prefix or name.startswith(f"{prefix}/")


def _entries(path: Path) -> Iterator[tuple[str, bool]]:
    try:
        read = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise HostError(f"can't be read: {error}", place=str(path)) from error
    for entry in read.get("registry") or ():
        if isinstance(entry, dict) and (name := entry.get("location") or entry.get("prefix")):
            yield str(name), entry.get("insecure") is True
