"""Indexes: where this host gets Python packages from, read from its own uv or pip configuration."""

from __future__ import annotations

import netrc
import os
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from avabuild.common.addresses import redact
from avabuild.resolve.configured import (
    INDEX_NAMES,
    Configured,
    default_of,
    further_of,
    pip_conf_paths,
    pip_configured,
    proxies,
    uv_configured,
    uv_toml_paths,
    uv_variables,
)

__all__ = ["Indexes", "from_host", "pip_conf_paths", "redact", "uv_toml_paths"]

_CA_NAMES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "PIP_CERT", "CURL_CA_BUNDLE")
_CA_BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)


@dataclass(frozen=True, slots=True)
class Indexes:
    """What to ask for packages. An empty value means: what the resolver asks by default.

    Attributes:
        index: URL of the main index, or None for the resolver's own default or configuration.
        extra: URLs of more indexes; may hold credentials, as `index` may, so neither is ever shown.
        find_links: directories or URLs of pages that list files.
        no_index: True to ask no index at all, only `find_links`.
        offline: True to ask no network at all.
        best_match: True when all indexes are equal and the highest version wins, as pip does; False when
            the first index that knows a project decides, as uv does.
        ca_bundle: PEM file of the authorities to trust, or None for the tools' own.
        others: further variables of the host that reach the resolver as they are.
        proxies: variables of proxies that only the configuration of uv or pip names.
        logins: host, user and password of each machine in the user's netrc.
        ignored: settings of the host that would choose other versions and are left out.
    """

    index: str | None = field(default=None, repr=False)
    extra: tuple[str, ...] = field(default=(), repr=False)
    find_links: tuple[str, ...] = field(default=(), repr=False)
    no_index: bool = False
    offline: bool = False
    best_match: bool = False
    ca_bundle: Path | None = None
    others: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    proxies: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    logins: tuple[tuple[str, str, str], ...] = field(default=(), repr=False)
    ignored: tuple[str, ...] = ()

    def at(self, url: str) -> Indexes:
        """Return the one index `url` in place of all of these, with the login that they have for its host."""
        user, password = self.credentials(url) or ("", "")
        scheme, rest = url.split("://", 1)
        login = f"{quote(user, safe='')}:{quote(password, safe='')}@" if user else ""
        return replace(
            self,
            index=f"{scheme}://{login}{rest}",
            extra=(),
            find_links=(),
            no_index=False,
            best_match=False,
        )

    def environment(self) -> dict[str, str]:
        """Return what makes uv ask these indexes; credentials go here and never in an argv."""
        env = {
            "UV_HTTP_TIMEOUT": "20",
            "UV_HTTP_RETRIES": "2",
            "UV_PYTHON_DOWNLOADS": "never",
            "UV_NO_CONFIG": "1",  # what is taken of the user's uv.toml is said here
            **dict(self.proxies),
            **dict(self.others),
        }
        if self.index:
            env["UV_DEFAULT_INDEX"] = self.index
        if self.extra:
            env["UV_INDEX"] = " ".join(self.extra)
        if self.find_links:
            env["UV_FIND_LINKS"] = ",".join(link.replace(",", "%2C") for link in self.find_links)
        if self.best_match:
            env.setdefault("UV_INDEX_STRATEGY", "unsafe-best-match")
        if self.offline:
            env["UV_OFFLINE"] = "1"
        if self.ca_bundle:
            env["SSL_CERT_FILE"] = str(self.ca_bundle)
        return env

    def pip_environment(self) -> dict[str, str]:
        """Return what makes pip ask these indexes, and read no configuration of its own."""
        env = {
            "PIP_CONFIG_FILE": "/dev/null",
            "PIP_DEFAULT_TIMEOUT": "20",
            "PIP_RETRIES": "2",
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "PIP_NO_PYTHON_VERSION_WARNING": "1",
            "PIP_INDEX_URL": self.address(self.index) if self.index else "",
            "PIP_EXTRA_INDEX_URL": " ".join(map(self.address, self.extra)),
            "PIP_FIND_LINKS": " ".join(self.find_links),
            "PIP_TRUSTED_HOST": dict(self.others).get("UV_INSECURE_HOST", ""),
            "PIP_CLIENT_CERT": dict(self.others).get("SSL_CLIENT_CERT", ""),
            "PIP_PROXY": dict(self.proxies).get("HTTPS_PROXY", ""),
        }
        return {name: value for name, value in env.items() if value}

    def address(self, index: str) -> str:
        """Return the URL of `index` without the name that uv allows before it."""
        return _split_name(index)[1]

    def credentials(self, url: str) -> tuple[str, str] | None:
        """Return user and password for `url`: those of an index on its scheme, host, port, or netrc's."""
        asked = urlsplit(url)
        for index in (*filter(None, [self.index]), *self.extra, *self.find_links):
            known = urlsplit(_split_name(index)[1])
            same = (known.scheme, known.hostname, known.port) == (asked.scheme, asked.hostname, asked.port)
            if same and known.username:
                return unquote(known.username), unquote(known.password or "")
        return next(((user, word) for host, user, word in self.logins if host == asked.hostname), None)

    def local_paths(self) -> tuple[Path, ...]:
        """Return the directories of this host that hold an index or its files, to be seen by a container.

        An index's own directory has pages alone; the files that they list are usually beside it.
        """
        indexes = (_local(self.address(index)) for index in (self.index or "", *self.extra))
        return (*(place.parent for place in indexes if place), *self.folders())

    def folders(self) -> tuple[Path, ...]:
        """Return the directories of this host that hold files as they are."""
        return tuple(filter(None, map(_local, self.find_links)))


