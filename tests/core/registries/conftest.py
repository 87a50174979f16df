"""Clients of a real registry, and images to push."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from avabuild.host.host import Host
from avabuild.registries.connections import Registries
from avabuild.resolve.wanted import Policy
from avabuild.store import Store
from avabuild.store import oci as image
from avabuild.store.blob import Blob

QUICK = Policy(attempts=3, pause=0.01)


@pytest.fixture
def registries_of(host: Host) -> Iterator[Callable[..., Registries]]:
    """Return a function that opens registries as a user with some environment."""
    opened: list[Registries] = []

    def make(environment: dict[str, str], *, insecure: bool = False, policy: Policy = QUICK) -> Registries:
        bundle = environment.get("SSL_CERT_FILE")
        user = host.model_copy(update={"variables": tuple(environment.items()), "ca_bundle": bundle})
        opened.append(Registries(user, insecure=insecure, policy=policy))
        return opened[-1]

    yield make
    for registries in opened:
        registries.__exit__(None, None, None)


@pytest.fixture
def registries(distribution: Any, registries_of: Callable[..., Registries]) -> Registries:
    """The shared registry, as somebody with the right password."""
    return registries_of(distribution.environment)


@pytest.fixture
def keep_image(
    store: Store, keep_blob: Callable[..., Blob]
) -> Callable[..., tuple[str, str, dict[str, int]]]:
    """Return a function that puts an image of layers with these bytes into the store: manifest, config, layers."""

    def keep(*contents: bytes) -> tuple[str, str, dict[str, int]]:
        blobs = [keep_blob(content) for content in contents]
        pieces = [image.Piece(blob=blob, created_by="test") for blob in blobs]
        config = image.encode(image.config({}, pieces, image.Settings(), "amd64"))
        manifest = image.encode(image.manifest(config, [image.layer_descriptor(blob) for blob in blobs], {}))
        return store.put(manifest), store.put(config), {blob.digest: blob.size for blob in blobs}

    return keep


class Fake(ThreadingHTTPServer):
    """A registry of plain http that answers as a test wants: (method, path) -> status, headers, body.

    A body that is shorter than its Content-Length breaks off.
    """

    def __init__(self, answer: Callable[[str, str, bytes], tuple[int, dict[str, str], bytes]]) -> None:
        super().__init__(("127.0.0.1", 0), _Asked)
        self.answer = answer
        self.asked: list[tuple[str, str]] = []
        self.host = f"127.0.0.1:{self.server_port}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of clients that are gone."""


class _Asked(BaseHTTPRequestHandler):
    server: Fake

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if "Range" in self.headers:
            self.path += f" {self.headers['Range']}"
        self.server.asked.append((self.command, self.path))
        status, headers, said = self.server.answer(self.command, self.path, body)
        self.send_response(status)
        for name, text in ({"Content-Length": str(len(said))} | headers).items():
            self.send_header(name, text)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(said)

    do_HEAD = do_PUT = do_POST = do_GET  # noqa: N815 - the standard library's names

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the standard library's name
        """Say nothing."""


@pytest.fixture
def fake() -> Iterator[Callable[..., Fake]]:
    """Return a function that starts a registry which answers as it is told."""
    started: list[Fake] = []

    def start(answer: Callable[[str, str, bytes], tuple[int, dict[str, str], bytes]]) -> Fake:
        started.append(Fake(answer))
        threading.Thread(target=started[-1].serve_forever, daemon=True).start()
        return started[-1]

    yield start
    for server in started:
        server.shutdown()
        server.server_close()
