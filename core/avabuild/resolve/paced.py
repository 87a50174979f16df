"""Paced connections: an answer of which nearly nothing arrives any more is given up.

A limit for each read is none for the whole: who sends a byte in time, of a header or of a body, could go on
for weeks.
"""

from __future__ import annotations

import ssl
import time
from typing import Any

import httpcore
import httpx

_WINDOW, _PROGRESS = 60.0, 1024  # seconds, and the bytes of an answer that have to arrive in them


def paced(client: httpx.Client) -> httpx.Client:
    """Have all connections of a new client, through proxies too, raise httpx.ReadTimeout when one drips."""
    for transport in (client._transport, *client._mounts.values()):
        if isinstance(transport, httpx.HTTPTransport):  # whose own arguments have no place for this
            pool = transport._pool
            pool._network_backend = _Backend(pool._network_backend)
    return client


class _Backend(httpcore.NetworkBackend):
    """Opens the connections of another one."""

    def __init__(self, inner: httpcore.NetworkBackend) -> None:
        self._inner = inner

    def connect_tcp(self, *args: Any, **options: Any) -> httpcore.NetworkStream:
        return _Stream(self._inner.connect_tcp(*args, **options))

    def connect_unix_socket(self, *args: Any, **options: Any) -> httpcore.NetworkStream:
        return _Stream(self._inner.connect_unix_socket(*args, **options))

    def sleep(self, seconds: float) -> None:
        self._inner.sleep(seconds)


class _Stream(httpcore.NetworkStream):
    """A connection; how long the first byte of an answer may take is what the client says."""

    def __init__(self, inner: httpcore.NetworkStream) -> None:
        self._inner = inner
        self._since: float | None = None
        self._arrived = 0

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        data = self._inner.read(max_bytes, timeout)
        now = time.monotonic()
        self._arrived += len(data)
        if self._since is None or self._arrived >= _PROGRESS:
            self._since, self._arrived = now, 0
        elif data and now - self._since > _WINDOW:
            raise httpcore.ReadTimeout(f"less than {_PROGRESS} bytes came in {_WINDOW:.0f} s")
        return data

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._since = None
        self._inner.write(buffer, timeout)

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        return _Stream(self._inner.start_tls(ssl_context, server_hostname, timeout))

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)
