"""Indexes of a distribution's mirror, fetched and unpacked in pieces, within bounds.

Nobody has checked a signature of them: they tell a person what could be meant, and APT decides.
"""

from __future__ import annotations

import gzip
import http.client
import io
import socket
import ssl
import time
import urllib.error
import urllib.request
import zlib
from collections.abc import Callable, Iterator
from http import HTTPStatus
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlsplit

from avabuild.host.host import Host

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_T = TypeVar("_T")

_SILENCE = 10  # seconds without a byte
_PAUSE = 0.5  # seconds before it is asked again
_WHOLE = 180  # seconds for all of an index
_FETCHED = 256 << 20  # bytes of an index as it is fetched: the largest that is known has 60 MB
_UNPACKED = 2 << 30  # bytes of it unpacked: the largest that is known has 0.9 GB
_CHUNK = _LONGEST = 1 << 20  # bytes of a piece, and of a line
NO_INDEX = (OSError, EOFError, ValueError, zlib.error, http.client.HTTPException)
"""What reading an index may raise: there is no answer, it is something else, or it is out of bounds."""

_silent: set[str] = set()  # hosts and addresses that did not answer in this run: they are not asked again


def read(host: Host, address: str, reader: Callable[[Iterator[bytes]], _T]) -> _T:
    """Return what `reader` makes of an address of gzip, which it gets some whole lines at a time.

    A mirror that does not answer, breaks off or has an error of its own is asked again, from the start.
    Raises one of NO_INDEX.
    """
    host_name = urlsplit(address).netloc
    if _silent & {host_name, address} or not address.startswith(("http://", "https://")):
        raise ValueError("does not answer")
    context = ssl.create_default_context(cafile=str(host.ca_bundle) if host.ca_bundle else None)
    for last in (False, False, True):
        try:
            with urllib.request.urlopen(address, timeout=_SILENCE, context=context) as answer:  # noqa: S310
                packed = io.BufferedReader(_Bounded(answer))
                return reader(_lines(gzip.GzipFile(fileobj=packed, mode="rb")))
        except NO_INDEX as error:
            if last or not _may_pass(error):
                _silent.add(host_name if _is_unreachable(error) else address)
                raise
            time.sleep(_PAUSE)
    raise AssertionError("the last try returns or raises")


def _is_unreachable(error: Exception) -> bool:
    """Return whether there was no connection: other addresses of the host would not answer either."""
    return isinstance(error, urllib.error.URLError) and not isinstance(error, urllib.error.HTTPError)


def _may_pass(error: Exception) -> bool:
    """Return whether another try may do better: after silence, a break or an error of the server's own."""
    if isinstance(error, urllib.error.HTTPError):
        return error.code >= HTTPStatus.INTERNAL_SERVER_ERROR
    if isinstance(error, urllib.error.URLError):
        return not isinstance(error.reason, ConnectionRefusedError | socket.gaierror)
    broken = isinstance(error, OSError | EOFError | http.client.HTTPException)
    return broken and not isinstance(error, gzip.BadGzipFile)


class _Bounded(io.RawIOBase):
    """An answer that ends: it neither has more than `_FETCHED` bytes nor takes more than `_WHOLE` seconds."""

    def __init__(self, answer: http.client.HTTPResponse) -> None:
        self._answer = answer
        self._left = _FETCHED
        self._end = time.monotonic() + _WHOLE

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        """Read what has come into `buffer`; raises ValueError out of bounds, IncompleteRead for a break."""
        view = memoryview(buffer)
        data = self._answer.read1(len(view))
        if not data and self._answer.length:  # `read1` takes that for the end
            raise http.client.IncompleteRead(data, self._answer.length)
        self._left -= len(data)
        if self._left < 0 or time.monotonic() > self._end:
            raise ValueError("is too large, or too slow")
        view[: len(data)] = data
        return len(data)


def _lines(file: gzip.GzipFile) -> Iterator[bytes]:
    size, rest = 0, b""
    while chunk := file.read(_CHUNK):
        size += len(chunk)
        whole, newline, rest = (rest + chunk).rpartition(b"\n")
        if size > _UNPACKED or len(rest) > _LONGEST:
            raise ValueError("is too large")
        yield whole + newline
    yield rest
