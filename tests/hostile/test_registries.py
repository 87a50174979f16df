"""Registries and indexes that answer without end, twice, packed, slowly, or with anything at all."""

from __future__ import annotations

import gzip
import hashlib
import json
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import BaseRequestHandler, ThreadingTCPServer
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from avabuild.common.errors import AvabuildError, ImageError, RegistryError, UnavailableError, WheelError
from avabuild.engine.bases import bring_base
from avabuild.engine.stages.workshop import built_wheel
from avabuild.host.host import Host
from avabuild.images.remote import RemoteImages
from avabuild.registries.cache import Cache
from avabuild.registries.connections import Registries
from avabuild.registries.credentials import Credentials
from avabuild.registries.name import Remote
from avabuild.registries.pull import pull_layout
from avabuild.resolve import paced
from avabuild.resolve.download import Transfer, client_of
from avabuild.resolve.indexes import Indexes
from avabuild.resolve.simple_index import Pages
from avabuild.resolve.wanted import Policy, Wanted
from avabuild.store import Store
from avabuild.store import oci as image
from avabuild.tools.events import Report

DIGEST = "sha256:" + "a" * 64
Answer = tuple[int, dict[str, str], Any]


class _Asked(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Answer as the test wants: a body of bytes, or chunks without a length."""
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.asked.append(self.path)  # type: ignore[attr-defined]
        status, headers, body = self.server.answer(self.command, self.path)  # type: ignore[attr-defined]
        body = b"[" * 90_000 if body == b"deep" else body
        self.send_response(status)
        told = {"Content-Length": str(len(body))} if isinstance(body, bytes) else {}
        for name, text in {**told, "Connection": "close", **headers}.items():
            self.send_header(name, text)
        self.end_headers()
        if self.command == "HEAD":
            return
        for chunk in (body,) if isinstance(body, bytes) else body:
            self.wfile.write(chunk)
            self.server.sent += len(chunk)  # type: ignore[attr-defined]

    do_HEAD = do_PUT = do_POST = do_GET  # noqa: N815 - the standard library's names

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the standard library's name
        """Say nothing."""


class Server(ThreadingHTTPServer):
    """Answers as `answer` says: (method, path) -> status, headers, body."""

    daemon_threads = True
    answer: Callable[[str, str], Answer]

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Asked)
        self.asked: list[str] = []
        self.sent = 0
        self.host = f"127.0.0.1:{self.server_port}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of clients that had enough."""


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server() as made:
        thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield made
        made.shutdown()
        thread.join()


@pytest.fixture
def answering(server: Server) -> Callable[..., Server]:
    def answering(answer: Callable[[str, str], Answer]) -> Server:
        server.answer, server.asked, server.sent = answer, [], 0
        return server

    return answering


@pytest.fixture
def registries(host: Host) -> Iterator[Registries]:
    with Registries(host, insecure=True, policy=Policy(attempts=2, pause=0.01)) as opened:
        yield opened


@pytest.fixture
def repository(registries, server):
    return registries.repository(Remote(host=server.host, repository="ava"))


def endless(piece: bytes = bytes(1 << 20)) -> Iterator[bytes]:
    for _ in range(1 << 14):  # 16 GB
        yield piece


BOMB = gzip.compress(bytes(64 << 20), 9)
WAYS: dict[str, Callable[[Any], object]] = {
    "manifest": lambda repository: repository.manifest("latest"),
    "config": lambda repository: repository.read(DIGEST),
    "tags": lambda repository: repository.tags(),
    "catalog": lambda repository: repository.registry.repositories(),
    "referrers": lambda repository: repository.referrers(DIGEST),
    "greeting": lambda repository: repository.registry.greet(),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("status", [200, 403])
@pytest.mark.parametrize(
    "answer",
    [({}, endless), ({"Content-Encoding": "gzip"}, BOMB), ({"Content-Length": str(1 << 50)}, endless)],
    ids=["endless", "packed", "declared"],
)
def test_no_answer_of_a_registry_fills_the_memory(repository, answering, way, status, answer):
    headers, body = answer
    server = answering(lambda method, path: (status, headers, body() if callable(body) else body))
    tracemalloc.start()
    try:
        with pytest.raises(RegistryError) as caught:
            WAYS[way](repository)
        assert tracemalloc.get_traced_memory()[1] < 60 << 20
    finally:
        tracemalloc.stop()
    words = "more than 4 MB|packs its answer" if status == 200 else "403"
    assert any(text in caught.value.message for text in words.split("|")), caught.value.message
    assert server.sent < 64 << 20


@pytest.mark.parametrize("way", WAYS)
def test_redirects_are_counted_and_their_bodies_not_read(repository, answering, way):
    server = answering(lambda method, path: (307, {"Location": f"{path}x"}, endless()))
    with pytest.raises(RegistryError, match="redirects on and on"):
        WAYS[way](repository)
    assert len(server.asked) < 20
    assert server.sent < 64 << 20


@pytest.mark.parametrize("location", ["http://[", "ftp://x/", "\x01", "http://x:99999999/", "//"])
@pytest.mark.parametrize("status", [200, 307])
def test_addresses_that_are_none_are_refused(repository, answering, location, status):
    link = {"Link": f'<{location}>; rel="next"'} if status == 200 else {"Location": location}
    answering(lambda method, path: (status, link, b'{"tags": ["a"]}'))
    with pytest.raises((RegistryError, UnavailableError)):
        repository.tags()


@pytest.mark.parametrize("way", ["tags", "catalog"])
def test_a_next_link_is_not_followed_twice(repository, answering, way):
    server = answering(lambda method, path: (200, {"Link": f'<{path}>; rel="next"'}, b"{}"))
    with pytest.raises(RegistryError, match="a list without an end"):
        WAYS[way](repository)
    assert len(server.asked) <= 3


def test_nor_is_one_of_ever_new_pages(repository, answering, monkeypatch):
    monkeypatch.setattr("avabuild.registries.client._MOST_PAGES", 20)
    answering(lambda method, path: (200, {"Link": f'<{path}x>; rel="next"'}, b'{"tags": ["a"]}'))
    with pytest.raises(RegistryError, match="a list without an end"):
        repository.tags()


def test_names_that_are_none_are_left_out_of_lists(repository, answering):
    names = ["a", "\x1b[2J", "../x", "a b", "x" * 200, "", "1.0"]
    answering(lambda method, path: (200, {}, json.dumps({"tags": names, "repositories": names}).encode()))
    assert repository.tags() == ("a", "1.0")
    assert repository.registry.repositories() == ("a", "x" * 200, "1.0")


@pytest.mark.parametrize("size", [0, 1000])
@pytest.mark.parametrize("headers", [{}, {"Content-Length": str(1 << 40)}])
def test_a_blob_is_no_larger_than_was_declared(repository, answering, tmp_path, size, headers):
    server = answering(lambda method, path: (200, headers, endless()))
    with pytest.raises(RegistryError, match=f"more than the {size} bytes"):
        repository.fetch(DIGEST, size, tmp_path / "blob", lambda *_: None)
    assert (tmp_path / "blob").stat().st_size <= size
    assert server.sent < 64 << 20


def test_a_blob_is_not_packed(repository, answering, tmp_path):
    answering(lambda method, path: (200, {"Content-Encoding": "gzip"}, BOMB))
    with pytest.raises(RegistryError, match="packs its answer"):
        repository.fetch(DIGEST, 1 << 40, tmp_path / "blob", lambda *_: None)


BEGINNINGS = {
    "status": b"HTTP/1.1 ",
    "header": b"HTTP/1.1 200 OK\r\nX-Long: ",
    "body": b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n",
    "chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;x=",
}


@pytest.fixture
def dripping(monkeypatch) -> Iterator[Callable[[bytes], int]]:
    """Return a function that opens a port, where an answer begins and then comes a byte at a time."""
    monkeypatch.setattr(paced, "_WINDOW", 0.2)
    done = threading.Event()

    class Drip(BaseRequestHandler):
        def handle(self) -> None:
            self.request.recv(1 << 16)
            with suppress(OSError):
                self.request.sendall(self.server.beginning)  # type: ignore[attr-defined]
                while not done.wait(0.02):
                    self.request.sendall(b"1")

    with ThreadingTCPServer(("127.0.0.1", 0), Drip) as made:
        made.daemon_threads = True
        threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.02}).start()

        def begin(beginning: bytes) -> int:
            made.beginning = beginning  # type: ignore[attr-defined]
            return int(made.server_address[1])

        yield begin
        done.set()
        made.shutdown()


