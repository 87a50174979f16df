"""One registry over HTTP: who asks, what is temporary, and what an answer means.

Source: OCI distribution-spec 1.1.
"""

from __future__ import annotations

import random
import re
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

import httpx

from avabuild.common.errors import AvabuildError, RegistryError, UnavailableError
from avabuild.registries.credentials import DOCKER_HUB, Credentials
from avabuild.registries.name import is_repository
from avabuild.registries.responses import RETRIED, failure, is_full, is_registrys
from avabuild.registries.tls import Trust
from avabuild.registries.tokens import Identity
from avabuild.resolve.bounded import MOST, PLAIN, BoundError, body_of, complaint_of, opened
from avabuild.resolve.paced import paced
from avabuild.resolve.wanted import Policy
from avabuild.tools.cancellation import Cancellation

CONNECTIONS = 8
CATALOG = ("registry:catalog:*",)
_TIMES = httpx.Timeout(connect=10, read=60, write=60, pool=None)
_PATIENT = httpx.Timeout(connect=10, read=600, write=60, pool=None)  # it hashes and stores what arrived
_LONGEST_WAIT = 30.0
_NEXT = re.compile(r'<([^>]+)>\s*;\s*rel="?next"?')
_MOST_PAGES = 1000  # of a list: a million names
_OF_A_BODY = (b"content-length", b"content-encoding", b"transfer-encoding")
_LOOPBACK = ("localhost", "127.", "[::1]")

Body = Callable[[], Iterator[bytes]]


@dataclass(frozen=True, slots=True)
class Request:
    """One request.

    Attributes:
        what: for people, after "can't": `push ava-keras:py311-cpu`.
        method: of HTTP.
        url: a path of the registry's API, or a whole address that the registry gave.
        scopes: the rights that it takes.
        accepted: statuses that are answers; others are failures.
        headers: beside those of the login.
        body: makes the content, anew for each attempt.
    """

    what: str
    method: str
    url: str
    scopes: tuple[str, ...] = ()
    accepted: tuple[int, ...] = (200,)
    headers: tuple[tuple[str, str], ...] = ()
    body: Body | None = None


