"""Identity: what one registry is told of who asks: nothing, a password, or tokens that it had us fetch."""

from __future__ import annotations

import base64
import json
import re
import threading
from collections.abc import Sequence
from typing import Any

import httpx

from avabuild.common.errors import RegistryError
from avabuild.registries.credentials import Credentials
from avabuild.registries.responses import Challenge, failure, words
from avabuild.resolve.bounded import MOST, PLAIN, body_of, complaint_of

_TOKEN = re.compile(r"[!-~]+")  # what may be in a header


class Identity:
    """The Authorization headers for one registry; safe to use from several threads.

    Args:
        host: the registry, as people call it.
        credentials: what there is to tell, or None.
    """

    def __init__(self, host: str, credentials: Credentials | None) -> None:
        self._host = host
        self._credentials = credentials
        self._lock = threading.Lock()
        self._basic: str | None = None
        self._tokens: dict[tuple[str, ...], str] = {}

    def header(self, scopes: Sequence[str]) -> dict[str, str]:
        """Return the header for a request that needs `scopes` (`repository:ava/keras:pull,push`)."""
        known = self._basic or self._tokens.get(tuple(scopes))
        return {"Authorization": known} if known else {}

    def answer(self, response: httpx.Response, scopes: Sequence[str], client: httpx.Client) -> None:
        """Do what a 401 asks for, so that `header` has something better to say.

        Raises:
            RegistryError: nothing better can be said.
        """
        challenge = Challenge.of(response.headers.get_list("WWW-Authenticate"))
        said = response.request.headers.get("Authorization")
        if challenge is None:
            raise RegistryError(f"{self._host} asks who you are in a way that nobody here knows")
        with self._lock:
            if challenge.scheme == "basic":
                self._tell_password(said)
            elif said is None or said == self._tokens.get(tuple(scopes)):
                self._tokens[tuple(scopes)] = f"Bearer {self._fetch(challenge, scopes, client)}"

    def _tell_password(self, said: str | None) -> None:
        if self._credentials is None or not self._credentials.user:
            raise RegistryError(f"{self._host} wants a login", hint=f"avabuild login {self._host}")
        mine = _basic(self._credentials)
        if said == mine:
            raise self._wrong()
        self._basic = mine

    def _fetch(self, challenge: Challenge, scopes: Sequence[str], client: httpx.Client) -> str:
        """Fetch a token for `scopes` from the server that the registry names."""
        realm = challenge.parameters.get("realm", "")
        if not realm.startswith("https://") and not _same_way(realm, self._host):
            raise RegistryError(f"{self._host} names no server for tokens that could be trusted: {realm!r}")
        wanted = list(scopes) or [text for text in (challenge.parameters.get("scope"),) if text]
        service = challenge.parameters.get("service", "")
        given = self._credentials
        if given and given.token:
            form = {"grant_type": "refresh_token", "refresh_token": given.token, "service": service}
            form |= {"client_id": "avabuild", "scope": " ".join(wanted)}
            asked = client.build_request("POST", realm, data=form, headers=PLAIN)
        else:
            query = httpx.QueryParams({"service": service, "scope": wanted})
            own = {"Authorization": _basic(given)} if given else {}
            asked = client.build_request("GET", realm, params=query, headers={**PLAIN, **own})
        response = client.send(asked, stream=True, auth=None)  # no redirect is given the password
        content = body_of(response, MOST) if response.is_success else complaint_of(response)
        if response.status_code in {400, 401, 403}:
            raise (
                self._wrong()
                if given
                else RegistryError(
                    f"{self._host} wants a login: {words(content)}",
                    hint=f"avabuild login {self._host}",
                )
            )
        if response.status_code != 200:
            raise failure(self._host, "get a token", response.status_code, content)
        try:
            data: dict[str, Any] = json.loads(content)
            token = str(data.get("token") or data["access_token"])
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
            token = ""
        if not _TOKEN.fullmatch(token):
            raise RegistryError(f"{self._host}: its server for tokens gives none")
        return token

    def _wrong(self) -> RegistryError:
        user = self._credentials.user if self._credentials else ""
        named = f" of {user}" if user else ""
        return RegistryError(
            f"{self._host} doesn't accept the password{named}", hint=f"avabuild login {self._host}"
        )


def _basic(given: Credentials) -> str:
    return f"Basic {base64.b64encode(f'{given.user}:{given.password}'.encode()).decode()}"


def _same_way(realm: str, host: str) -> bool:
    """Whether a server without TLS is the registry's own: that is trusted as far as the registry is."""
    return realm.startswith("http://") and realm.removeprefix("http://").partition("/")[0] == host