def from_host(
    environ: Mapping[str, str], pip_confs: Sequence[Path] = (), uv_tomls: Sequence[Path] = ()
) -> Indexes:
    """Read the host's configuration: uv's variables and files when these name any index, else pip's.

    Certificates, proxies and logins are taken from both. An index that is only one more, by uv's
    `extra-index-url` as by pip's, counts as much as the main one.

    Raises HostError for a configuration file that can't be read.
    """
    uv, pip = uv_configured(uv_tomls), pip_configured(environ, pip_confs)
    common = Indexes(
        offline=_is_true(environ.get("UV_OFFLINE", "")) or bool(uv.taken.get("offline")),
        ca_bundle=_ca_bundle(environ, pip.taken.get("cert")),
        others=tuple(sorted(_others(environ, uv, pip).items())),
        proxies=tuple(proxies({**pip.taken, **uv.taken}, environ)),
        logins=_netrc(environ),
        ignored=(*uv_variables(environ), *uv.ignored, *pip.ignored),
    )
    named = any(environ.get(name) for name in INDEX_NAMES)
    if named or any(uv.taken.get(key) for key in _UV_INDEXES):
        return _of_uv(common, environ, uv.taken)
    return replace(
        common,
        index=pip.taken.get("index-url") or None,
        extra=tuple(pip.taken.get("extra-index-url", "").split()),
        find_links=_links(pip.taken.get("find-links", "").split()),
        no_index=_is_true(pip.taken.get("no-index", "")),
        best_match=bool(pip.taken.get("extra-index-url")),
    )


_UV_INDEXES = ("index", "index-url", "extra-index-url", "find-links", "no-index")
# What is handed on as it is: how long to wait, and how an index is reached.
_PASSED = ("UV_HTTP_TIMEOUT", "UV_HTTP_RETRIES", "UV_INDEX_STRATEGY", "UV_INSECURE_HOST",
           "UV_KEYRING_PROVIDER", "UV_NATIVE_TLS", "UV_SYSTEM_CERTS")  # fmt: skip
_OF_UV_TOML = {
    "index-strategy": "UV_INDEX_STRATEGY",
    "allow-insecure-host": "UV_INSECURE_HOST",
    "keyring-provider": "UV_KEYRING_PROVIDER",
    "native-tls": "UV_NATIVE_TLS",
    "system-certs": "UV_SYSTEM_CERTS",
}
_OF_PIP = {"trusted-host": "UV_INSECURE_HOST", "client-cert": "SSL_CLIENT_CERT"}


