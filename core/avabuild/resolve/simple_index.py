"""Pages: what the indexes' pages of projects list (PEP 503, PEP 691), for packages that uv doesn't serve."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from html.parser import HTMLParser
from pathlib import Path
from typing import Self, TypeVar
from urllib.parse import unquote, urldefrag, urljoin, urlsplit

import httpx

from avabuild.common.errors import UnavailableError
from avabuild.resolve.bounded import PLAIN, BoundError, body_of, opened
from avabuild.resolve.download import client_of
from avabuild.resolve.indexes import Indexes, redact
from avabuild.resolve.lock import Package

_ACCEPT = "application/vnd.pypi.simple.v1+json, text/html;q=0.5"
_JOBS = 8
_MOST = 256 << 20  # bytes of a page: the largest that is known has 40 MB
_NO_ANSWER = (httpx.HTTPError, httpx.InvalidURL, BoundError)
_Answer = TypeVar("_Answer")
_Asked = TypeVar("_Asked")


class Pages:
    """Reads the pages of projects on all configured indexes, several at a time; a context manager."""

    def __init__(self, indexes: Indexes) -> None:
        self._indexes = indexes
        self._client = client_of(indexes, _JOBS)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._client.close()

    def locate(self, packages: Sequence[Package]) -> dict[str, str]:
        """Return the URL of every file among `packages` that some index has, by sha256.

        Raises UnavailableError when an index does not answer.
        """
        return {
            p.sha256: url for p, url in zip(packages, self._each(self._find, packages), strict=True) if url
        }

    def sizes(self, urls: Sequence[str]) -> dict[str, int]:
        """Return how many bytes each file has, where its server says so."""
        return {url: size for url, size in zip(urls, self._each(self._size, urls), strict=True) if size}

    def _each(self, ask: Callable[[_Asked], _Answer], items: Sequence[_Asked]) -> list[_Answer]:
        with ThreadPoolExecutor(_JOBS, "pages") as pool:
            return list(pool.map(ask, items))

    def _size(self, url: str) -> int:
        try:
            response = self._ask("HEAD", url)
            response.close()
        except _NO_ANSWER:
            return 0
        told = response.headers.get("Content-Length", "")
        return int(told[:20]) if response.is_success and told.isascii() and told.isdigit() else 0

    def _find(self, package: Package) -> str | None:
        indexes = self._indexes
        for place in indexes.folders():
            if (path := place / package.filename).is_file() and _sha256(path) == package.sha256:
                return path.as_uri()
        for page in self._places(package.name):
            if found := self._files(page).get(package.sha256):
                return found
        return None

    def _places(self, project: str) -> list[str]:
        """Return the addresses of the pages that may list files of `project`."""
        indexes = self._indexes
        bases = [] if indexes.no_index else [*filter(None, [indexes.index]), *indexes.extra]
        links = [link for link in indexes.find_links if "://" in link and not link.startswith("file:")]
        return [*(f"{indexes.address(base).rstrip('/')}/{project}/" for base in bases), *links]

    def _files(self, page: str) -> Mapping[str, str]:
        """Return sha256 -> URL of the files that a page lists; nothing where there is no such page."""
        parts = urlsplit(page)
        if parts.scheme == "file":
            path = Path(unquote(parts.path)) / "index.html"
            return _of_html(path.read_text(encoding="utf-8"), page) if path.is_file() else {}
        try:
            response = self._ask("GET", page, {"Accept": _ACCEPT})
            if response.status_code == 404:
                response.close()
                return {}
            response.raise_for_status()
            text = body_of(response, _MOST).decode(errors="replace")
        except _NO_ANSWER as error:
            raise UnavailableError(
                f"an index did not answer: {redact(page)}: {redact(str(error))}",
                hint="try again later, or check the index settings (UV_*, PIP_* or pip.conf) and proxies",
            ) from error
        if "json" in response.headers.get("Content-Type", ""):
            return _of_json(text, str(response.url))
        return _of_html(text, str(response.url))

    def _ask(self, method: str, url: str, headers: Mapping[str, str] | None = None) -> httpx.Response:
        login = self._indexes.credentials(url)
        asked = self._client.build_request(method, url, headers={**PLAIN, **(headers or {})})
        return opened(self._client, asked, auth=httpx.BasicAuth(*login) if login else None)


def _of_json(text: str, page: str) -> Mapping[str, str]:
    try:
        files = json.loads(text).get("files", [])
        return {
            f["hashes"]["sha256"]: urljoin(page, f["url"]) for f in files if "sha256" in f.get("hashes", {})
        }
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise UnavailableError(
            f"an index did not answer as one: {redact(page)}: {redact(str(error))}",
            hint="check the index settings (UV_*, PIP_* or pip.conf) and proxies",
        ) from error


class _Anchors(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.base = ""
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep where anchors lead, and what they are relative to."""
        href = dict(attrs).get("href")
        if tag == "a" and href:
            self.links.append(href)
        elif tag == "base" and href and not self.base:
            self.base = href


def _of_html(text: str, page: str) -> Mapping[str, str]:
    anchors = _Anchors()
    anchors.feed(text)
    found = (urldefrag(urljoin(urljoin(page, anchors.base), link)) for link in anchors.links)
    return {f.partition("=")[2]: url for url, f in found if f.startswith("sha256=")}


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
