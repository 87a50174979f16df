"""Transfer: one file from a URL to disk, hashed on the way, resumed after breaks, retried with back-off."""

from __future__ import annotations

import errno
import hashlib
import random
import ssl
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO
from urllib.parse import unquote, urlsplit

import httpx

from avabuild.common.errors import DiskFullError, StoreError, UnavailableError, WheelError
from avabuild.resolve.bounded import BoundError, opened, raw
from avabuild.resolve.indexes import Indexes, redact
from avabuild.resolve.paced import paced
from avabuild.resolve.wanted import Policy, Wanted
from avabuild.tools.cancellation import Cancellation

if TYPE_CHECKING:
    from hashlib import _Hash

CHUNK = 1 << 20
_FURTHER = 16 << 10  # bytes that an attempt has to bring: by single ones a file never comes
_RETRIED = frozenset((408, 425, 429, 500, 502, 503, 504))
_LONGEST_WAIT = 60.0


class _Broken(Exception):  # noqa: N818 - not a failure yet: the next attempt goes on from here
    """The connection broke or the server is busy.

    `wait` is what the server asked for, in seconds; `restart` is True when what arrived is of no use.
    """

    def __init__(self, reason: str, *, wait: float = 0, restart: bool = False) -> None:
        super().__init__(reason)
        self.wait = wait
        self.restart = restart


def client_of(indexes: Indexes, connections: int) -> httpx.Client:
    """Return a client with the host's certificates and proxies and at most so many `connections`."""
    bundle = indexes.ca_bundle
    verify = ssl.create_default_context(cafile=str(bundle)) if bundle else True
    proxies = dict(indexes.proxies)
    named = (("http://", proxies.get("HTTP_PROXY")), ("https://", proxies.get("HTTPS_PROXY")))
    mounts = {scheme: httpx.HTTPTransport(verify=verify, proxy=proxy) for scheme, proxy in named if proxy}
    limits = httpx.Limits(max_connections=connections, max_keepalive_connections=connections)
    times = httpx.Timeout(30, connect=10)
    return paced(httpx.Client(verify=verify, mounts=mounts, limits=limits, timeout=times))


@dataclass(frozen=True, slots=True)
class Transfer:
    """Gets files, one per call and thread.

    Attributes:
        client: the pool of connections.
        indexes: for credentials.
        cancellation: the owner's way to stop.
        policy: how often to retry.
    """

    client: httpx.Client
    indexes: Indexes
    cancellation: Cancellation = field(default_factory=Cancellation)
    policy: Policy = field(default_factory=Policy)

    def get(self, wanted: Wanted, part: Path, progress: Callable[[int, int], None]) -> None:
        """Fill `part`, going on from what it holds; `progress` gets bytes done and in all (0 unknown).

        Raises:
            WheelError: the bytes are not those of `sha256`; `part` is gone.
            UnavailableError: the server does not give them; `part` stays for the next time.
            DiskFullError: no space.
            StoreError: `part` can't be written.
            CancelledError: the owner stopped it.
        """
        resumed = part.exists() and part.stat().st_size > 0
        while (got := self._complete(wanted, part, progress)) != wanted.sha256:
            part.unlink()
            if not resumed:
                raise WheelError(
                    f"{wanted.filename} has another hash: expected sha256 {wanted.sha256}, got {got}",
                    hint=f"{redact(wanted.url)} gave it; if its author replaced the file, resolve again",
                )
            # What an earlier run left may be at fault: once more, from the first byte.
            resumed = False

    def _complete(self, wanted: Wanted, part: Path, progress: Callable[[int, int], None]) -> str:
        """Attempt until the file is whole and return its hash; one that got clearly further is free."""
        failures, furthest = 0, 0
        while True:
            try:
                return self._attempt(wanted, part, progress)
            except (_Broken, httpx.RequestError) as error:
                self.cancellation.check()
                reached = part.stat().st_size if part.exists() else 0
                failures += 1
                if reached >= furthest + _FURTHER:
                    failures, furthest = 1, reached
                if failures >= self.policy.attempts or "CERTIFICATE_VERIFY" in str(error):
                    raise _unavailable(wanted, error) from error
                broken = error if isinstance(error, _Broken) else _Broken("")
                if broken.restart:
                    part.unlink()
                jitter = random.uniform(0.5, 1.5)  # noqa: S311 - spreads clients, hides nothing
                pause = max(broken.wait, self.policy.pause * 2 ** (failures - 1) * jitter)
                self.cancellation.sleep(min(_LONGEST_WAIT, pause))
            except (BoundError, httpx.InvalidURL) as error:
                part.unlink(missing_ok=True)  # what has arrived is of no use
                raise _unavailable(wanted, error) from error
            except OSError as error:
                raise _disk_error(wanted, part, error) from error

    def _attempt(self, wanted: Wanted, part: Path, progress: Callable[[int, int], None]) -> str:
        digest = hashlib.sha256()
        with part.open("ab+", buffering=CHUNK) as file:
            start = self._rehash(file, digest)
            if wanted.size and start >= wanted.size:
                return digest.hexdigest()
            with self._source(wanted, start) as (offset, total, chunks):
                if offset != start:
                    file.truncate(0)
                    digest = hashlib.sha256()
                done = reported = offset
                for chunk in chunks:
                    self.cancellation.check()
                    done += len(chunk)
                    if wanted.size and done > wanted.size:
                        raise BoundError(f"sends more than the {wanted.size} bytes of the file")
                    file.write(chunk)
                    digest.update(chunk)
                    if done - reported >= CHUNK:
                        progress(done, total or wanted.size)
                        reported = done
        if not total and done < wanted.size:
            # Without a length, a server that closes the connection is all the sign of a break there is.
            raise _Broken(f"the connection ended after {done} of {wanted.size} bytes")
        progress(done, total or done)
        return digest.hexdigest()

    def _rehash(self, file: BinaryIO, digest: _Hash) -> int:
        """Feed what `file` holds to `digest` and return its length."""
        file.seek(0)
        length = 0
        while chunk := file.read(CHUNK):
            self.cancellation.check()
            digest.update(chunk)
            length += len(chunk)
        return length

    @contextmanager
    def _source(self, wanted: Wanted, start: int) -> Iterator[tuple[int, int, Iterator[bytes]]]:
        """Open the URL at `start`; give where it begins in truth, the whole size or 0, and the bytes."""
        parts = urlsplit(wanted.url)
        if parts.scheme == "file":
            with _open_local(Path(unquote(parts.path)), wanted.filename) as file:
                file.seek(start)
                yield start, wanted.size, iter(lambda: file.read(CHUNK), b"")
            return
        headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={start}-"} if start else {})
        login = self.indexes.credentials(wanted.url)
        auth = httpx.BasicAuth(*login) if login else None
        extensions = {"trace": self.cancellation.trace}
        asked = self.client.build_request("GET", wanted.url, headers=headers, extensions=extensions)
        with closing(opened(self.client, asked, auth=auth)) as response:
            _accept(wanted, response)
            offset = start if response.status_code == 206 else 0
            told = response.headers.get("Content-Length", "")
            length = int(told[:20]) if told.isascii() and told.isdigit() else 0
            yield offset, offset + length if length else 0, raw(response)


