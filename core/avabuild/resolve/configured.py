"""What uv and pip of this host are configured with: which settings are taken, and which are only named.

Taken is where packages come from: indexes and how they are asked, folders, credentials, certificates and
proxies. Whatever else chooses versions is left out, so that one recipe resolves alike on every host.
"""

from __future__ import annotations

import configparser
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from avabuild.common.addresses import redact
from avabuild.common.errors import HostError

INDEX_NAMES = ("UV_DEFAULT_INDEX", "UV_INDEX_URL", "UV_INDEX", "UV_EXTRA_INDEX_URL", "UV_FIND_LINKS")
INHERITED = frozenset((
    *("UV_CACHE_DIR", "UV_NO_CACHE", "UV_LINK_MODE", "UV_LOCK_TIMEOUT", "UV_STACK_SIZE"),
    *("UV_HTTP_TIMEOUT", "UV_REQUEST_TIMEOUT", "UV_HTTP_CONNECT_TIMEOUT", "UV_HTTP_RETRIES", "UV_OFFLINE"),
    *("UV_CONCURRENT_BUILDS", "UV_CONCURRENT_DOWNLOADS", "UV_CONCURRENT_INSTALLS", "UV_CREDENTIALS_DIR"),
    *("UV_INSECURE_HOST", "UV_INDEX_STRATEGY", "UV_KEYRING_PROVIDER", "UV_NATIVE_TLS", "UV_SYSTEM_CERTS"),
))  # fmt: skip
"""The variables of uv, beside those of indexes, that reach it: none of them chooses a version by itself."""

# Variables that choose versions, by what is before their names. pip's are its options in capitals.
_CHOOSING = ("resolution", "prerelease", "exclude-newer", "exclude-newer-package", "constraint", "override",
             "exclude", "build-constraint", "fork-strategy", "no-binary", "no-binary-package", "only-binary",
             "no-build", "no-build-package", "no-sources", "no-sources-package", "torch-backend",
             "require-hashes", "no-build-isolation", "malware-check")  # fmt: skip
_PIPS = ("pre", "constraint", "requirement", "no-binary", "only-binary", "prefer-binary", "no-deps",
         "build-constraint", "platform", "python-version", "implementation", "abi", "ignore-requires-python",
         "require-hashes", "no-build-isolation", "uploaded-prior-to", "upgrade-strategy", "config-settings",
         "use-deprecated", "all-releases", "only-final", "editable")  # fmt: skip
_PIP_TAKEN = ("index-url", "extra-index-url", "find-links", "no-index", "cert", "client-cert", "proxy",
              "trusted-host", "keyring-provider")  # fmt: skip


# Keys of uv.toml that are taken, and those that have no say in what is chosen; every other one is named.
class _Index(BaseModel):
    """A table `[[index]]` of uv.toml, with whatever else it says."""

    model_config = ConfigDict(extra="allow")
    url: str


_TEXT, _TEXTS, _SWITCH = TypeAdapter(str), TypeAdapter(list[str]), TypeAdapter(bool)
_UV_TAKEN: Mapping[str, TypeAdapter[Any]] = {
    "index": TypeAdapter(list[_Index]),
    **dict.fromkeys(("extra-index-url", "find-links", "allow-insecure-host", "no-proxy"), _TEXTS),
    **dict.fromkeys(("index-url", "index-strategy", "keyring-provider", "http-proxy", "https-proxy"), _TEXT),
    **dict.fromkeys(("no-index", "native-tls", "system-certs", "offline"), _SWITCH),
}
_UV_HARMLESS = ("pip", "cache-dir", "cache-keys", "no-cache", "concurrent-builds", "concurrent-downloads",
                "concurrent-installs", "link-mode", "compile-bytecode", "python-downloads",
                "python-preference", "python-install-mirror", "pypy-install-mirror",
                "python-downloads-json-url", "publish-url", "check-url", "trusted-publishing", "preview",
                "preview-features", "add-bounds", "required-version", "audit", "reinstall",
                "reinstall-package", "annotation-style", "break-system-packages", "custom-compile-command",
                "emit-build-options", "emit-find-links", "emit-index-annotation", "emit-index-url",
                "emit-marker-expression", "generate-hashes", "no-annotate", "no-header", "output-file",
                "prefix", "target", "python", "system", "strict", "managed", "package")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Configured:
    """What a tool's files and variables say: `taken` by key, and the names of what is `ignored`."""

    taken: Mapping[str, Any] = field(default_factory=dict, repr=False)  # may hold passwords
    ignored: tuple[str, ...] = ()


