"""What a registry lists: its repositories and their tags; and what is said where something else answers."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Callable, Iterator

import pytest

from avabuild.common.errors import RegistryError
from avabuild.registries.name import Remote
from avabuild.registries.push import send_blob
from avabuild.tools.cancellation import Cancellation


def push(registries, name: str, store, manifest: str, config: str, layers: dict[str, int]) -> None:
    repository = registries.repository(Remote.parse(name))
    for digest, size in {**layers, config: store.blob_path(config).stat().st_size}.items():
        send_blob(repository, store, digest, size, lambda *_: None)
    repository.put_manifest(Remote.parse(name).tag, store.blob_path(manifest).read_bytes())


def test_repositories_and_tags_are_listed_and_what_is_not_there_has_none(
    registries, distribution, store, keep_image
):
    image = keep_image(b"lists")
    for name in ("lists/one:a", "lists/one:b", "lists/two:a"):
        push(registries, f"{distribution.host}/{name}", store, *image)
    registry = registries.registry(distribution.host)
    assert {"lists/one", "lists/two"} <= set(registry.repositories())
    one = registries.repository(Remote.parse(f"{distribution.host}/lists/one"))
    assert sorted(one.tags()) == ["a", "b"]
    nothing = registries.repository(Remote.parse(f"{distribution.host}/lists/none"))
    assert nothing.tags() == ()
    assert nothing.manifest("a") is None


@pytest.fixture
def answering() -> Iterator[Callable[[int, bytes, dict[str, str]], str]]:
    """Return a function that starts a server which answers all the same; it returns its address."""
    servers = []

    def start(status: int, body: bytes, pages: dict[str, tuple[bytes, str]] | None = None) -> str:
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                content, following = (pages or {}).get(self.path, (body, ""))
                self.send_response(status)
                self.send_header("Content-Length", str(len(content)))
                if following:
                    self.send_header("Link", f'<{following}>; rel="next"')
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *words: object) -> None:
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return f"127.0.0.1:{server.server_address[1]}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def test_not_found_of_something_that_is_no_registry_does_not_mean_absent(answering, registries_of):
    host = answering(404, b"<html>nginx: not found</html>")
    repository = registries_of({}, insecure=True).repository(Remote.parse(f"{host}/x"))
    for ask in (repository.tags, lambda: repository.manifest("a"), lambda: repository.read("sha256:0")):
        with pytest.raises(RegistryError, match="is it a registry"):
            ask()
    host = answering(404, b'{"errors": [{"code": "NAME_UNKNOWN", "message": "unknown"}]}')
    assert registries_of({}, insecure=True).repository(Remote.parse(f"{host}/x")).tags() == ()


def test_a_list_of_several_pages_is_read_to_its_end(answering, registries_of):
    pages = {
        "/v2/x/tags/list?n=1000": (b'{"tags": ["a", "b"]}', "/v2/x/tags/list?last=b"),
        "/v2/x/tags/list?last=b": (b'{"tags": ["c"]}', ""),
    }
    host = answering(200, b"{}", pages)
    repository = registries_of({}, insecure=True).repository(Remote.parse(f"{host}/x"))
    assert repository.tags() == ("a", "b", "c")


@pytest.mark.parametrize("body", [b"<html>hello</html>", b"[1]", b'{"tags": 7}'])
def test_a_list_that_is_none_is_told(answering, registries_of, body):
    repository = registries_of({}, insecure=True).repository(Remote.parse(f"{answering(200, body)}/x"))
    with pytest.raises(RegistryError, match="answers something else: can't list x"):
        repository.tags()


def test_credentials_are_looked_up_once_in_a_run(registries_of, tmp_path, distribution):
    path = tmp_path / "auth.json"
    path.write_text(distribution.auth_file().read_text())
    registries = registries_of({**distribution.environment, "REGISTRY_AUTH_FILE": str(path)})
    name = Remote.parse(f"{distribution.host}/lists/none")
    registries.repository(name)
    path.write_text("no json")
    assert registries.repository(name, Cancellation()).tags() == ()
