"""Credentials for registries, in the files that buildah, podman and skopeo share: containers-auth.json(5).

Docker's own `config.json` is read, and never written. A password is never an argument or in a log.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field

from avabuild.common.errors import HostError
from avabuild.common.value import Value
from avabuild.host.registry_files import auth_files
from avabuild.store.whole import publish

DOCKER_HUB = "docker.io"
_HUB_KEY = "index.docker.io"
_TOKEN_USER = "<token>"  # noqa: S105 - how credential helpers call an identity token


class Credentials(Value):
    """Who asks: a user name with a password, or an identity token of an OAuth server."""

    user: str = ""
    password: str = Field("", repr=False)
    token: str = Field("", repr=False)


class AuthFiles:
    """The files that may have credentials of this user, the one that is written first."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self.paths = auth_files(environ)

    @property
    def path(self) -> Path:
        """Where a login goes."""
        return self.paths[0]

    def find(self, host: str, repository: str = "") -> Credentials | None:
        """Return what to tell `host` for `repository`: the most exact entry of the first file with one."""
        names = _names(host, repository)
        for path in self.paths:
            data = _read(path)
            helper = (data.get("credHelpers") or {}).get(host)
            if helper and (found := self._ask(str(helper), host)):
                return found
            auths = {_plain(name): entry for name, entry in (data.get("auths") or {}).items()}
            for name in names:
                if found := _decoded(auths.get(name), path):
                    return found
            if (store := data.get("credsStore")) and (found := self._ask(str(store), host)):
                return found
        return None

    def login(self, host: str, credentials: Credentials) -> Path:
        """Keep the credentials for `host`; return the file."""
        data = _read(self.path)
        text = f"{credentials.user}:{credentials.password}".encode()
        data.setdefault("auths", {})[host] = {"auth": base64.b64encode(text).decode()}
        _write(self.path, data)
        return self.path

    def logout(self, host: str) -> tuple[Path, ...]:
        """Remove what there is for `host` from every file that is ours to write; return those that had it."""
        changed = []
        for path in self.paths:
            if path.name != "auth.json" and path != self.path:
                continue
            data = _read(path)
            auths = data.get("auths") or {}
            mine = [name for name in auths if _plain(name) == host]
            if mine:
                for name in mine:
                    del auths[name]
                _write(path, data)
                changed.append(path)
        return tuple(changed)

    def _ask(self, helper: str, host: str) -> Credentials | None:
        """Ask a credential helper (docker-credential-helpers protocol); None when it knows nothing."""
        try:
            done = subprocess.run(
                [f"docker-credential-{helper}", "get"],
                input=f"https://{_HUB_KEY}/v1/" if host == DOCKER_HUB else host,
                capture_output=True, text=True, check=True, env=dict(self._environ), timeout=30,
            )  # fmt: skip
            answer = json.loads(done.stdout)
            user, secret = str(answer["Username"]), str(answer["Secret"])
        except (OSError, subprocess.SubprocessError, ValueError, LookupError, TypeError):
            return None
        return Credentials(token=secret) if user == _TOKEN_USER else Credentials(user=user, password=secret)


def _names(host: str, repository: str) -> list[str]:
    """Return the entries that may speak for a repository, the most exact first."""
    parts = repository.split("/") if repository else []
    exact = ["/".join((host, *parts[:count])) for count in range(len(parts), -1, -1)]
    return [*exact, _HUB_KEY] if host == DOCKER_HUB else exact


def _plain(name: str) -> str:
    """Return an entry's name as Docker writes it, without scheme and API version."""
    bare = name.partition("://")[2] or name
    for suffix in ("/v1/", "/v2/", "/v1", "/v2", "/"):
        bare = bare.removesuffix(suffix)
    return bare


def _decoded(entry: Any, path: Path) -> Credentials | None:
    if not isinstance(entry, dict):
        return None
    if token := entry.get("identitytoken"):
        return Credentials(token=str(token))
    if not entry.get("auth"):
        return None
    try:
        user, colon, password = base64.b64decode(str(entry["auth"]), validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        user = colon = password = ""
    if not colon:
        raise HostError('an entry\'s "auth" is not base64 of user:password', place=str(path), hint=_ANEW)
    return Credentials(user=user, password=password.rstrip("\0"))


_ANEW = "log in anew with avabuild login"


def _read(path: Path) -> dict[str, Any]:
    try:
        data = json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except PermissionError as error:
        raise HostError(f"can't be read: {error.strerror}", place=str(path)) from error
    except ValueError as error:
        raise HostError(f"is no JSON: {error}", place=str(path), hint="repair or remove it") from error
    if not isinstance(data, dict) or not isinstance(data.get("auths") or {}, dict):
        raise HostError("is no file of credentials", place=str(path), hint="repair or remove it")
    return data


def _write(path: Path, data: Mapping[str, Any]) -> None:
    """Write the file whole or not at all, for its owner's eyes."""
    target = path.resolve()
    try:
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=".auth-")  # made 0600
    except OSError as error:
        raise HostError(
            f"can't be written: {error.strerror}",
            place=str(path),
            hint="name another: REGISTRY_AUTH_FILE=FILE",
        ) from error
    partial = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(data, file, indent="\t")
            file.write("\n")
        publish(partial, target)
    finally:
        partial.unlink(missing_ok=True)
