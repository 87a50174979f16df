"""Indexes: where this host gets Python packages from, read from its own uv or pip configuration."""

from __future__ import annotations

import configparser
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from avabuild.errors import HostError

UV_NAMES = ("UV_DEFAULT_INDEX", "UV_INDEX_URL", "UV_INDEX", "UV_EXTRA_INDEX_URL", "UV_FIND_LINKS")
_CA_NAMES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "PIP_CERT", "CURL_CA_BUNDLE")
_CA_BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)
_USERINFO = re.compile(r"(?<=://)[^\s/@\"']+(?:@[^\s/@\"']+)*@")


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
        alone: True when nothing that the user's own uv is configured with may add to `index`.
        others: further `UV_*` variables of the host that reach the resolver as they are.
    """

    index: str | None = field(default=None, repr=False)
    extra: tuple[str, ...] = field(default=(), repr=False)
    find_links: tuple[str, ...] = field(default=(), repr=False)
    no_index: bool = False
    offline: bool = False
    best_match: bool = False
    ca_bundle: Path | None = None
    alone: bool = False
    others: tuple[tuple[str, str], ...] = field(default=(), repr=False)

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
            alone=True,
        )

    def environment(self) -> dict[str, str]:
        """Return what makes uv ask these indexes; credentials go here and never in an argv."""
        env = {
            "UV_HTTP_TIMEOUT": "20",
            "UV_HTTP_RETRIES": "2",
            "UV_PYTHON_DOWNLOADS": "never",
            **dict(self.others),
        }
        if self.index:
            env["UV_DEFAULT_INDEX"] = self.index
        if self.extra:
            env["UV_INDEX"] = " ".join(self.extra)
        if self.find_links:
            env["UV_FIND_LINKS"] = ",".join(link.replace(",", "%2C") for link in self.find_links)
        if self.best_match:
            env["UV_INDEX_STRATEGY"] = "unsafe-best-match"
        if self.alone:
            env["UV_CONFIG_FILE"] = "/dev/null"  # a user's uv.toml may name indexes, which would come first
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
        }
        return {name: value for name, value in env.items() if value}

    def address(self, index: str) -> str:
        """Return the URL of `index` without the name that uv allows before it."""
        return _split_name(index)[1]

    def credentials(self, url: str) -> tuple[str, str] | None:
        """Return user and password for `url`: those of an index on the same scheme, host and port."""
        asked = urlsplit(url)
        for index in (*filter(None, [self.index]), *self.extra, *self.find_links):
            known = urlsplit(_split_name(index)[1])
            same = (known.scheme, known.hostname, known.port) == (asked.scheme, asked.hostname, asked.port)
            if same and known.username:
                return unquote(known.username), unquote(known.password or "")
        return None

    def local_paths(self) -> tuple[Path, ...]:
        """Return the directories of this host that hold an index or its files, to be seen by a container.

        An index's own directory has pages alone; the files that they list are usually beside it.
        """
        indexes = (_local(self.address(index)) for index in (self.index or "", *self.extra))
        return (*(place.parent for place in indexes if place), *self.folders())

    def folders(self) -> tuple[Path, ...]:
        """Return the directories of this host that hold files as they are."""
        return tuple(filter(None, map(_local, self.find_links)))


def redact(text: str) -> str:
    """Return `text` with the user and password of every URL in it replaced by `***`."""
    return _USERINFO.sub("***@", text)


def pip_conf_paths(environ: Mapping[str, str], prefix: Path) -> tuple[Path, ...]:
    """Return pip's configuration files, weakest first, as pip documents them for Linux.

    `prefix` is the environment's (`sys.prefix`), whose `pip.conf` is the "site" one.
    """
    own = environ.get("PIP_CONFIG_FILE")
    if own == "/dev/null":
        return ()
    home = Path(environ.get("HOME") or "/root")
    shared = (environ.get("XDG_CONFIG_DIRS") or "/etc/xdg").split(":")
    user = Path(environ.get("XDG_CONFIG_HOME") or home / ".config")
    return (
        *(Path(place) / "pip/pip.conf" for place in reversed(shared) if place),
        Path("/etc/pip.conf"),
        home / ".pip/pip.conf",
        user / "pip/pip.conf",
        prefix / "pip.conf",
        *([Path(own)] if own else []),
    )


def from_host(environ: Mapping[str, str], pip_confs: Sequence[Path] = ()) -> Indexes:
    """Read the host's configuration: uv's variables when any is set, else pip's variables and files.

    Raises HostError for a pip configuration file that can't be read.
    """
    pip = {**_pip_files(pip_confs), **_pip_variables(environ)}
    common = Indexes(
        offline=_is_true(environ.get("UV_OFFLINE", "")),
        ca_bundle=_ca_bundle(environ, pip.get("cert")),
        others=tuple(sorted((k, v) for k, v in environ.items() if k in _PASSED and v)),
    )
    if any(environ.get(name) for name in UV_NAMES):
        extra = f"{environ.get('UV_INDEX', '')} {environ.get('UV_EXTRA_INDEX_URL', '')}".split()
        index = environ.get("UV_DEFAULT_INDEX") or environ.get("UV_INDEX_URL") or None
        return replace(
            common,
            index=_with_login(index, environ) if index else None,
            extra=tuple(_with_login(one, environ) for one in extra),
            find_links=_links(re.split(r"[,\s]+", environ.get("UV_FIND_LINKS", ""))),
        )
    return replace(
        common,
        index=pip.get("index-url") or None,
        extra=tuple(pip.get("extra-index-url", "").split()),
        find_links=_links(pip.get("find-links", "").split()),
        no_index=_is_true(pip.get("no-index", "")),
        best_match=bool(pip.get("extra-index-url")),
    )


_PASSED = frozenset(
    ("UV_HTTP_TIMEOUT", "UV_HTTP_RETRIES", "UV_INDEX_STRATEGY", "UV_INSECURE_HOST", "UV_KEYRING_PROVIDER")
)
_PIP_KEYS = ("index-url", "extra-index-url", "find-links", "no-index", "cert")


def _pip_variables(environ: Mapping[str, str]) -> dict[str, str]:
    names = {key: f"PIP_{key.replace('-', '_').upper()}" for key in _PIP_KEYS}
    return {key: environ[name] for key, name in names.items() if environ.get(name)}


def _pip_files(paths: Sequence[Path]) -> dict[str, str]:
    found: dict[str, str] = {}
    for path in paths:
        parser = configparser.RawConfigParser()
        try:
            if path.is_file():
                parser.read_string(path.read_text(encoding="utf-8"), source=str(path))
        except (OSError, UnicodeDecodeError, configparser.Error) as error:
            raise HostError(
                f"pip's configuration can't be read: {redact(str(error))}",
                place=str(path),
                hint="correct the file",
            ) from error
        for section in ("global", "install"):
            if parser.has_section(section):
                found |= {key.replace("_", "-"): value for key, value in parser.items(section)}
    return found


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