def _accept(wanted: Wanted, response: httpx.Response) -> None:
    """Let a response with the file pass; raise _Broken for one to retry, UnavailableError for a refusal."""
    status, reason = response.status_code, f"HTTP {response.status_code} {response.reason_phrase}"
    if status in {200, 206}:
        return
    if status in _RETRIED:
        raise _Broken(reason, wait=_retry_after(response))
    if status == 416:
        raise _Broken(reason, restart=True)
    hint = "resolve again: the index may have moved or removed it"
    if status in {401, 403, 407}:
        hint = "check the credentials in the index settings, and the proxy"
    raise UnavailableError(f"{wanted.filename} is refused by {redact(wanted.url)}: {reason}", hint=hint)


def _retry_after(response: httpx.Response) -> float:
    """Return the seconds that `Retry-After` asks for (RFC 9110 10.2.3: a number or a date), or 0."""
    text = response.headers.get("Retry-After", "")
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        return (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds()
    except (ValueError, TypeError):
        return 0


def _open_local(path: Path, filename: str) -> BinaryIO:
    try:
        return path.open("rb")
    except OSError as error:
        reason = f"{filename} can't be read at {path}: {error.strerror}"
        raise WheelError(reason, hint="put it back, or resolve again") from error


def _unavailable(wanted: Wanted, error: Exception) -> UnavailableError:
    hint = "try again later; what has arrived is kept"
    if "CERTIFICATE_VERIFY" in str(error):
        hint = "set SSL_CERT_FILE to a bundle that has the authority of this server or proxy"
    reason = redact(str(error)) or type(error).__name__
    return UnavailableError(
        f"{wanted.filename} could not be downloaded from {redact(wanted.url)}: {reason}", hint=hint
    )


def _disk_error(wanted: Wanted, part: Path, error: OSError) -> DiskFullError | StoreError:
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return DiskFullError(
            f"no space left in {part.parent} for {wanted.filename} ({wanted.size or 'unknown'} bytes)",
            hint="free some space, or point AVABUILD_CACHE at another disk",
        )
    return StoreError(f"{wanted.filename} can't be written to {part.parent}: {error.strerror}")
