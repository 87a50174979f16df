"""Bearer tokens: a real registry that believes only a server of tokens, and what that one is told."""

from __future__ import annotations

import base64
import json
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from avabuild.common.errors import RegistryError
from avabuild.registries.name import Remote
from avabuild.registries.push import send_blob
from avabuild.registries.responses import Challenge

LOGIN = base64.b64encode(b"ava:correct horse").decode()


def test_a_challenge_is_read_with_commas_in_it():
    header = 'Bearer realm="https://a.example.com/t",service="reg",scope="repository:a/b:pull,push"'
    challenge = Challenge.of(["Negotiate", header])
    assert challenge == Challenge(
        "bearer", {"realm": "https://a.example.com/t", "service": "reg", "scope": "repository:a/b:pull,push"}
    )
    assert Challenge.of(['Basic realm="x"', header]).scheme == "bearer"
    assert Challenge.of(["Negotiate"]) is None


def _encoded(data: object) -> bytes:
    raw = data if isinstance(data, bytes) else json.dumps(data).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=")


class Tokens(ThreadingHTTPServer):
    """Gives ava what is asked for but pushing to `closed`, and nobody else anything but pulling."""

    def __init__(self, directory: Path) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.directory = directory
        self.asked: list[list[str]] = []
        argv = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=tokens -keyout tokens.key -out tokens.pem"
        subprocess.run(argv.split(), cwd=directory, check=True, capture_output=True)

    def token(self, scopes: list[str], *, known: bool) -> str:
        self.asked.append(scopes)
        pem = (self.directory / "tokens.pem").read_text()
        access = []
        for scope in scopes:
            kind, name, actions = scope.split(":")
            given = actions.split(",") if known and "closed" not in name else ["pull"]
            access.append({"type": kind, "name": name, "actions": given})
        now = int(time.time())
        head = {"typ": "JWT", "alg": "RS256", "x5c": ["".join(pem.splitlines()[1:-1])]}
        claims = {
            "iss": "tokens",
            "sub": "ava",
            "aud": "registry",
            "exp": now + 60,
            "nbf": now - 5,
            "iat": now,
        }
        text = _encoded(head) + b"." + _encoded({**claims, "jti": str(now), "access": access})
        sign = ["openssl", "dgst", "-sha256", "-sign", str(self.directory / "tokens.key")]
        signed = subprocess.run(sign, input=text, check=True, capture_output=True).stdout
        return (text + b"." + _encoded(signed)).decode()


class Handler(BaseHTTPRequestHandler):
    server: Tokens

    def do_GET(self) -> None:
        said = self.headers.get("Authorization")
        if said not in {None, f"Basic {LOGIN}"}:
            self.send_error(401)
            return
        scopes = parse_qs(urlsplit(self.path).query).get("scope", [])
        body = json.dumps({"token": self.server.token(scopes, known=said is not None)}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def tokens(tmp_path: Path) -> Iterator[Tokens]:
    server = Tokens(tmp_path)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def believing(tokens: Tokens, make_distribution: Callable[..., Any], scheme: str) -> Any:
    """Start a registry that has its users looked after by `tokens`."""
    realm = f"{scheme}://127.0.0.1:{tokens.server_port}/token"
    bundle = str(tokens.directory / "tokens.pem")
    auth = {"token": {"realm": realm, "service": "registry", "issuer": "tokens", "rootcertbundle": bundle}}
    made = make_distribution(auth=auth)
    made.start()
    return made


@pytest.fixture
def registry(tokens: Tokens, keys: Path, make_distribution: Callable[..., Any]) -> Any:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(keys / "good.pem", keys / "key.pem")
    tokens.socket = context.wrap_socket(tokens.socket, server_side=True)
    return believing(tokens, make_distribution, "https")


def test_tokens_are_fetched_for_what_is_done_and_used_again(registry, registries_of, tokens):
    repository = registries_of(registry.environment).repository(Remote.parse(f"{registry.host}/ns/ava"))
    for number in range(3):
        assert repository.manifest(str(number)) is None
    assert tokens.asked == [["repository:ns/ava:pull"]]


def test_a_blob_is_mounted_with_a_token_for_both_repositories(
    registry, registries_of, tokens, store, keep_image
):
    opened = registries_of(registry.environment)
    (blob,) = keep_image(b"token layer")[2].items()
    one, two = (opened.repository(Remote.parse(f"{registry.host}/ns/{name}")) for name in ("one", "two"))
    assert send_blob(one, store, *blob, lambda *_: None) == "sent"
    assert send_blob(two, store, *blob, lambda *_: None) == "mounted"
    assert ["repository:ns/two:pull,push", "repository:ns/one:pull"] in tokens.asked


def test_what_one_may_not_is_said(registry, registries_of, store, keep_image):
    (blob,) = keep_image(b"denied layer")[2].items()
    closed = registries_of(registry.environment).repository(Remote.parse(f"{registry.host}/closed/ava"))
    with pytest.raises(RegistryError, match="doesn't let you push to closed/ava"):
        send_blob(closed, store, *blob, lambda *_: None)


def test_a_wrong_password_is_said(registry, registries_of):
    wrong = {**registry.environment, "REGISTRY_AUTH_FILE": str(registry.auth_file("wrong"))}
    repository = registries_of(wrong).repository(Remote.parse(f"{registry.host}/ns/ava"))
    with pytest.raises(RegistryError, match="doesn't accept the password of ava"):
        repository.manifest("1")


def test_a_server_of_tokens_without_tls_is_told_nothing(make_distribution, registries_of, tokens):
    registry = believing(tokens, make_distribution, "http")
    repository = registries_of(registry.environment).repository(Remote.parse(f"{registry.host}/ns/ava"))
    with pytest.raises(RegistryError, match="no server for tokens that could be trusted"):
        repository.manifest("1")
    assert tokens.asked == []
