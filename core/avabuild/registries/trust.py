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
from pathlib import Path

from avabuild.errors import HostError
from avabuild.host import Host

_SYSTEM = (Path("/etc/containers"), Path("/etc/docker"))


@dataclass(frozen=True, slots=True)
class Trust:
    """What this host trusts.

    Attributes:
        bundle: the authorities' certificates, or None for OpenSSL's own.
        insecure: whether all registries are let off.
        directories: where `certs.d` and `registries.conf` are, the user's own first.
        settings: the registries.conf that counts, None for the first that is there.
    """

    bundle: Path | None = None
    insecure: bool = False
    directories: tuple[Path, ...] = _SYSTEM
    settings: Path | None = None

    @classmethod
    def of(cls, host: Host, *, insecure: bool = False) -> Trust:
        """Return what `host` trusts."""
        environ = host.environment
        home = Path(environ.get("HOME") or Path.home())
        own = Path(environ.get("XDG_CONFIG_HOME") or home / ".config") / "containers"
        named = environ.get("CONTAINERS_REGISTRIES_CONF")
        return cls(host.ca_bundle, insecure, (own, *_SYSTEM), Path(named) if named else None)

    def lets_off(self, registry: str) -> bool:
        """Whether `registry` may do without verified TLS."""
        if self.insecure:
            return True
        files = [self.settings] if self.settings else [d / "registries.conf" for d in self.directories]
        path = next((file for file in files if file.is_file()), None)
        return path is not None and registry in _let_off(path)

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


def _let_off(path: Path) -> Iterator[str]:
    try:
        read = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise HostError(f"can't be read: {error}", place=str(path)) from error
    for entry in read.get("registry") or ():
        if isinstance(entry, dict) and entry.get("insecure") is True:
            yield str(entry.get("location") or entry.get("prefix") or "").partition("/")[0]