def pip_conf_paths(environ: Mapping[str, str], prefix: Path) -> tuple[Path, ...]:
    """Return pip's configuration files, weakest first, as pip documents them for Linux.

    `prefix` is the environment's (`sys.prefix`), whose `pip.conf` is the "site" one.
    """
    own = environ.get("PIP_CONFIG_FILE")
    if own == "/dev/null":
        return ()
    home, shared, user = _places(environ)
    return (
        *(place / "pip/pip.conf" for place in shared),
        Path("/etc/pip.conf"),
        home / ".pip/pip.conf",
        user / "pip/pip.conf",
        prefix / "pip.conf",
        *([Path(own)] if own else []),
    )


def uv_toml_paths(environ: Mapping[str, str]) -> tuple[Path, ...]:
    """Return uv's configuration files of the system and the user, weakest first, as uv documents them."""
    if own := environ.get("UV_CONFIG_FILE"):
        return (Path(own),)
    if environ.get("UV_NO_CONFIG", "").lower() in {"1", "true", "yes", "on", "y", "t"}:
        return ()
    _, shared, user = _places(environ)
    of_system = [place / "uv/uv.toml" for place in shared]
    found = next((path for path in reversed(of_system) if path.is_file()), Path("/etc/uv/uv.toml"))
    return found, user / "uv/uv.toml"


def _places(environ: Mapping[str, str]) -> tuple[Path, list[Path], Path]:
    """Return the home, the shared directories of configuration, weakest first, and the user's."""
    home = Path(environ.get("HOME") or "/root")
    shared = (environ.get("XDG_CONFIG_DIRS") or "/etc/xdg").split(":")
    user = Path(environ.get("XDG_CONFIG_HOME") or home / ".config")
    return home, [Path(place) for place in reversed(shared) if place], user


def uv_configured(paths: Sequence[Path]) -> Configured:
    """Read uv.toml files, weakest first: the stronger one's lists come first, and its values win.

    Raises HostError for a file that can't be read, or has a value of another kind than uv takes.
    """
    taken: dict[str, Any] = {}
    ignored: list[str] = []
    for path in paths:
        if path == Path("/dev/null") or not path.is_file():
            continue
        try:
            data = tomllib.loads(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise _unreadable("uv", path, error) from error
        own = data.get("pip")
        inner = own if isinstance(own, dict) else {}
        for name, table in (("", data), ("pip.", inner)):
            ignored += [f"{name}{key} in {path}" for key in table if key not in (*_UV_TAKEN, *_UV_HARMLESS)]
        for key, kind in _UV_TAKEN.items():
            if (value := inner.get(key, data.get(key))) is not None:
                value = _placed(key, _checked(key, kind, value, path), path.parent)
                taken[key] = [*value, *taken.get(key, ())] if isinstance(value, list) else value
    return Configured(taken, tuple(ignored))


def _checked(key: str, kind: TypeAdapter[Any], value: object, path: Path) -> Any:
    """Return the value, tables as dictionaries; raise HostError for one that uv would not take."""
    try:
        return kind.dump_python(kind.validate_python(value, strict=True))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, (key, *first["loc"])))
        raise _unreadable("uv", path, ValueError(f"{where}: {first['msg'].lower()}")) from error