@pytest.mark.parametrize("beginning", BEGINNINGS)
@pytest.mark.parametrize("way", ["manifest", "blob"])
def test_a_registry_that_drips_is_given_up(registries, dripping, tmp_path, way, beginning):
    port = dripping(BEGINNINGS[beginning])
    repository = registries.repository(Remote(host=f"127.0.0.1:{port}", repository="ava"))
    ways = {
        "manifest": lambda: repository.manifest("latest"),
        "blob": lambda: repository.fetch(DIGEST, 1 << 40, tmp_path / "blob", lambda *_: None),
    }
    with pytest.raises(UnavailableError, match="less than 1024 bytes"):
        ways[way]()


@pytest.mark.parametrize("beginning", BEGINNINGS)
@pytest.mark.parametrize("proxied", [False, True], ids=["direct", "proxied"])
def test_an_index_or_proxy_that_drips_is_given_up(dripping, tmp_path, beginning, proxied):
    place = f"http://127.0.0.1:{dripping(BEGINNINGS[beginning])}"
    indexes = Indexes(proxies=(("HTTP_PROXY", place),) if proxied else ())
    url = "http://index.example.invalid/a.whl" if proxied else f"{place}/a.whl"
    with client_of(indexes, 2) as client:
        transfer = Transfer(client, indexes, policy=Policy(attempts=2, pause=0.01))
        with pytest.raises(UnavailableError, match="less than 1024 bytes"):
            transfer.get(Wanted(url, "0" * 64, 0, "a.whl"), tmp_path / "part", lambda *_: None)