class Registry:
    """One registry; safe to use from several threads. `close` it in the end.

    Args:
        host: as in names of images.
        trust: which certificates are good.
        credentials: who asks, or None.
        policy: how often what is temporary is tried.
        let_off: whether it may do without verified TLS.
    """

    def __init__(
        self,
        host: str,
        trust: Trust,
        credentials: Credentials | None,
        policy: Policy | None = None,
        *,
        let_off: bool = False,
    ) -> None:
        self.host = host
        self._trust = trust
        self._let_off = let_off
        self._policy = policy or Policy()
        self._identity = Identity(host, credentials)
        self._lock = threading.Lock()
        self._client: httpx.Client | None = None
        self._address = f"https://{'registry-1.docker.io' if host == DOCKER_HUB else host}"

    def close(self) -> None:
        """Close the connections."""
        if self._client:
            self._client.close()

    def greet(self) -> None:
        """Be let in, or raise what `send` raises: nothing else is asked (distribution-spec, end-1)."""
        self.send(Request("log in", "GET", "/v2/"), Cancellation())

    def repositories(self) -> tuple[str, ...]:
        """Return the names of all repositories (Docker registry API, "Listing Repositories").

        Raises what `send` raises: RegistryError also where it keeps no list, or not for everybody.
        """
        what, url = "list its repositories", "/v2/_catalog?n=1000"
        found = self.listed(Request(what, "GET", url, CATALOG), "repositories", Cancellation())
        return tuple(name for name in found if is_repository(name))

    def listed(self, request: Request, key: str, stop: Cancellation) -> Iterator[str]:
        """Yield what the pages of a list have under `key`, the first by `request`; none of an absent one."""
        url: str | None = request.url
        seen: set[str] = set()
        while url:
            if url in seen or len(seen) == _MOST_PAGES:
                raise RegistryError(f"{self.host} has a list without an end: can't {request.what}")
            seen.add(url)
            response = self.send(replace(request, url=url), stop)
            if response.status_code == 404 and self.absent(request, response):
                return
            try:
                yield from map(str, list(response.json().get(key) or ()))
            except (ValueError, AttributeError, TypeError, RecursionError) as error:
                raise RegistryError(f"{self.host} answers something else: can't {request.what}") from error
            following = _NEXT.search(response.headers.get("Link", ""))
            url = self._follow(response, following[1]) if following else None

    def absent(self, request: Request, response: httpx.Response) -> bool:
        """Whether a 404 says that there is no such thing; raise RegistryError where no registry says so."""
        if response.status_code == 404 and not is_registrys(response.content):
            raise failure(self.host, request.what, response.status_code, response.content)
        return response.status_code == 404

    def send(self, request: Request, stop: Cancellation) -> httpx.Response:
        """Return the answer, its body read, after as many attempts as it takes.

        Raises:
            UnavailableError: no answer, or again and again one that says "not now".
            RegistryError: it refuses, or isn't trusted.
            DiskFullError: the registry's disk is full.
            CancelledError: the owner stopped it.
        """
        return self.patiently(request, stop, lambda: self.once(request, stop))

    def location(self, response: httpx.Response) -> str:
        """Return where an answer says to go on; never from TLS to plain http on one host."""
        if "Location" not in response.headers:
            raise RegistryError(f"{self.host} does not say where to go on")
        return self._follow(response, response.headers["Location"])

    def _follow(self, response: httpx.Response, target: str) -> str:
        try:
            url = response.url.join(target)
        except (httpx.InvalidURL, ValueError) as error:
            raise RegistryError(f"{self.host} names an address that is none: {target[:100]!r}") from error
        if url.host == response.url.host and url.scheme != response.url.scheme:
            url = url.copy_with(scheme=response.url.scheme, port=response.url.port)
        return str(url)

    # -- attempts ------------------------------------------------------------------------------------------

    def patiently(
        self, request: Request, stop: Cancellation, attempt: Callable[[], httpx.Response]
    ) -> httpx.Response:
        """Return the answer of `attempt`, made until it is one to `request`; raises what `send` raises."""
        for number in range(1, self._policy.attempts + 1):
            stop.check()
            pause = self._policy.pause * 2 ** (number - 1) * random.uniform(0.5, 1.5)  # noqa: S311
            last = number == self._policy.attempts
            try:
                response = attempt()
            except httpx.TransportError as error:
                stop.check()
                if (found := self._untrusted(error)) or last:
                    raise found or self._silent(request, error) from error
            except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, BoundError, ValueError) as error:
                stop.check()
                raise RegistryError(f"{self.host} {_told(error)}: can't {request.what}") from error
            else:
                if response.status_code in request.accepted:
                    return response
                body = response.content if response.is_stream_consumed else complaint_of(response)
                if last or response.status_code not in RETRIED or is_full(body):
                    raise failure(self.host, request.what, response.status_code, body)
                asked = response.headers.get("Retry-After", "")
                pause = max(pause, float(asked) if asked.isascii() and asked.isdigit() else 0)
            stop.sleep(min(pause, _LONGEST_WAIT))
        raise AssertionError("the last attempt returns or raises")

    def once(self, request: Request, stop: Cancellation, *, stream: bool = False) -> httpx.Response:
        """Return whatever is answered to one attempt, after a login where that is asked for.

        With `stream` its body is the caller's to read, within bounds of its own.
        """
        client = self._opened(stop)
        address = request.url if "://" in request.url else f"{self._address}{request.url}"
        mine = urlsplit(address).netloc == urlsplit(self._address).netloc
        for _ in range(3):  # unknown; told; told anew because the token had expired
            headers = {**PLAIN, **dict(request.headers)}
            if mine:
                headers |= self._identity.header(request.scopes)
            asked = client.build_request(
                request.method,
                address,
                headers=headers,
                content=request.body() if request.body else None,
                timeout=_PATIENT if request.body else _TIMES,
                extensions={"trace": stop.trace},
            )
            response = opened(client, asked, request.body)
            if response.status_code != 401 or not mine:
                return response if stream else _read(response, stop)
            response = _read(response, stop)
            self._identity.answer(response, request.scopes, client)
        return response

    def _opened(self, stop: Cancellation) -> httpx.Client:
        """Return the client; the first one to ask finds out how the registry is spoken to."""
        with self._lock:
            if self._client is None:
                self._client = self._made(verify=not self._let_off)
                if self._let_off:
                    self._choose_scheme(self._client, stop)
            return self._client

    def _made(self, *, verify: bool) -> httpx.Client:
        limits = httpx.Limits(max_connections=CONNECTIONS, max_keepalive_connections=CONNECTIONS)
        context: ssl.SSLContext = self._trust.context(self.host, verify=verify)
        beside = self.host.startswith(_LOOPBACK)  # a proxy can't reach what is on this machine
        return paced(httpx.Client(verify=context, limits=limits, timeout=_TIMES, trust_env=not beside))

    def _choose_scheme(self, client: httpx.Client, stop: Cancellation) -> None:
        """Take plain http where there is no TLS; only for a registry that is let off."""
        try:
            asked = client.build_request("GET", f"{self._address}/v2/", extensions={"trace": stop.trace})
            client.send(asked, stream=True).close()
        except httpx.TransportError:
            stop.check()
            self._address = f"http://{self.host}"

    # -- failures ------------------------------------------------------------------------------------------

    def _untrusted(self, error: httpx.TransportError) -> AvabuildError | None:
        """Return what is wrong with the registry's TLS, None for any other failure."""
        text = str(error)
        if "CERTIFICATE_VERIFY_FAILED" in text:
            reason = text.partition("verify failed: ")[2].partition(" (_ssl")[0] or text
            return RegistryError(
                f"{self.host} can't be trusted: {reason}", hint=_trust_hint(reason, self.host)
            )
        if "WRONG_VERSION_NUMBER" in text or "RECORD_LAYER_FAILURE" in text or "UNEXPECTED_EOF" in text:
            hint = "if it is meant to have none, say so: --insecure, or insecure = true in registries.conf"
            return RegistryError(f"{self.host} speaks no TLS", hint=hint)
        return None

    def _silent(self, request: Request, error: httpx.TransportError) -> UnavailableError:
        reason = str(error) or type(error).__name__
        return UnavailableError(
            f"{self.host} doesn't answer: can't {request.what}: {reason}",
            hint="try again later: what has arrived is not sent again",
        )


def _read(response: httpx.Response, stop: Cancellation) -> httpx.Response:
    """Return the answer with its body read: all of it, of an error as much as is told."""
    data = complaint_of(response) if response.is_error else body_of(response, MOST, stop.check)
    headers = [(name, value) for name, value in response.headers.raw if name.lower() not in _OF_A_BODY]
    return httpx.Response(response.status_code, headers=headers, content=data, request=response.request)


def _told(error: Exception) -> str:
    return str(error) if isinstance(error, BoundError) else f"gives an answer that is none ({error})"


def _trust_hint(reason: str, host: str) -> str:
    if "expired" in reason:
        return "its administrator has to renew the certificate; is this machine's clock right?"
    if "issuer" in reason or "self-signed" in reason or "self signed" in reason:
        return f"give its authority's certificate: /etc/containers/certs.d/{host}/ca.crt, or SSL_CERT_FILE"
    return "use the name that its certificate has"


def scopes(actions: str, *repositories: str) -> tuple[str, ...]:
    """Return the scopes for `actions` (`pull`, `pull,push`) on repositories."""
    return tuple(f"repository:{repository}:{actions}" for repository in repositories)
