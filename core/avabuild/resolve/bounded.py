"""Answers over HTTP that have bounds in bytes and in redirects; `paced` has those in time.

Whoever answers may be anybody: a registry that was taken over, a proxy's page, a server that never ends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import httpx

MOST = 4 << 20  # bytes of a manifest, a config, a page of a list (OCI distribution-spec: "Pushing Manifests")
COMPLAINT = 64 << 10  # bytes of an error's body that are read
REDIRECTS = 5
PLAIN = {"Accept-Encoding": "identity"}  # what is packed may unpack to anything


class BoundError(Exception):
    """An answer is out of bounds; the message says how, after the name of who gave it."""


def opened(
    client: httpx.Client,
    request: httpx.Request,
    body: Callable[[], Iterator[bytes]] | None = None,
    auth: httpx.Auth | None = None,
) -> httpx.Response:
    """Return the answer, its body unread, after at most a few redirects whose bodies are not read.

    `body` makes the request's content anew. A login is for the first server alone. Raises what clients raise.

    Raises:
        BoundError: redirects go on and on.
    """
    for _ in range(REDIRECTS + 1):
        response = client.send(request, stream=True, auth=auth, follow_redirects=False)
        following = response.next_request
        if following is None:
            return response
        response.close()
        if body is not None and following.method == request.method:
            following = client.build_request(
                following.method,
                following.url,
                headers=following.headers,
                content=body(),
                extensions=following.extensions,
            )
        request, auth = following, None
    raise BoundError("redirects on and on")


def body_of(response: httpx.Response, most: int, check: Callable[[], None] = lambda: None) -> bytes:
    """Return the body of an answer, which is closed then.

    Raises:
        BoundError: it is larger than `most` bytes, or packed, though nobody asked for that.
    """
    try:
        if response.request.method == "HEAD":
            return b""
        declared = response.headers.get("Content-Length", "")
        if declared.isdecimal() and int(declared[:20]) > most:
            raise BoundError(f"answers with more than {most >> 20} MB")
        data = bytearray()
        for chunk in raw(response):
            check()
            data += chunk
            if len(data) > most:
                raise BoundError(f"answers with more than {most >> 20} MB")
        return bytes(data)
    finally:
        response.close()


def complaint_of(response: httpx.Response) -> bytes:
    """Return the beginning of an error's body; empty where none comes. The answer is closed then."""
    data = bytearray()
    try:
        for chunk in raw(response):
            data += chunk
            if len(data) >= COMPLAINT:
                break
    except (httpx.TransportError, BoundError):
        pass
    finally:
        response.close()
    return bytes(data[:COMPLAINT])


def raw(response: httpx.Response) -> Iterator[bytes]:
    """Yield the body as it arrives.

    Raises:
        BoundError: it is packed. httpx.ReadTimeout: nearly nothing arrives any more (see `paced`).
    """
    packed = response.headers.get("Content-Encoding", "identity").strip().lower()
    if packed not in {"", "identity"}:
        raise BoundError("packs its answer, though nobody asked for that")
    yield from response.iter_raw()