def test_an_index_that_gives_a_byte_at_a_time_is_given_up(answering, server, tmp_path):
    answering(lambda method, path: (206, {"Content-Length": "1000000"}, b"x"))
    with client_of(Indexes(), 1) as client:
        transfer = Transfer(client, Indexes(), policy=Policy(attempts=3, pause=0.001))
        with pytest.raises(UnavailableError):
            transfer.get(
                Wanted(f"http://{server.host}/a.whl", "0" * 64, 0, "a.whl"),
                tmp_path / "part",
                lambda *_: None,
            )
    assert len(server.asked) == 3


@pytest.mark.parametrize(
    "said",
    [b"", b"[]", b"null", b'{"token": 5}', b'{"token": "a\\nb"}', b'{"token": "\\ud800"}', b"[" * 100_000],
)
def test_a_server_for_tokens_may_say_anything(repository, answering, server, said):
    challenge = {"WWW-Authenticate": f'Bearer realm="http://{server.host}/token"'}
    answering(lambda method, path: (200, {}, said) if "/token" in path else (401, challenge, b""))
    with pytest.raises(RegistryError):
        repository.manifest("latest")


def test_a_redirect_is_not_given_what_the_server_for_tokens_is_told(registries, answering, server):
    challenge = {"WWW-Authenticate": f'Bearer realm="http://{server.host}/token"'}
    elsewhere = {"Location": f"http://localhost:{server.server_port}/thief"}
    answering(lambda method, path: (307, elsewhere, b"") if "/token" in path else (401, challenge, b""))
    for who in (Credentials(token="secret"), Credentials(user="ada", password="secret")):
        with pytest.raises(RegistryError):
            registries.registry_for(server.host, who).greet()
    assert "/thief" not in server.asked