def _placed(key: str, value: Any, directory: Path) -> Any:
    """Return folders absolute: those that a file names are relative to it."""
    if key in {"find-links", "extra-index-url"}:
        return [_absolute(one, directory) for one in value]
    if key == "index":
        return [one | {"url": _absolute(one["url"], directory)} for one in value]
    return _absolute(value, directory) if key == "index-url" else value


def _absolute(link: str, directory: Path) -> str:
    return link if "://" in link or not link else str(directory / Path(link).expanduser())


def pip_configured(environ: Mapping[str, str], paths: Sequence[Path]) -> Configured:
    """Read pip's files, weakest first, and over them its variables.

    Raises HostError for a file that can't be read.
    """
    taken: dict[str, str] = {}
    ignored: list[str] = []
    for path in paths:
        parser = configparser.RawConfigParser()
        try:
            if path.is_file():
                parser.read_string(path.read_text(encoding="utf-8"), source=str(path))
        except (OSError, UnicodeDecodeError, configparser.Error) as error:
            raise _unreadable("pip", path, error) from error
        for section in ("global", "install"):
            if parser.has_section(section):
                found = {key.replace("_", "-"): value for key, value in parser.items(section)}
                taken |= {key: found[key] for key in _PIP_TAKEN if key in found}
                ignored += [f"{key} in {path}" for key in found if key in _PIPS]
    variables = {key: _variable("PIP", key) for key in (*_PIP_TAKEN, *_PIPS)}
    taken |= {key: environ[variables[key]] for key in _PIP_TAKEN if environ.get(variables[key])}
    return Configured(taken, (*ignored, *(variables[key] for key in _PIPS if environ.get(variables[key]))))


def uv_variables(environ: Mapping[str, str]) -> tuple[str, ...]:
    """Return the names of the variables that would have uv choose other versions, and are ignored."""
    return tuple(name for key in _CHOOSING if environ.get(name := _variable("UV", key)))


def inherited(environ: Mapping[str, str]) -> dict[str, str]:
    """Return what uv gets of the environment: all that is not its own, and of that the harmless part."""
    return {name: value for name, value in environ.items() if not name.startswith("UV_") or name in INHERITED}


def proxies(taken: Mapping[str, Any], environ: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield the variables of proxies that a tool's own settings stand for; those of the host win."""
    both = {"HTTP_PROXY": "http-proxy", "HTTPS_PROXY": "https-proxy", "NO_PROXY": "no-proxy"}
    for name, key in both.items():
        value = taken.get(key) or (taken.get("proxy") if name != "NO_PROXY" else None)
        said = environ.get(name) or environ.get(name.lower()) or environ.get("ALL_PROXY")
        if value and not said:
            yield name, _proxy(",".join(value) if isinstance(value, list) else str(value), name)


def _proxy(value: str, name: str) -> str:
    return value if name == "NO_PROXY" or "://" in value else f"http://{value}"


def default_of(indexes: Iterable[Mapping[str, Any]]) -> str:
    """Return the index that uv.toml's tables have as the default, empty without one."""
    return next((str(one["url"]) for one in indexes if one.get("default") and one.get("url")), "")


def further_of(indexes: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    """Return the other indexes of uv.toml's tables, with their names; explicit ones are asked for nothing."""
    return tuple(
        f"{one['name']}={one['url']}" if one.get("name") and urlsplit(str(one["url"])).scheme else one["url"]
        for one in indexes
        if one.get("url") and not one.get("default") and not one.get("explicit")
    )


def _variable(tool: str, key: str) -> str:
    return f"{tool}_{key.replace('-', '_').upper()}"


def _unreadable(tool: str, path: Path, error: Exception) -> HostError:
    return HostError(
        f"the configuration of {tool} can't be read: {redact(str(error))}",
        place=str(path),
        hint="correct the file",
    )
