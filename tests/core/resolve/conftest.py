"""A package index on 127.0.0.1 with files made on the spot, and faults on demand."""

from __future__ import annotations

import hashlib
import io
import tarfile
import threading
import uuid
import zipfile
from collections import defaultdict
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from avabuild.resolve.indexes import Indexes
from avabuild.resolve.lock import Package
from avabuild.resolve.platforms import Platform
from avabuild.resolve.resolver import Resolver
from avabuild.resolve.uv import run_here


@dataclass
class SimpleIndex:
    """A PEP 503 index: `faults` lists, per path's last part, what to do to the next requests for it."""

    port: int
    directory: Path
    prefix: str = field(default_factory=lambda: uuid.uuid4().hex)
    faults: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    requests: list[tuple[str, str]] = field(default_factory=list)
    login: str = ""
    hang: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/{self.prefix}/simple"

    def file_url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.port}/{self.prefix}/files/{name}"

    def requests_for(self, name: str) -> list[str]:
        """Return the Range header (or an empty text) of every request for the file `name`."""
        return [wanted for path, wanted in self.requests if path.endswith("/" + name)]

    def page(self, project: str) -> str | None:
        files = [f for f in sorted(self.directory.iterdir()) if _project(f.name) == project]
        links = [f'<a href="../../files/{f.name}#sha256={sha256(f)}">{f.name}</a>' for f in files]
        return f"<!DOCTYPE html><html><body>{'<br>'.join(links)}</body></html>" if files else None

    def wheel(
        self,
        name: str,
        version: str,
        requires: tuple[str, ...] = (),
        tag: str = "py3-none-any",
        body: bytes = b"",
    ) -> Path:
        path = self.directory / f"{name}-{version}-{tag}.whl"
        info = f"{name}-{version}.dist-info"
        metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(f"{name}.py", body)
            archive.writestr(
                f"{info}/METADATA", metadata + "".join(f"Requires-Dist: {r}\n" for r in requires)
            )
            archive.writestr(f"{info}/WHEEL", f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {tag}\n")
            archive.writestr(f"{info}/RECORD", "")
        return path

    def sdist(self, name: str, version: str) -> Path:
        path = self.directory / f"{name}-{version}.tar.gz"
        files = {
            "PKG-INFO": f"Metadata-Version: 1.1\nName: {name}\nVersion: {version}\n",
            "setup.py": f"from setuptools import setup\nsetup(name={name!r}, version={version!r})\n",
        }
        with tarfile.open(path, "w:gz") as archive:
            for member, text in files.items():
                info = tarfile.TarInfo(f"{name}-{version}/{member}")
                info.size = len(text)
                archive.addfile(info, io.BytesIO(text.encode()))
        return path


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _project(filename: str) -> str:
    return filename.split("-", 1)[0].lower().replace("_", "-")


class _Handler(BaseHTTPRequestHandler):
    index: SimpleIndex

    def do_GET(self) -> None:
        self._answer(body=True)

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def log_message(self, *args: object) -> None:
        """Keep quiet."""

    def _answer(self, *, body: bool) -> None:
        _, _, kind, name = (self.path.rstrip("/") + "///").split("/")[:4]
        if self.command == "GET":
            self.index.requests.append((self.path, self.headers.get("Range", "")))
        if self.index.login and self.headers.get("Authorization") != self.index.login:
            return self._send(401, b"")
        if kind == "simple":
            page = self.index.page(name)
            status = int(self._fault(name) or 0)
            return self._send(status or (200 if page else 404), (page or "").encode() if not status else b"")
        path = self.index.directory / name
        if not path.is_file():
            return self._send(404, b"")
        return self._file(path.read_bytes(), self._fault(name) if body else "", body=body)

    def _file(self, content: bytes, fault: str, *, body: bool) -> None:
        if fault.isdigit():
            return self._send(int(fault), b"", {"Retry-After": "0"})
        if fault == "hang":
            self.index.hang.wait(20)
            return None
        wanted = self.headers.get("Range", "")
        status, headers = 200, {}
        if wanted and fault != "no range":
            first, _, last = wanted.removeprefix("bytes=").partition("-")
            start = int(first) if first else len(content) - int(last)
            stop = int(last) + 1 if first and last else len(content)
            if start >= len(content):
                return self._send(416, b"")
            headers = {"Content-Range": f"bytes {start}-{min(stop, len(content)) - 1}/{len(content)}"}
            status, content = 206, content[start:stop]
        if fault == "cut without a length":
            self._send(status, content[: len(content) // 2], {"Content-Length": ""})
            self.close_connection = True
            return None
        if fault == "cut":
            self._send(status, content[: len(content) // 2], {"Content-Length": str(len(content)), **headers})
            self.close_connection = True
            return None
        return self._send(status, content if body else b"", {"Content-Length": str(len(content)), **headers})

    def _fault(self, name: str) -> str:
        waiting = self.index.faults[name]
        return waiting.pop(0) if waiting else ""

    def _send(self, status: int, content: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for key, value in {
            "Content-Length": str(len(content)),
            "Content-Type": "text/html",
            "Accept-Ranges": "bytes",
            **(headers or {}),
        }.items():
            if value:
                self.send_header(key, value)
        self.end_headers()
        self.wfile.write(content)


@pytest.fixture
def index(tmp_path):
    directory = tmp_path / "index-files"
    directory.mkdir()
    handler = type("Handler", (_Handler,), {})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    handler.index = SimpleIndex(server.server_port, directory)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield handler.index
    handler.index.hang.set()
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(autouse=True)
def host(monkeypatch, tmp_path_factory):
    """A host without configuration of its own; uv's cache is shared by the tests of one session."""
    import os

    for name in os.environ:
        if name.startswith(("UV_", "PIP_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path_factory.getbasetemp() / "uv-cache"))


@pytest.fixture
def recipe_dir(tmp_path):
    directory = tmp_path / "recipes"
    directory.mkdir()
    return directory


@pytest.fixture
def resolver(index, recipe_dir, tmp_path):
    """A function that makes a resolver of `index` for Python 3.11 on glibc 2.36, or what it is told."""

    def make(python="3.11", glibc="2.36", run=run_here, log=print, **indexes):
        workdir = tmp_path / f"work-{uuid.uuid4().hex}"
        workdir.mkdir()
        settings = Indexes(**{"index": index.url, "others": (("UV_HTTP_RETRIES", "0"),), **indexes})
        return Resolver(Platform(python, "x86_64", glibc), settings, recipe_dir, workdir, run=run, log=log)

    return make


@pytest.fixture
def package_of():
    """A function that makes the locked package of a wheel's file."""

    def make(file, /, **changes):
        name, version = file.name.split("-")[:2]
        fields = {
            "filename": file.name,
            "sha256": sha256(file),
            "size": file.stat().st_size,
            "by": ("avabuild",),
        }
        return Package(**{"name": name, "version": version, **fields, **changes})

    return make