# -- the layer cache -----------------------------------------------------------------------------------------

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 1 << 70) | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
DIGESTS = st.sampled_from([DIGEST, "sha256:" + "B" * 64, "sha256:../../x", "", "md5:x"]) | JSON
RECORDS = JSON | st.fixed_dictionaries(
    {},
    optional={
        "digest": DIGESTS,
        "diff_id": DIGESTS,
        "size": JSON,
        "unpacked": JSON,
        "media_type": JSON,
        "filename": JSON | st.sampled_from(["../x.whl", "x.whl"]),
        "sha256": JSON | st.just("a" * 64),
        "given": JSON | st.just("debian:bookworm:amd64"),
        "base": JSON,
    },
)
MANIFESTS = JSON | st.fixed_dictionaries(
    {},
    optional={
        "annotations": JSON | st.fixed_dictionaries({"org.avabuild.record": RECORDS.map(json.dumps) | JSON}),
        "layers": JSON | st.lists(st.fixed_dictionaries({"digest": DIGESTS, "size": JSON}), max_size=2),
        "config": JSON
        | st.fixed_dictionaries({"digest": DIGESTS, "mediaType": JSON | st.just(image.CONFIG)}),
        "manifests": JSON,
    },
)
BODIES = MANIFESTS.map(lambda data: json.dumps(data).encode()) | st.binary(max_size=64) | st.just(b"deep")
HEADERS = st.dictionaries(
    st.sampled_from(
        ["Location", "Link", "Retry-After", "Content-Encoding", "Content-Length", "Content-Type",
         "WWW-Authenticate", "Docker-Content-Digest", "Content-Range", "Set-Cookie"]
    ),
    st.sampled_from(
        ["", "x", "0", "-1", "9" * 40, "²", "gzip", "identity", "/v2/", "http://[", "ftp://x", DIGEST, "Basic",
         'Bearer realm="x"', 'Bearer realm="https://[", scope="', '</v2/>; rel="next"', "bytes 5-1/2"]
    ).map(lambda text: text.encode("latin-1", "replace").decode("latin-1")),
    max_size=3,
)  # fmt: skip
STATUSES = st.sampled_from(
    [200, 200, 200, 201, 204, 206, 301, 304, 307, 400, 401, 403, 404, 416, 418, 507, 599]
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(answers=st.lists(st.tuples(STATUSES, HEADERS, BODIES), min_size=1, max_size=4))
def test_no_answer_of_a_cache_fails_a_build(answers, answering, server, registries, tmp_path_factory):
    turns = iter(range(1 << 30))
    answering(lambda method, path: answers[next(turns) % len(answers)])
    store = Store(tmp_path_factory.mktemp("store"))
    kept = store.put(b"blob")
    place = Remote(host=server.host, repository="cache")
    with Cache(registries, place, Report(lambda _: None)) as cache:
        store.elsewhere = cache
        assert store.layer("sha256:" + "1" * 64) is None
        assert built_wheel(store, "sha256:" + "2" * 64) is None
        store.known("compiled", "sha256:" + "3" * 64)
        assert not bring_base(store, "debian:bookworm:amd64", "")
        assert not bring_base(store, "debian:bookworm:amd64", "sha256:" + "4" * 64)
        store.offer("layer", "sha256:" + "5" * 64, {}, ())
    assert store.has(kept)
    assert not [path for path in store.root.rglob("x*") if path.is_file()]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(answers=st.lists(st.tuples(STATUSES, HEADERS, BODIES), min_size=1, max_size=4))
def test_any_answer_to_a_question_is_an_answer_or_an_expected_failure(answers, answering, server, registries):
    turns = iter(range(1 << 30))
    answering(lambda method, path: answers[next(turns) % len(answers)])
    images = RemoteImages(registries, "amd64", insecure=True)
    for ask in (
        lambda: images.find(f"{server.host}/ava:x"),
        lambda: images.below(f"{server.host}/ava"),
        lambda: images.below(server.host),
    ):
        try:
            ask()
        except AvabuildError as error:
            assert error.exit_code in {ImageError.exit_code, 12, 75, 77}  # noqa: PT017


# -- indexes of packages -------------------------------------------------------------------------------------


@pytest.fixture
def indexes(server) -> Indexes:
    return Indexes(index=f"http://{server.host}/simple")


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ((200, {}, endless), "more than 1 MB"),
        ((200, {"Content-Length": str(1 << 50)}, endless), "more than 1 MB"),
        ((200, {"Content-Encoding": "gzip"}, lambda: BOMB), "packs its answer"),
        ((302, {"Location": "/simple/again"}, endless), "redirects on and on"),
        ((200, {"Content-Type": "application/json"}, lambda: b"[" * 100_000), "did not answer as one"),
        ((200, {"Content-Type": "application/json"}, lambda: b'{"files": 5}'), "did not answer as one"),
    ],
)
def test_pages_of_an_index_have_bounds(indexes, answering, monkeypatch, answer, words):
    monkeypatch.setattr("avabuild.resolve.simple_index._MOST", 1 << 20)
    status, headers, body = answer
    server = answering(lambda method, path: (status, headers, body()))
    with Pages(indexes) as pages, pytest.raises(UnavailableError, match=words):
        pages._files(f"{indexes.index}/x/")
    assert server.sent < 64 << 20


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ((200, {}, endless), "more than the 100 bytes"),
        ((206, {"Content-Length": "x"}, endless), "Content-Length"),
        ((200, {"Content-Encoding": "gzip"}, lambda: BOMB), "packs its answer"),
        ((302, {"Location": "/again"}, endless), "redirects on and on"),
        ((302, {"Location": "http://["}, endless), "could not be downloaded"),
    ],
)
def test_a_file_of_an_index_is_no_larger_than_was_declared(indexes, answering, tmp_path, answer, words):
    status, headers, body = answer
    server = answering(lambda method, path: (status, headers, body()))
    wanted = Wanted(f"http://{server.host}/x.whl", "a" * 64, 100, "x.whl")
    with client_of(indexes, 1) as client, pytest.raises((UnavailableError, WheelError), match=words):
        Transfer(client, indexes, policy=Policy(attempts=2, pause=0)).get(
            wanted, tmp_path / "x", lambda *_: None
        )
    assert not (tmp_path / "x").exists() or (tmp_path / "x").stat().st_size <= 100
    assert server.sent < 64 << 20