def _of_uv(common: Indexes, environ: Mapping[str, str], taken: Mapping[str, Any]) -> Indexes:
    """Return what uv is configured with: variables before files, as uv itself has it."""
    tables = taken.get("index", [])
    default = default_of(tables) or taken.get("index-url")
    index = environ.get("UV_DEFAULT_INDEX") or environ.get("UV_INDEX_URL") or default or None
    further = [*environ.get("UV_INDEX", "").split(), *further_of(tables)]
    extra = [*environ.get("UV_EXTRA_INDEX_URL", "").split(), *taken.get("extra-index-url", [])]
    links = [*re.split(r"[,\s]+", environ.get("UV_FIND_LINKS", "")), *taken.get("find-links", [])]
    return replace(
        common,
        index=_with_login(index, environ) if index else None,
        extra=tuple(_with_login(one, environ) for one in (*further, *extra)),
        find_links=_links(links),
        no_index=bool(taken.get("no-index")),
        best_match=bool(extra),
    )


def _others(environ: Mapping[str, str], uv: Configured, pip: Configured) -> dict[str, str]:
    """Return the variables that say how indexes are reached: the host's own, over those that files mean."""
    found = {name: _text(pip.taken[key]) for key, name in _OF_PIP.items() if pip.taken.get(key)}
    found |= {name: _text(uv.taken[key]) for key, name in _OF_UV_TOML.items() if uv.taken.get(key)}
    return found | {name: environ[name] for name in _PASSED if environ.get(name)}


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return " ".join(map(str, value)) if isinstance(value, list) else " ".join(str(value).split())


def _netrc(environ: Mapping[str, str]) -> tuple[tuple[str, str, str], ...]:
    """Return host, user and password of each machine in the file that `NETRC` names, or in `~/.netrc`."""
    home = Path(environ.get("HOME") or os.devnull)
    with suppress(OSError, netrc.NetrcParseError, UnicodeDecodeError):
        found = netrc.netrc(environ.get("NETRC") or str(home / ".netrc")).hosts
        known = ((host, user, word) for host, (user, _, word) in found.items() if host != "default")
        return tuple(sorted(known))
    return ()


def _ca_bundle(environ: Mapping[str, str], of_pip: str | None) -> Path | None:
    named = (*(environ.get(name) for name in _CA_NAMES), of_pip, *_CA_BUNDLES)
    return next((Path(place) for place in named if place and Path(place).is_file()), None)


def _links(links: Sequence[str]) -> tuple[str, ...]:
    """Make local directories absolute and drop those that don't exist: pip only warns of them, uv fails."""
    kept = []
    for link in filter(None, links):
        local = _local(link)
        if local is None:
            kept.append(link)
        elif local.exists():
            kept.append(str(local))
    return tuple(kept)


def _local(link: str) -> Path | None:
    if not link:
        return None
    parts = urlsplit(link)
    if parts.scheme == "file":
        return Path(unquote(parts.path))
    return None if "://" in link else Path(link).expanduser().absolute()


def _split_name(index: str) -> tuple[str, str]:
    found = re.fullmatch(r"([A-Za-z0-9._-]+)=(.+)", index)
    return (found[1], found[2]) if found else ("", index)


def _with_login(index: str, environ: Mapping[str, str]) -> str:
    """Put the credentials that uv reads for a named index (`UV_INDEX_<NAME>_USERNAME`) into its URL."""
    name, url = _split_name(index)
    prefix = f"UV_INDEX_{re.sub(r'[^A-Z0-9]', '_', name.upper())}"
    user, password = environ.get(f"{prefix}_USERNAME", ""), environ.get(f"{prefix}_PASSWORD", "")
    if not name or not (user or password) or "@" in urlsplit(url).netloc:
        return index
    scheme, rest = url.split("://", 1)
    return f"{name}={scheme}://{quote(user, safe='')}:{quote(password, safe='')}@{rest}"


def _is_true(text: str) -> bool:
    return text.strip().lower() in {"1", "true", "yes", "on", "y", "t"}