# -- a base that our own client pulls ------------------------------------------------------------------------

CONFIG = {"mediaType": image.CONFIG, "digest": "sha256:" + hashlib.sha256(b"{}").hexdigest(), "size": 2}


@pytest.mark.parametrize(
    "manifest",
    [
        {},
        {"config": CONFIG},
        {"config": CONFIG, "layers": {"digest": 1}},
        {"config": CONFIG, "layers": [None]},
        {"config": CONFIG, "layers": [{**CONFIG, "size": "2"}]},
        {"config": CONFIG, "layers": [{**CONFIG, "size": -1}]},
        {"config": CONFIG, "layers": [{**CONFIG, "digest": "sha256:../../../../victim"}]},
        {"config": CONFIG, "layers": [{**CONFIG, "digest": "VICTIM"}]},
        {"config": {**CONFIG, "digest": "sha256:../../../../victim"}, "layers": []},
        {"manifests": {"platform": 1}},
        {"manifests": [1, {"platform": 1}, {"platform": {"architecture": "amd64"}, "digest": "../x"}]},
    ],
    ids=["empty", "no layers", "no list", "no table", "text for a size", "below none", "a path", "a whole path",
         "the config's", "no index", "nobody's digest"],
)  # fmt: skip
def test_a_base_that_is_none_is_refused_and_written_nowhere_else(
    registries, answering, server, tmp_path, manifest
):
    (tmp_path / "victim").write_text("mine")
    said = json.dumps(manifest).replace("VICTIM", str(tmp_path / "victim")).encode()
    answering(lambda method, path: (200, {}, said if "manifests" in path else b"{}"))
    with pytest.raises((RegistryError, ImageError)):
        pull_layout(registries, f"{server.host}/ava:x", "amd64", tmp_path / "scratch" / "raw")
    assert (tmp_path / "victim").read_text() == "mine"
    assert {path.name for path in tmp_path.iterdir()} <= {"victim", "scratch"}


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(answers=st.lists(st.tuples(STATUSES, HEADERS, BODIES), min_size=1, max_size=4))
def test_any_answer_to_a_pull_is_a_layout_or_an_expected_failure(
    answers, answering, server, registries, tmp_path_factory
):
    turns = iter(range(1 << 30))
    answering(lambda method, path: answers[next(turns) % len(answers)])
    place = tmp_path_factory.mktemp("pulled")
    try:
        pull_layout(registries, f"{server.host}/ava:x", "amd64", place / "scratch" / "raw")
    except AvabuildError as error:
        assert error.exit_code in {ImageError.exit_code, 12, 75, 77}  # noqa: PT017
    assert {path.name for path in place.iterdir()} <= {"scratch"}
